//! Refuse: nobody can connect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::verdict::{ConnectionVerdict, Moment, Verdict};

/// Refuses new connections. Without a `chance` the proxy stops listening for as long as the fault lives, so
/// that clients see ECONNREFUSED; with one, the connections that it hits are accepted and reset at once.
/// Open connections go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refuse {}

impl Act for Refuse {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Connection(ConnectionVerdict::Refuse)
    }
}
