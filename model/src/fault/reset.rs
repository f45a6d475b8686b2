//! Reset: the connection ends with a TCP RST, not with a close.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, At};
use crate::chance::Draw;
use crate::scope::Direction;
use crate::size::Size;
use crate::verdict::{
    ConnectionVerdict, Cut, Ending, ExchangeVerdict, MessageVerdict, Moment, Verdict,
};

/// Resets the client's connection. At an exchange, `direction: request` does so before the request
/// is forwarded and `direction: response` after the upstream has executed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// What sets it off.
    #[serde(default)]
    pub at: At,
    /// At an exchange: only after so many bytes of the answer's body have gone to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Size>,
    /// At a connection: only after so long; at most `1h`.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub delay: Duration,
}

impl Act for Reset {
    fn moment(&self) -> Moment {
        self.at.moment()
    }

    fn direction(&self) -> Direction {
        match (self.at, self.after) {
            (At::Message, _) | (At::Exchange, Some(_)) => Direction::Response,
            (At::Connection | At::Exchange, _) => Direction::Request,
        }
    }

    fn is_one_way(&self) -> bool {
        self.at == At::Message || self.after.is_some()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        match (self.at, self.after) {
            (At::Connection, _) => Verdict::Connection(ConnectionVerdict::Reset(self.delay)),
            (At::Exchange, None) => Verdict::Exchange(ExchangeVerdict::Reset),
            (At::Exchange, Some(after)) => {
                let cut = Cut { after: after.bytes(), ending: Ending::Reset };
                Verdict::Exchange(ExchangeVerdict::Cut(cut))
            }
            (At::Message, _) => Verdict::Message(MessageVerdict::Reset),
        }
    }
}
