//! Reconnect: what an earlier step has disconnected gets its networks back, aliases and addresses
//! included.

use serde::Deserialize;

use super::Victims;

/// Who is connected again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reconnect {
    /// Default: every one that is disconnected.
    pub(crate) replicas: Victims,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { replicas: Victims::All }
    }
}

impl Reconnect {
    pub(super) fn describe(&self) -> String {
        match self.replicas {
            Victims::All => "reconnect what is disconnected".to_owned(),
            _ => format!("reconnect {}", self.replicas),
        }
    }
}
