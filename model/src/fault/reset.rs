//! Reset: the connection ends with a TCP RST, not with a close.

use serde::{Deserialize, Serialize};

use super::At;
use crate::verdict::{ConnectionVerdict, ExchangeVerdict, MessageVerdict, Verdict};

/// Resets the client's connection. At an exchange, `direction: request` does so before the request
/// is forwarded and `direction: response` after the upstream has executed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// What sets it off.
    #[serde(default)]
    pub at: At,
}

impl Reset {
    pub(super) fn decide(&self) -> Verdict {
        match self.at {
            At::Connection => Verdict::Connection(ConnectionVerdict::Reset),
            At::Exchange => Verdict::Exchange(ExchangeVerdict::Reset),
            At::Message => Verdict::Message(MessageVerdict::Reset),
        }
    }
}
