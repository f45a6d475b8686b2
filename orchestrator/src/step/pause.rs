//! Pause: replicas freeze. Their connections stay open, and nothing answers.

use serde::Deserialize;

use super::Victims;

/// Whom it hits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pause {
    /// `one` (drawn from the seed), `all`, a number (drawn too), or names; `redis` is the store.
    pub(crate) replicas: Victims,
}

impl Default for Pause {
    fn default() -> Self {
        Self { replicas: Victims::Some(1) }
    }
}

impl Pause {
    pub(super) fn describe(&self) -> String {
        format!("pause {}", self.replicas)
    }
}
