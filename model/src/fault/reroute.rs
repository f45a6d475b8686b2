//! Reroute: the request goes to another replica, which does not know the session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Glob;
use crate::verdict::{self, ExchangeVerdict, Moment, Verdict};

/// Sends a request to another upstream than its own: replica amnesia. With one upstream only, it does
/// nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reroute {
    /// Which one, by `HOST:PORT`; by default any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Glob>,
}

impl Act for Reroute {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let to = self.to.clone().map_or(verdict::Reroute::Other, verdict::Reroute::To);
        Verdict::Exchange(ExchangeVerdict::Reroute(to))
    }
}
