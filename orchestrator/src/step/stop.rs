//! Stop: replicas are asked to end in order, as a deployment asks them, and stay down.

use std::time::Duration;

use serde::Deserialize;

use super::Victims;

/// Whom it hits, and how long they have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stop {
    /// `one` (drawn from the seed), `all`, a number (drawn too), or names; `redis` is the store.
    pub(crate) replicas: Victims,
    /// How long they may take before they are killed.
    #[serde(with = "crate::scalar::time")]
    pub(crate) grace: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { replicas: Victims::Some(1), grace: GRACE }
    }
}

/// What Docker gives containers, too.
pub(super) const GRACE: Duration = Duration::from_secs(10);

impl Stop {
    pub(super) fn describe(&self) -> String {
        format!("stop {}", self.replicas)
    }
}
