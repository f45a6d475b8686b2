//! Slicer: what a connection carries arrives in small slices.

use std::time::Duration;

use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow};
use crate::chance::Draw;
use crate::size::Size;
use crate::verdict::{ConnectionVerdict, Moment, Shaping, Verdict};

/// Cuts what connections carry into slices, with a pause between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slicer {
    /// Bytes of a slice.
    pub size: Size,
    /// How far the size of a slice strays, at most.
    #[serde(default, skip_serializing_if = "Size::is_zero")]
    pub variation: Size,
    /// The pause between two slices; at most `1h`.
    #[serde(default, with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub delay: Duration,
    /// Which way.
    #[serde(default, skip_serializing_if = "Flow::is_both")]
    pub flow: Flow,
}

impl Act for Slicer {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, draw: &mut Draw) -> Verdict {
        let slice = Shaping::Slice {
            size: self.size.bytes(),
            variation: self.variation.bytes(),
            pause: self.delay,
            seed: draw.random(),
        };
        Verdict::Connection(ConnectionVerdict::Shape(self.flow, slice))
    }
}
