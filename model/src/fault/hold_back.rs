//! Hold back: the answer is held back until it is complete, as a buffering middlebox does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Direction;
use crate::verdict::{ExchangeVerdict, Moment, Verdict};

/// Collects the server's answer, up to 16 MiB, and sends it when it is complete. A stream that never
/// ends never arrives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldBack {}

impl Act for HoldBack {
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
        Verdict::Exchange(ExchangeVerdict::HoldBack)
    }
}
