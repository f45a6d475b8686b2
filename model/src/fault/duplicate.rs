//! Duplicate: a request is delivered twice, or a message arrives twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Within};
use crate::chance::Draw;
use crate::verdict::{ExchangeVerdict, MessageVerdict, Moment, Verdict};

/// Delivers a request to the server twice, one after the other; the client gets the second answer. With
/// `at: message` the client gets a message twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    /// What is repeated.
    #[serde(default)]
    pub at: Within,
}

impl Act for Duplicate {
    fn moment(&self) -> Moment {
        self.at.moment()
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        match self.at {
            Within::Exchange => Verdict::Exchange(ExchangeVerdict::Repeat),
            Within::Message => Verdict::Message(MessageVerdict::Repeat),
        }
    }
}
