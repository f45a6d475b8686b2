//! Limit bytes: a connection ends after so many bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow};
use crate::chance::Draw;
use crate::size::Size;
use crate::verdict::{ConnectionVerdict, Ending, Moment, Shaping, Verdict};

/// Ends connections when they have carried so many bytes, counted from when the fault meets them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitBytes {
    /// How many.
    pub bytes: Size,
    /// How they end; `clean` is the same as `close`.
    #[serde(default)]
    pub ending: Ending,
    /// Which way is counted, each for itself.
    #[serde(default = "down")]
    pub flow: Flow,
}

impl Act for LimitBytes {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let limit = Shaping::Limit { bytes: self.bytes.bytes(), ending: self.ending };
        Verdict::Connection(ConnectionVerdict::Shape(self.flow, limit))
    }
}

fn down() -> Flow {
    Flow::Down
}
