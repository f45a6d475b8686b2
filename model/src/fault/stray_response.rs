//! Stray response: an answer arrives that nobody asked for.

use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{MessageVerdict, Moment, Verdict};

/// Puts a response with an unknown id before an answer. An answer that came as JSON becomes an event
/// stream, which every client has to accept (basic/transports, sending messages to the server).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrayResponse {}

impl Act for StrayResponse {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has_answer()
    }

    fn decide(&self, draw: &mut Draw) -> Verdict {
        let id = format!("squall-{}", draw.random::<u32>());
        let stray = json!({ "jsonrpc": "2.0", "id": id, "result": {} });
        Verdict::Message(MessageVerdict::Precede(stray.to_string()))
    }
}
