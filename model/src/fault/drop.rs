//! Drop: a request, an answer or a message vanishes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Within};
use crate::chance::Draw;
use crate::verdict::{ExchangeVerdict, MessageVerdict, Moment, Verdict};

/// Swallows a request, its answer, or a message. The client is left waiting; when the fault ends, a
/// connection whose request or answer it swallowed is closed. For whole connections there is
/// `blackhole`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// What is swallowed.
    #[serde(default)]
    pub at: Within,
}

impl Act for Drop {
    fn moment(&self) -> Moment {
        self.at.moment()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        match self.at {
            Within::Exchange => Verdict::Exchange(ExchangeVerdict::Drop),
            Within::Message => Verdict::Message(MessageVerdict::Drop),
        }
    }
}
