//! `trigger-notification`: has the server send a notification to the open GET streams.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Caller, ToolResult};
use crate::bus::Target;
use crate::rpc;
use crate::server::Server;

pub(super) const DESCRIPTION: &str =
    "Sends a notification to the GET streams of all sessions, or of this one, on every replica";

/// Bytes of `data`, which every open stream may have to hold 256 times.
const MAX_DATA: usize = 16 * 1024;

#[derive(Debug, Deserialize)]
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tools,
    Resources,
    Prompts,
    Custom,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    #[default]
    All,
    Session,
}

/// What is sent.
#[derive(Debug)]
enum Notification {
    /// A list of the server's has changed, or so it says.
    ListChanged(&'static str),
    /// A method of our own, with an object.
    Custom(Box<RawValue>),
}

#[derive(Serialize)]
struct CustomParams<'a> {
    data: &'a RawValue,
}

#[derive(Debug, thiserror::Error)]
enum InvalidData {
    #[error("`data` goes with kind `custom` only: leave it out, or ask for kind `custom`")]
    Misplaced,
    #[error("`data` must be a JSON object")]
    NoObject,
    #[error("`data` has {0} bytes: {MAX_DATA} at most were expected")]
    TooLarge(usize),
}

impl TryFrom<Unchecked> for Arguments {
    type Error = InvalidData;

    fn try_from(unchecked: Unchecked) -> Result<Self, InvalidData> {
        let Unchecked { kind, to, data } = unchecked;
        if kind != Kind::Custom && data.is_some() {
            return Err(InvalidData::Misplaced);
        }
        let notification = match kind {
            Kind::Tools => Notification::ListChanged("notifications/tools/list_changed"),
            Kind::Resources => Notification::ListChanged("notifications/resources/list_changed"),
            Kind::Prompts => Notification::ListChanged("notifications/prompts/list_changed"),
            Kind::Custom => Notification::Custom(checked(data)?),
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
        }
    }

    fn message(&self) -> Box<RawValue> {
        match self {
            Self::ListChanged(method) => rpc::raw_notification::<CustomParams<'_>>(method, None),
            Self::Custom(data) => {
                rpc::raw_notification(self.method(), Some(&CustomParams { data }))
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
                "enum": ["tools", "resources", "prompts", "custom"],
                "description": "Which notification: that one of the three lists changed, or notifications/squall/custom"
            },
            "to": {
                "type": "string",
                "enum": ["all", "session"],
                "default": "all",
                "description": "To every open GET stream, or to that of the calling session"
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
    let target = match to {
        To::All => Target::All,
        To::Session => Target::Session(caller.session),
    };
    match server.bus.publish(target, &notification.message()).await {
        Ok(reach) => {
            server.stats.notifications_sent.increase();
            let answer = json!({
                "sent": notification.method(),
                "to": to,
                "streams": reach.streams,
                "replicas": reach.replicas,
            });
            ToolResult::text(answer.to_string())
        }
        Err(error) => {
            server.stats.notifications_failed.increase();
            ToolResult::failure(error.to_string())
        }
    }
}
