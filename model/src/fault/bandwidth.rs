//! Bandwidth: connections carry so many bytes a second and no more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow};
use crate::chance::Draw;
use crate::size::Size;
use crate::verdict::{ConnectionVerdict, Moment, Shaping, Verdict};

/// Slows connections down to a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    /// Bytes a second: `100KB`. With `0`, connections stand still.
    pub rate: Size,
    /// Whether all connections share the rate, instead of each having its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Which way.
    #[serde(default, skip_serializing_if = "Flow::is_both")]
    pub flow: Flow,
}

impl Act for Bandwidth {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let rate = Shaping::Rate { bytes: self.rate.bytes(), shared: self.shared };
        Verdict::Connection(ConnectionVerdict::Shape(self.flow, rate))
    }
}
