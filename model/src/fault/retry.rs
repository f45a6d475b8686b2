//! Retry: events tell the client to wait too long, or not at all, before it comes back.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, Verdict};

/// Sets `retry:` on events, which a client has to obey (MCP 2025-11-25, basic/transports, listening for
/// messages from the server).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How long the client shall wait; `0s` for not at all.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "crate::schema::time")]
    pub time: Duration,
}

impl Act for Retry {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.event.is_some()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::Retry(self.time)))
    }
}
