//! Start: replicas that were killed are started again, and have to become ready.

use std::time::Duration;

use serde::Deserialize;

use super::Victims;

/// Who is started, and how soon it must be ready.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Start {
    /// Default: every replica that is down.
    pub(crate) replicas: Victims,
    /// How long it may take until they are ready.
    #[serde(with = "crate::scalar::time")]
    pub(crate) within: Duration,
}

impl Default for Start {
    fn default() -> Self {
        Self { replicas: Victims::All, within: Duration::from_secs(10) }
    }
}

impl Start {
    pub(super) fn describe(&self) -> String {
        match self.replicas {
            Victims::All => "start what is down".to_owned(),
            _ => format!("start {}", self.replicas),
        }
    }
}
