//! Expire session: the server seems to have forgotten the session.

use serde::{Deserialize, Serialize};

use crate::verdict::{ExchangeVerdict, Verdict};

/// Answers 404 to the request and to every later one of its session, as a server does that has
/// terminated it; the client must start anew with `initialize`
/// (MCP 2025-11-25, basic/transports, session management).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpireSession {}

impl ExpireSession {
    pub(super) fn decide(&self) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::ExpireSession)
    }
}
