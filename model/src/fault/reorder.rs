//! Reorder: an event is overtaken by those behind it.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{MessageVerdict, Moment, Verdict};

/// Holds an event back until some of those behind it have gone ahead, or the stream ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// How many.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub by: NonZeroU32,
}

impl Act for Reorder {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.event.is_some()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Overtake(self.by.get()))
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}
