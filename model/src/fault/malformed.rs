//! Malformed: the envelope of a message breaks JSON-RPC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Alteration, Malformation, MessageVerdict, Moment, Verdict};

/// Breaks the envelope of a message (JSON-RPC 2.0, sections 4 and 5): on its way to the client, or, with
/// `direction: request`, to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Malformed {
    /// What is wrong with it.
    #[serde(default)]
    pub how: Malformation,
}

impl Act for Malformed {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn is_one_way(&self) -> bool {
        false
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        !subject.messages.is_empty()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::Envelope(self.how)))
    }
}
