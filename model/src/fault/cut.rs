//! Cut: the stream ends early: after some events, or just before the answer.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Ending, MessageVerdict, Moment, Verdict};

/// Ends an event stream early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Unchecked")]
#[schemars(!try_from, deny_unknown_fields)]
pub struct Cut {
    /// After so many events of the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_events: Option<NonZeroU64>,
    /// Just before the answer that the client waits for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub before_answer: bool,
    /// How it ends.
    #[schemars(default)]
    pub ending: Ending,
}

impl Act for Cut {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        let number = subject.event.map(|event| event.number);
        number.is_some() && number == self.after_events.map(NonZeroU64::get)
            || self.before_answer && number.is_some() && subject.has_answer()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(if self.before_answer {
            MessageVerdict::CutBefore(self.ending)
        } else {
            MessageVerdict::CutAfter(self.ending)
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(default)]
    after_events: Option<NonZeroU64>,
    #[serde(default)]
    before_answer: bool,
    #[serde(default)]
    ending: Ending,
}

/// A cut that does not say where.
#[derive(Debug, thiserror::Error)]
#[error("where is the stream cut? either `after_events: N` or `before_answer: true` was expected")]
pub struct CutNowhere;

impl TryFrom<Unchecked> for Cut {
    type Error = CutNowhere;

    fn try_from(raw: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { after_events, before_answer, ending } = raw;
        if after_events.is_some() == before_answer {
            return Err(CutNowhere);
        }
        Ok(Self { after_events, before_answer, ending })
    }
}
