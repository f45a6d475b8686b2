//! Event id: the id of an event is missing, repeated, or goes backwards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{self, Alteration, MessageVerdict, Moment, Verdict};

/// Changes the `id:` of events, which a client resumes a stream with (basic/transports, resumability and
/// redelivery).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventId {
    /// What is wrong with it.
    #[serde(default)]
    pub how: verdict::EventId,
}

impl Act for EventId {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.event.is_some()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::EventId(self.how)))
    }
}
