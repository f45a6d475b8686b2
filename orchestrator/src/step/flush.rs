//! Flush: Redis forgets everything (`FLUSHALL`), and with it all sessions.

use serde::Deserialize;

/// Nothing can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flush {}

impl Flush {
    pub(super) fn describe(&self) -> String {
        "flush redis".to_owned()
    }
}
