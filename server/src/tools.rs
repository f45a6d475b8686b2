//! THE list of tools; each has a file of its own with its arguments, its schema and its work.

mod fast_echo;
mod fetch_data;
mod get_server_stats;
mod request_input;
mod request_sampling;
mod slow_computation;
mod trigger_notification;

use std::sync::Arc;

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::{Capabilities, Level};
use crate::content::Content;
use crate::fixtures::FixtureTool;
use crate::input::{Ask, Inputs};
use crate::outbox::Outbox;
use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::store::SessionId;
use crate::typed::{self, Mistyped};

/// A tool of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    FastEcho,
    SlowComputation,
    FetchData,
    TriggerNotification,
    RequestSampling,
    RequestInput,
    GetServerStats,
}

/// A call with arguments that were found valid.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    FastEcho(fast_echo::Arguments),
    SlowComputation(slow_computation::Arguments),
    FetchData(fetch_data::Arguments),
    TriggerNotification(trigger_notification::Arguments),
    RequestSampling(request_sampling::Arguments),
    RequestInput(request_input::Arguments),
    GetServerStats(get_server_stats::Arguments),
    Fixture(FixtureTool, Value),
}

/// What a call has come to.
#[derive(Debug)]
pub(crate) enum Step {
    Done(ToolResult),
    /// It needs something from its client, and is to be run again with it.
    Ask(Ask),
}

/// Arguments that a tool does not take.
#[derive(Debug, thiserror::Error)]
#[error("invalid arguments for tool `{tool}`, {reason}")]
pub(crate) struct InvalidArguments {
    tool: &'static str,
    reason: Mistyped,
}

impl From<InvalidArguments> for RpcError {
    /// With the path for programs, too.
    fn from(invalid: InvalidArguments) -> Self {
        let data = json!({ "path": invalid.reason.path });
        Self::invalid_params(invalid.to_string()).with(data)
    }
}

impl Tool {
    pub(crate) const ALL: [Self; 7] = [
        Self::FastEcho,
        Self::SlowComputation,
        Self::FetchData,
        Self::TriggerNotification,
        Self::RequestSampling,
        Self::RequestInput,
        Self::GetServerStats,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FastEcho => "fast-echo",
            Self::SlowComputation => "slow-computation",
            Self::FetchData => "fetch-data",
            Self::TriggerNotification => "trigger-notification",
            Self::RequestSampling => "request-sampling",
            Self::RequestInput => "request-input",
            Self::GetServerStats => "get-server-stats",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The tool as `tools/list` shows it (server/tools, data types).
    pub(crate) fn definition(self) -> Box<RawValue> {
        let (description, input_schema, output_schema) = match self {
            Self::FastEcho => (fast_echo::DESCRIPTION, fast_echo::input_schema(), None),
            Self::SlowComputation => {
                (slow_computation::DESCRIPTION, slow_computation::input_schema(), None)
            }
            Self::FetchData => (
                fetch_data::DESCRIPTION,
                fetch_data::input_schema(),
                Some(schema_of::<fetch_data::Output>()),
            ),
            Self::TriggerNotification => (
                trigger_notification::DESCRIPTION,
                trigger_notification::input_schema(),
                Some(schema_of::<trigger_notification::Output>()),
            ),
            Self::RequestSampling => {
                (request_sampling::DESCRIPTION, request_sampling::input_schema(), None)
            }
            Self::RequestInput => (request_input::DESCRIPTION, request_input::input_schema(), None),
            Self::GetServerStats => (
                get_server_stats::DESCRIPTION,
                get_server_stats::input_schema(),
                Some(schema_of::<get_server_stats::Output>()),
            ),
        };
        let definition = Definition {
            name: self.name(),
            description,
            input_schema,
            output_schema,
            annotations: self.annotations(),
        };
        to_raw_value(&definition).unwrap_or_default()
    }

    fn annotations(self) -> Annotations {
        let (read_only, destructive) = match self {
            Self::TriggerNotification => (false, Some(false)),
            Self::FastEcho
            | Self::SlowComputation
            | Self::FetchData
            | Self::RequestSampling
            | Self::RequestInput
            | Self::GetServerStats => (true, None),
        };
        Annotations { read_only, destructive, open_world: false }
    }

    /// Whether it may need something from its client.
    pub(crate) fn asks(self) -> bool {
        matches!(self, Self::RequestSampling | Self::RequestInput)
    }

    /// Reads the arguments of a call; none at all are an empty object.
    pub(crate) fn call(self, arguments: Option<&RawValue>) -> Result<Call, InvalidArguments> {
        let text = arguments.map_or("{}", RawValue::get);
        match self {
            Self::FastEcho => self.read(text).map(Call::FastEcho),
            Self::SlowComputation => self.read(text).map(Call::SlowComputation),
            Self::FetchData => self.read(text).map(Call::FetchData),
            Self::TriggerNotification => self.read(text).map(Call::TriggerNotification),
            Self::RequestSampling => self.read(text).map(Call::RequestSampling),
            Self::RequestInput => self.read(text).map(Call::RequestInput),
            Self::GetServerStats => self.read(text).map(Call::GetServerStats),
        }
    }

    fn read<A: DeserializeOwned>(self, text: &str) -> Result<A, InvalidArguments> {
        let tool = self.name();
        // A struct can be read from an array, too, which its schema does not admit.
        if !text.starts_with('{') {
            let reason = Mistyped::whole("an object was expected");
            return Err(InvalidArguments { tool, reason });
        }
        serde_json::from_str(text).or_else(|_| {
            // Once more, now that it is worth knowing where.
            let mut json = serde_json::Deserializer::from_str(text);
            typed::read(&mut json).map_err(|reason| InvalidArguments { tool, reason })
        })
    }
}

impl Call {
    pub(crate) fn tool(&self) -> Option<Tool> {
        match self {
            Self::FastEcho(_) => Some(Tool::FastEcho),
            Self::SlowComputation(_) => Some(Tool::SlowComputation),
            Self::FetchData(_) => Some(Tool::FetchData),
            Self::TriggerNotification(_) => Some(Tool::TriggerNotification),
            Self::RequestSampling(_) => Some(Tool::RequestSampling),
            Self::RequestInput(_) => Some(Tool::RequestInput),
            Self::GetServerStats(_) => Some(Tool::GetServerStats),
            Self::Fixture(..) => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fixture(tool, _) => tool.name(),
            other => other.tool().map_or("", Tool::name),
        }
    }

    /// Whether it is done in no time: it is not worth a task of its own, and has no progress.
    pub(crate) fn is_quick(&self) -> bool {
        match self {
            Self::FastEcho(_) | Self::GetServerStats(_) => true,
            Self::SlowComputation(_)
            | Self::FetchData(_)
            | Self::TriggerNotification(_)
            | Self::RequestSampling(_)
            | Self::RequestInput(_) => false,
            Self::Fixture(tool, _) => tool.is_quick(),
        }
    }

    /// Whether it has something to say to its client before its result, so that the answer should be a
    /// stream.
    pub(crate) fn talks(&self) -> bool {
        match self {
            Self::RequestSampling(_) | Self::RequestInput(_) => true,
            Self::Fixture(tool, _) => !tool.is_quick(),
            _ => false,
        }
    }

    /// Runs it with what its client has answered so far.
    pub(crate) async fn run(
        self,
        server: &Arc<Server>,
        caller: &Caller,
        inputs: &Inputs,
    ) -> Result<Step, RpcError> {
        let result = match self {
            Self::FastEcho(arguments) => fast_echo::run(arguments),
            Self::SlowComputation(arguments) => {
                slow_computation::run(arguments, server, caller).await
            }
            Self::FetchData(arguments) => fetch_data::run(arguments, caller).await,
            Self::TriggerNotification(arguments) => {
                trigger_notification::run(arguments, server, caller).await
            }
            Self::RequestSampling(arguments) => {
                return request_sampling::run(&arguments, caller, inputs);
            }
            Self::RequestInput(arguments) => {
                return request_input::run(&arguments, caller, inputs);
            }
            Self::GetServerStats(arguments) => get_server_stats::run(arguments, server).await,
            Self::Fixture(tool, arguments) => {
                return tool.run(&arguments, server, caller, inputs).await;
            }
        };
        Ok(Step::Done(result))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    name: &'static str,
    description: &'static str,
    input_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Value>,
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

/// The schema of what a tool gives back, from the type that it is. Formats such as `uint64` are left out:
/// JSON Schema knows none, and validators complain.
fn schema_of<T: JsonSchema>() -> Value {
    let without_format = RecursiveTransform(|schema: &mut Schema| {
        schema.remove("format");
    });
    let settings = SchemaSettings::draft2020_12().with_transform(without_format);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What a tool gives back (server/tools, tool result).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolResult {
    content: Vec<Content>,
    /// As the tool's output schema has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<Box<RawValue>>,
    pub(crate) is_error: bool,
}

impl ToolResult {
    pub(crate) fn of(content: Vec<Content>) -> Self {
        Self { content, structured_content: None, is_error: false }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::of(vec![Content::text(text)])
    }

    /// A value, as such and as text for those who do not look at it (server/tools, structured content).
    pub(crate) fn structured(value: &impl Serialize) -> Self {
        let raw = to_raw_value(value).unwrap_or_default();
        Self { structured_content: Some(raw.clone()), ..Self::text(raw.get()) }
    }

    pub(crate) fn failure(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }
}

/// Who makes a call, and how to reach them while it runs.
pub(crate) struct Caller {
    /// None in the stateless era.
    pub(crate) session: Option<SessionId>,
    pub(crate) client: Capabilities,
    /// The least grave log messages that are wanted, if any are.
    level: Option<Level>,
    progress_token: Option<Box<RawValue>>,
    /// The stream of the answer, if it is one.
    events: Option<Outbox>,
    /// The call is not wanted any more, or the server shuts down.
    pub(crate) stop: CancellationToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<'a> {
    progress_token: &'a RawValue,
    progress: u32,
    total: u32,
}

#[derive(Serialize)]
struct LogParams<'a> {
    level: Level,
    logger: &'static str,
    data: &'a str,
}

impl Caller {
    pub(crate) fn new(
        session: Option<SessionId>,
        client: Capabilities,
        level: Option<Level>,
        stop: CancellationToken,
    ) -> Self {
        Self { session, client, level, progress_token: None, events: None, stop }
    }

    /// One who hears, on that stream, of logs, and of progress if it gave a token.
    pub(crate) fn on(self, events: Outbox, token: Option<Box<RawValue>>) -> Self {
        Self { events: Some(events), progress_token: token, ..self }
    }

    /// The stream of the answer, if it is one.
    pub(crate) fn events(&self) -> Option<&Outbox> {
        self.events.as_ref()
    }

    /// Tells how far the call is, if the caller wants to hear of it.
    pub(crate) fn progress(&self, progress: u32, total: u32) {
        let (Some(token), Some(events)) = (&self.progress_token, &self.events) else { return };
        let params = ProgressParams { progress_token: token, progress, total };
        tell(events, &rpc::notification("notifications/progress", &params));
    }

    /// Tells what happens, if it is grave enough for the caller to want to hear of it.
    pub(crate) fn log(&self, level: Level, data: &str) {
        let Some(events) = &self.events else { return };
        if self.level.is_some_and(|least| level >= least) {
            let params = LogParams { level, logger: "squall-server", data };
            tell(events, &rpc::notification("notifications/message", &params));
        }
    }
}

fn tell(events: &Outbox, message: &Bytes) {
    events.say(&String::from_utf8_lossy(message));
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
            (Tool::FastEcho, "[]", "an object was expected"),
            (Tool::FetchData, r#"{"delay_ms":-1}"#, "at `delay_ms`"),
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
