//! Unpause: what an earlier step has frozen goes on.

use serde::Deserialize;

use super::Victims;

/// Who goes on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Unpause {
    /// Default: every one that is paused.
    pub(crate) replicas: Victims,
}

impl Default for Unpause {
    fn default() -> Self {
        Self { replicas: Victims::All }
    }
}

impl Unpause {
    pub(super) fn describe(&self) -> String {
        match self.replicas {
            Victims::All => "unpause what is paused".to_owned(),
            _ => format!("unpause {}", self.replicas),
        }
    }
}
