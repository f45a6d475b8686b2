//! Truncate: the answer's body ends early.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Direction;
use crate::size::Size;
use crate::verdict::{Cut, Ending, ExchangeVerdict, Moment, Verdict};

/// Ends the answer's body after some bytes. The server has executed the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Truncate {
    /// How much of the body arrives.
    pub after: Size,
    /// How it ends: `clean` is valid HTTP with half a body.
    #[serde(default)]
    pub ending: Ending,
}

impl Act for Truncate {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn direction(&self) -> Direction {
        Direction::Response
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let cut = Cut { after: self.after.bytes(), ending: self.ending };
        Verdict::Exchange(ExchangeVerdict::Cut(cut))
    }
}
