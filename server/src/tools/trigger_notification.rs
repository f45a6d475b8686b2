//! `trigger-notification`: has the server send a notification to the open streams.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Caller, ToolResult};
use crate::bus::Target;
use crate::rpc;
use crate::server::Server;

pub(super) const DESCRIPTION: &str =
    "Sends a notification to all open streams, or to that of this session, on every replica";

/// Bytes of `data`, which every open stream may have to hold 256 times.
const MAX_DATA: usize = 16 * 1024;
/// Bytes of a resource's URI.
pub(crate) const LONGEST_URI: usize = 2048;

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
pub(crate) struct Arguments {
    notification: Notification,
    to: To,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    kind: Kind,
    #[serde(default)]
    to: To,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    uri: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tools,
    Resources,
    Prompts,
    Custom,
    Updated,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum To {
    #[default]
    All,
    Session,
}

/// What is sent.
#[derive(Clone, Debug)]
enum Notification {
    /// A list of the server's has changed, or so it says.
    ListChanged(&'static str),
    /// A method of our own, with an object.
    Custom(Box<RawValue>),
    /// A resource of that URI has changed, or so it says.
    Updated(String),
}

/// How far it came.
#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The method.
    sent: &'static str,
    to: To,
    /// Streams of this replica that took it.
    streams: usize,
    /// Replicas that received it, this one included.
    replicas: usize,
}

#[derive(Serialize)]
struct UpdatedParams<'a> {
    uri: &'a str,
}

#[derive(Serialize)]
struct CustomParams<'a> {
    data: &'a RawValue,
}

#[derive(Debug, thiserror::Error)]
enum InvalidData {
    #[error("`data` goes with kind `custom` only: leave it out, or ask for kind `custom`")]
    Misplaced,
    #[error("`uri` goes with kind `updated`, and has to be there: name the resource that changed")]
    Uri,
    #[error("`uri` has more than {LONGEST_URI} bytes")]
    LongUri,
    #[error("`data` must be a JSON object")]
    NoObject,
    #[error("`data` has {0} bytes: {MAX_DATA} at most were expected")]
    TooLarge(usize),
}

impl TryFrom<Unchecked> for Arguments {
    type Error = InvalidData;

    fn try_from(unchecked: Unchecked) -> Result<Self, InvalidData> {
        let Unchecked { kind, to, data, uri } = unchecked;
        if (kind == Kind::Updated) != uri.is_some() {
            return Err(InvalidData::Uri);
        }
        if uri.as_ref().is_some_and(|uri| uri.len() > LONGEST_URI) {
            return Err(InvalidData::LongUri);
        }
        if kind != Kind::Custom && data.is_some() {
            return Err(InvalidData::Misplaced);
        }
        let notification = match kind {
            Kind::Tools => Notification::ListChanged("notifications/tools/list_changed"),
            Kind::Resources => Notification::ListChanged("notifications/resources/list_changed"),
            Kind::Prompts => Notification::ListChanged("notifications/prompts/list_changed"),
            Kind::Custom => Notification::Custom(checked(data)?),
            Kind::Updated => Notification::Updated(uri.unwrap_or_default()),
        };
        Ok(Self { notification, to })
    }
}

fn checked(data: Option<Box<RawValue>>) -> Result<Box<RawValue>, InvalidData> {
    let data = data.unwrap_or_else(|| RawValue::from_string("{}".to_owned()).unwrap_or_default());
    match data.get() {
        text if text.len() > MAX_DATA => Err(InvalidData::TooLarge(text.len())),
        text if !text.starts_with('{') => Err(InvalidData::NoObject),
        _ => Ok(data),
    }
}

impl Notification {
    fn method(&self) -> &'static str {
        match self {
            Self::ListChanged(method) => method,
            Self::Custom(_) => "notifications/squall/custom",
            Self::Updated(_) => "notifications/resources/updated",
        }
    }

    fn message(&self) -> Box<RawValue> {
        match self {
            Self::ListChanged(method) => rpc::raw_notification::<CustomParams<'_>>(method, None),
            Self::Custom(data) => {
                rpc::raw_notification(self.method(), Some(&CustomParams { data }))
            }
            Self::Updated(uri) => {
                rpc::raw_notification(self.method(), Some(&UpdatedParams { uri }))
            }
        }
    }
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "kind": {
                "type": "string",
                "enum": ["tools", "resources", "prompts", "updated", "custom"],
                "description": "Which notification: that one of the three lists changed, that a resource was updated, or notifications/squall/custom"
            },
            "to": {
                "type": "string",
                "enum": ["all", "session"],
                "default": "all",
                "description": "To every open stream, or to that of the calling session"
            },
            "uri": {
                "type": "string",
                "maxLength": LONGEST_URI,
                "description": "With kind `updated`: the resource; those hear of it who subscribed to it"
            },
            "data": {
                "type": "object",
                "description": "With kind `custom`: what goes along as `params.data`"
            }
        },
        "required": ["kind"],
        "additionalProperties": false
    })
}

pub(super) async fn run(arguments: Arguments, server: &Arc<Server>, caller: &Caller) -> ToolResult {
    let Arguments { notification, to } = arguments;
    let target = match (to, caller.session, &notification) {
        (To::All, _, Notification::Updated(uri)) => Target::Subscribers(uri.clone()),
        (To::All, ..) => Target::All,
        (To::Session, Some(session), _) => Target::Session(session),
        (To::Session, None, _) => {
            return ToolResult::failure("there is no session in this era: send it to all");
        }
    };
    let begun = Instant::now();
    let published = server.bus.publish(target, &notification.message()).await;
    let reach = published.as_ref().ok().map(|reach| (reach.streams, reach.replicas));
    server.journal.published(notification.method(), reach);
    match published {
        Ok(reach) => {
            server.metrics.notified(begun.elapsed());
            server.stats.notifications_sent.increase();
            let sent = notification.method();
            ToolResult::structured(&Output {
                sent,
                to,
                streams: reach.streams,
                replicas: reach.replicas,
            })
        }
        Err(error) => {
            server.stats.notifications_failed.increase();
            ToolResult::failure(error.to_string())
        }
    }
}
