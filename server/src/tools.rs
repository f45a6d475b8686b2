//! THE list of tools; each has a file of its own with its arguments, its schema and its work.

mod fast_echo;
mod fetch_data;
mod get_server_stats;
mod slow_computation;
mod trigger_notification;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use squall_model::mcp::sse;
use tokio::sync::mpsc;

use crate::rpc;
use crate::server::Server;
use crate::store::SessionId;

/// A tool of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    FastEcho,
    SlowComputation,
    FetchData,
    GetServerStats,
    TriggerNotification,
}

/// A call with arguments that were found valid.
#[derive(Debug)]
pub(crate) enum Call {
    FastEcho(fast_echo::Arguments),
    SlowComputation(slow_computation::Arguments),
    FetchData(fetch_data::Arguments),
    GetServerStats(get_server_stats::Arguments),
    TriggerNotification(trigger_notification::Arguments),
}

/// Arguments that a tool does not take.
#[derive(Debug, thiserror::Error)]
#[error("invalid arguments for tool `{tool}`: {reason}")]
pub(crate) struct InvalidArguments {
    tool: &'static str,
    reason: serde_json::Error,
}

impl Tool {
    pub(crate) const ALL: [Self; 5] = [
        Self::FastEcho,
        Self::SlowComputation,
        Self::FetchData,
        Self::GetServerStats,
        Self::TriggerNotification,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FastEcho => "fast-echo",
            Self::SlowComputation => "slow-computation",
            Self::FetchData => "fetch-data",
            Self::GetServerStats => "get-server-stats",
            Self::TriggerNotification => "trigger-notification",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The tool as `tools/list` shows it (server/tools, data types).
    pub(crate) fn definition(self) -> Box<RawValue> {
        let (description, input_schema) = match self {
            Self::FastEcho => (fast_echo::DESCRIPTION, fast_echo::input_schema()),
            Self::SlowComputation => {
                (slow_computation::DESCRIPTION, slow_computation::input_schema())
            }
            Self::FetchData => (fetch_data::DESCRIPTION, fetch_data::input_schema()),
            Self::GetServerStats => {
                (get_server_stats::DESCRIPTION, get_server_stats::input_schema())
            }
            Self::TriggerNotification => {
                (trigger_notification::DESCRIPTION, trigger_notification::input_schema())
            }
        };
        let definition = Definition {
            name: self.name(),
            description,
            input_schema,
            annotations: self.annotations(),
        };
        to_raw_value(&definition).unwrap_or_default()
    }

    fn annotations(self) -> Annotations {
        let (read_only, destructive) = match self {
            Self::TriggerNotification => (false, Some(false)),
            Self::FastEcho | Self::SlowComputation | Self::FetchData | Self::GetServerStats => {
                (true, None)
            }
        };
        Annotations { read_only, destructive, open_world: false }
    }

    /// Reads the arguments of a call; none at all are an empty object.
    pub(crate) fn call(self, arguments: Option<&RawValue>) -> Result<Call, InvalidArguments> {
        let text = arguments.map_or("{}", RawValue::get);
        match self {
            Self::FastEcho => self.read(text).map(Call::FastEcho),
            Self::SlowComputation => self.read(text).map(Call::SlowComputation),
            Self::FetchData => self.read(text).map(Call::FetchData),
            Self::GetServerStats => self.read(text).map(Call::GetServerStats),
            Self::TriggerNotification => self.read(text).map(Call::TriggerNotification),
        }
    }

    fn read<'a, A: Deserialize<'a>>(self, text: &'a str) -> Result<A, InvalidArguments> {
        serde_json::from_str(text).map_err(|reason| InvalidArguments { tool: self.name(), reason })
    }
}

impl Call {
    pub(crate) fn tool(&self) -> Tool {
        match self {
            Self::FastEcho(_) => Tool::FastEcho,
            Self::SlowComputation(_) => Tool::SlowComputation,
            Self::FetchData(_) => Tool::FetchData,
            Self::GetServerStats(_) => Tool::GetServerStats,
            Self::TriggerNotification(_) => Tool::TriggerNotification,
        }
    }

    /// Whether it is done in no time: it is not worth a task of its own, and has no progress.
    pub(crate) fn is_quick(&self) -> bool {
        match self {
            Self::FastEcho(_) | Self::GetServerStats(_) => true,
            Self::SlowComputation(_) | Self::FetchData(_) | Self::TriggerNotification(_) => false,
        }
    }

    pub(crate) async fn run(self, server: &Arc<Server>, caller: Caller) -> ToolResult {
        match self {
            Self::FastEcho(arguments) => fast_echo::run(arguments),
            Self::SlowComputation(arguments) => {
                slow_computation::run(arguments, server, caller.progress).await
            }
            Self::FetchData(arguments) => fetch_data::run(arguments, &caller.progress).await,
            Self::GetServerStats(arguments) => get_server_stats::run(arguments, server).await,
            Self::TriggerNotification(arguments) => {
                trigger_notification::run(arguments, server, &caller).await
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    name: &'static str,
    description: &'static str,
    input_schema: Value,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Annotations {
    #[serde(rename = "readOnlyHint")]
    read_only: bool,
    /// Means something where a tool changes something alone (server/tools, tool annotations).
    #[serde(rename = "destructiveHint", skip_serializing_if = "Option::is_none")]
    destructive: Option<bool>,
    #[serde(rename = "openWorldHint")]
    open_world: bool,
}

/// What a tool gives back (server/tools, tool result): one text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolResult {
    content: [Text; 1],
    pub(crate) is_error: bool,
}

#[derive(Debug, Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

impl ToolResult {
    pub(crate) fn text(text: String) -> Self {
        let content = [Text { r#type: "text", text }];
        Self { content, is_error: false }
    }

    pub(crate) fn failure(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text.into()) }
    }
}

/// Who makes a call.
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) progress: Progress,
}

impl Caller {
    /// One who wants to hear of nothing but the result.
    pub(crate) fn of(session: SessionId) -> Self {
        Self { session, progress: Progress::default() }
    }
}

/// Where a call reports how far it is: to the stream of its answer, if the caller gave a token.
#[derive(Default)]
pub(crate) struct Progress(Option<Listener>);

struct Listener {
    token: Box<RawValue>,
    events: mpsc::Sender<Bytes>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<'a> {
    progress_token: &'a RawValue,
    progress: u32,
    total: u32,
}

impl Progress {
    pub(crate) fn to(token: Box<RawValue>, events: mpsc::Sender<Bytes>) -> Self {
        Self(Some(Listener { token, events }))
    }

    /// Tells the caller; one who reads too slowly misses it.
    pub(crate) fn report(&self, progress: u32, total: u32) {
        let Some(listener) = &self.0 else { return };
        let params = ProgressParams { progress_token: &listener.token, progress, total };
        let message = rpc::notification("notifications/progress", &params);
        let event = sse::encode(None, &String::from_utf8_lossy(&message));
        let _ = listener.events.try_send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: Tool, arguments: &str) -> Result<Call, String> {
        let raw = RawValue::from_string(arguments.to_owned()).expect(arguments);
        tool.call(Some(&raw)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_tool_is_found_by_its_name_alone() {
        for tool in Tool::ALL {
            assert_eq!(Tool::named(tool.name()), Some(tool));
        }
        assert_eq!(Tool::named("fast_echo"), None);
    }

    #[test]
    fn arguments_within_their_bounds_are_taken() {
        for (tool, arguments) in [
            (Tool::FastEcho, r#"{"message":""}"#),
            (Tool::SlowComputation, "{}"),
            (Tool::SlowComputation, r#"{"iterations":100000000}"#),
            (Tool::FetchData, r#"{"delay_ms":0,"url":"x"}"#),
            (Tool::FetchData, r#"{"delay_ms":10000}"#),
            (Tool::GetServerStats, "{}"),
            (Tool::TriggerNotification, r#"{"kind":"tools"}"#),
            (Tool::TriggerNotification, r#"{"kind":"prompts","to":"session"}"#),
            (Tool::TriggerNotification, r#"{"kind":"custom"}"#),
            (Tool::TriggerNotification, r#"{"kind":"custom","data":{"a":[1]}}"#),
        ] {
            assert!(call(tool, arguments).is_ok(), "{tool:?} {arguments}");
        }
        assert!(Tool::GetServerStats.call(None).is_ok());
    }

    #[test]
    fn arguments_out_of_bounds_are_refused_with_what_was_expected() {
        for (tool, arguments, expected) in [
            (Tool::FastEcho, "{}", "missing field `message`"),
            (Tool::FastEcho, r#"{"message":7}"#, "expected a string"),
            (Tool::FastEcho, "[]", "expected"),
            (Tool::SlowComputation, r#"{"iterations":0}"#, "100000000"),
            (Tool::SlowComputation, r#"{"iterations":1e9}"#, "expected u64"),
            (Tool::FetchData, r#"{"delay_ms":10001}"#, "10000"),
            (Tool::FetchData, r#"{"delay_ms":-1}"#, "expected u64"),
            (Tool::FetchData, r#"{"delay":1}"#, "`delay_ms`"),
            (Tool::GetServerStats, r#"{"x":1}"#, "unknown field `x`"),
            (Tool::GetServerStats, "7", "expected"),
            (Tool::TriggerNotification, "{}", "missing field `kind`"),
            (Tool::TriggerNotification, r#"{"kind":"x"}"#, "unknown variant `x`"),
            (Tool::TriggerNotification, r#"{"kind":"tools","to":"b"}"#, "unknown variant `b`"),
            (Tool::TriggerNotification, r#"{"kind":"tools","data":{}}"#, "kind `custom` only"),
            (Tool::TriggerNotification, r#"{"kind":"custom","data":[]}"#, "a JSON object"),
            (Tool::TriggerNotification, r#"{"kind":"custom","x":1}"#, "unknown field `x`"),
        ] {
            let error = call(tool, arguments).expect_err(arguments);
            assert!(error.contains(expected), "{arguments}: {error}");
        }
    }
}
