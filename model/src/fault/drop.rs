//! Drop: traffic vanishes, as into a blackhole.

use serde::{Deserialize, Serialize};

use super::At;
use crate::verdict::{ConnectionVerdict, ExchangeVerdict, MessageVerdict, Verdict};

/// Swallows traffic. The client is left waiting; when the fault ends, a connection that it stalled
/// goes on, and one whose request or answer it swallowed is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// What is swallowed.
    #[serde(default)]
    pub at: At,
}

impl Drop {
    pub(super) fn decide(&self) -> Verdict {
        match self.at {
            At::Connection => Verdict::Connection(ConnectionVerdict::Stall),
            At::Exchange => Verdict::Exchange(ExchangeVerdict::Drop),
            At::Message => Verdict::Message(MessageVerdict::Drop),
        }
    }
}
