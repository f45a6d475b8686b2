//! Pause clients: Redis takes commands and answers none for a while (`CLIENT PAUSE`).

use std::time::Duration;

use serde::Deserialize;

/// For how long. The pause ends by itself, whatever becomes of the drill; the step does not wait
/// for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseClients {
    /// Such as `3s`; Redis counts in milliseconds.
    #[serde(rename = "for", with = "humantime_serde")]
    pub(crate) lasting: Duration,
}

impl PauseClients {
    pub(super) fn describe(&self) -> String {
        format!("let redis answer nobody for {}", humantime::format_duration(self.lasting))
    }
}
