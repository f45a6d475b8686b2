//! Wait: nothing is done for a while, so that what is broken has time to hurt.

use std::time::Duration;

use serde::Deserialize;

/// How long, such as `3s`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Wait(#[serde(with = "crate::scalar::time")] pub(crate) Duration);

impl Wait {
    pub(super) fn describe(&self) -> String {
        format!("wait {}", humantime::format_duration(self.0))
    }
}
