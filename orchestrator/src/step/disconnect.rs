//! Disconnect: containers lose their networks, as if a cable was pulled, and run on.

use serde::Deserialize;

use super::Victims;

/// Whom it hits, and on which network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Disconnect {
    /// `one` (drawn from the seed), `all`, a number (drawn too), or names; `redis` is the store.
    pub(crate) replicas: Victims,
    /// The network; default: every network that they are on.
    pub(crate) network: Option<String>,
}

impl Default for Disconnect {
    fn default() -> Self {
        Self { replicas: Victims::Some(1), network: None }
    }
}

impl Disconnect {
    pub(super) fn describe(&self) -> String {
        match &self.network {
            Some(network) => format!("disconnect {} from {network}", self.replicas),
            None => format!("disconnect {}", self.replicas),
        }
    }
}
