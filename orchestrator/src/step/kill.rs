//! Kill: replicas get a signal and stay down until they are started again.

use serde::Deserialize;

use super::Victims;
use crate::world::Signal;

/// Whom it hits, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kill {
    /// `one` (drawn from the seed), `all`, a number (drawn too), or names such as `replica-2`; `redis` is
    /// the store.
    pub(crate) replicas: Victims,
    /// KILL, TERM, INT, QUIT …
    pub(crate) signal: Signal,
}

impl Default for Kill {
    fn default() -> Self {
        Self { replicas: Victims::Some(1), signal: Signal::Kill }
    }
}

impl Kill {
    pub(super) fn describe(&self) -> String {
        format!("kill {} with {}", self.replicas, self.signal)
    }
}
