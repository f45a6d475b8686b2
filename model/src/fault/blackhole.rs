//! Blackhole: a connection stands still.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow};
use crate::chance::Draw;
use crate::verdict::{ConnectionVerdict, Moment, Stall, Verdict};

/// Lets nothing through on connections, without closing them. When the fault ends, they go on, and what
/// waited arrives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blackhole {
    /// They close after so long; at most `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::time::option")]
    #[schemars(schema_with = "crate::schema::optional_time")]
    pub close_after: Option<Duration>,
    /// They close when the fault ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub close_on_end: bool,
    /// Which way.
    #[serde(default, skip_serializing_if = "Flow::is_both")]
    pub flow: Flow,
}

impl Act for Blackhole {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Connection(ConnectionVerdict::Stall(Stall {
            flow: self.flow,
            close_after: self.close_after,
            close_on_end: self.close_on_end,
        }))
    }
}
