//! Restart: replicas are asked to end in order, started at once, and have to become ready.

use std::time::Duration;

use serde::Deserialize;

use super::Victims;
use super::stop::GRACE;

/// Whom it hits, how long they have to end, and how soon they must be ready.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Restart {
    /// `one` (drawn from the seed), `all`, a number (drawn too), or names; `redis` is the store.
    pub(crate) replicas: Victims,
    /// How long they may take to end before they are killed; `0s` is a restart without a word.
    #[serde(with = "crate::scalar::time")]
    pub(crate) grace: Duration,
    /// How long it may take until they are ready.
    #[serde(with = "crate::scalar::time")]
    pub(crate) within: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self { replicas: Victims::Some(1), grace: GRACE, within: Duration::from_secs(10) }
    }
}

impl Restart {
    pub(super) fn describe(&self) -> String {
        format!("restart {}", self.replicas)
    }
}
