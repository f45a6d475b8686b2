//! Split: an event arrives in two pieces.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{self, MessageVerdict, Moment, SplitAt, Verdict};

/// Sends an event in two pieces, split where a reader that decodes piece by piece stumbles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Where.
    #[serde(default)]
    pub at: SplitAt,
    /// How much later the second piece comes; at most `1h`.
    #[serde(default = "a_moment", with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub pause: Duration,
}

impl Act for Split {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.event.is_some()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Split(verdict::Split { at: self.at, pause: self.pause }))
    }
}

/// Long enough to be two reads.
fn a_moment() -> Duration {
    Duration::from_millis(50)
}
