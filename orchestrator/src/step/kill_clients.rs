//! Kill clients: Redis drops the connection of every client (`CLIENT KILL`), subscribers included.

use serde::Deserialize;

/// Nothing can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KillClients {}

impl KillClients {
    pub(super) fn describe(&self) -> String {
        "drop the connections of all clients of redis".to_owned()
    }
}
