//! Stall heartbeats: the signs of life of a quiet stream stay away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{MessageVerdict, Moment, Verdict};

/// Drops comments and events without data, which servers send so that nobody takes a quiet stream for a
/// dead one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StallHeartbeats {}

impl Act for StallHeartbeats {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.event.is_some_and(|event| event.is_heartbeat)
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Drop)
    }
}
