//! Wrong id: an answer has an id that nobody asked with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, Verdict};

/// Gives answers another id than that of their request (JSON-RPC 2.0, section 5). With
/// `direction: request` it is the client that answers the server so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrongId {
    /// The id; by default one that resembles the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
}

impl Act for WrongId {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn is_one_way(&self) -> bool {
        false
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has_answer()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::Id(self.id.clone())))
    }
}
