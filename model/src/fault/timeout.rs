//! Timeout: no answer comes, and in the end the connection closes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::verdict::{ExchangeVerdict, Moment, Verdict};

/// Swallows the request, or its answer, and closes the connection after a while. The client is left
/// waiting until then, or until the fault ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// How long the client waits for nothing; at most `1h`.
    #[serde(with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub after: Duration,
}

impl Act for Timeout {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Timeout(self.after))
    }
}
