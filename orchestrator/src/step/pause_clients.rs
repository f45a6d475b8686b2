//! Pause clients: Redis takes commands and answers none for a while (`CLIENT PAUSE`).

use std::time::Duration;

use serde::Deserialize;

/// The longest pause: nothing can end it before its time, whatever becomes of the drill.
const MOST: Duration = Duration::from_secs(60);

/// For how long. The pause ends by itself, whatever becomes of the drill; the step does not wait
/// for it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Draft")]
pub(crate) struct PauseClients {
    pub(crate) lasting: Duration,
}

/// As it is written, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// Such as `3s`; Redis counts in milliseconds.
    #[serde(rename = "for", with = "crate::scalar::time")]
    lasting: Duration,
}

impl TryFrom<Draft> for PauseClients {
    type Error = String;

    fn try_from(draft: Draft) -> Result<Self, String> {
        if draft.lasting > MOST {
            let found = humantime::format_duration(draft.lasting);
            return Err(format!(
                "{found} is too long: a minute at most was expected, for nothing ends such a pause before its time"
            ));
        }
        Ok(Self { lasting: draft.lasting })
    }
}

impl PauseClients {
    pub(super) fn describe(&self) -> String {
        format!("let redis answer nobody for {}", humantime::format_duration(self.lasting))
    }
}
