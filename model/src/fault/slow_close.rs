//! Slow close: the end of a connection comes late.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow};
use crate::chance::Draw;
use crate::verdict::{ConnectionVerdict, Moment, Shaping, Verdict};

/// Holds the end of connections back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowClose {
    /// How long; at most `1h`.
    #[serde(with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub delay: Duration,
    /// Which way.
    #[serde(default, skip_serializing_if = "Flow::is_both")]
    pub flow: Flow,
}

impl Act for SlowClose {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Connection(ConnectionVerdict::Shape(self.flow, Shaping::LateEnd(self.delay)))
    }
}
