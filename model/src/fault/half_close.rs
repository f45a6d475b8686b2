//! Half close: the client is told that nothing more comes, and is still listened to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::verdict::{ConnectionVerdict, Moment, Verdict};

/// Closes the sending half of connections (FIN). What the client sends still reaches the server; the
/// answers vanish. When the fault ends, the connections close.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HalfClose {}

impl Act for HalfClose {
    fn moment(&self) -> Moment {
        Moment::Connection
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Connection(ConnectionVerdict::HalfClose)
    }
}
