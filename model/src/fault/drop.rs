//! Drop: traffic vanishes, as into a blackhole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, At};
use crate::chance::Draw;
use crate::verdict::{ConnectionVerdict, ExchangeVerdict, MessageVerdict, Moment, Verdict};

/// Swallows traffic. The client is left waiting; when the fault ends, a connection that it stalled
/// goes on, and one whose request or answer it swallowed is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// What is swallowed.
    #[serde(default)]
    pub at: At,
}

impl Act for Drop {
    fn moment(&self) -> Moment {
        self.at.moment()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        match self.at {
            At::Connection => Verdict::Connection(ConnectionVerdict::Stall),
            At::Exchange => Verdict::Exchange(ExchangeVerdict::Drop),
            At::Message => Verdict::Message(MessageVerdict::Drop),
        }
    }
}
