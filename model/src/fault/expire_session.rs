//! Expire session: the server seems to have forgotten the session.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::Status;
use crate::chance::{Draw, Probability};
use crate::scope::Subject;
use crate::seed::split_mix;
use crate::verdict::{ExchangeVerdict, Moment, Verdict};

/// Answers 404 to the request and to every later one of its session, as a server does that has
/// terminated it; the client must start anew with `initialize`
/// (MCP 2025-11-25, basic/transports, session management). The server keeps the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpireSession {
    /// Which share of the sessions: a session belongs to it or not, however often it is used.
    #[serde(default, skip_serializing_if = "is_certain")]
    pub share: Probability,
    /// Which sessions: a client that starts anew keeps its new session, unless this says `any`.
    #[serde(default, skip_serializing_if = "Sessions::is_existing")]
    pub sessions: Sessions,
    /// The status where 404 is due, for servers that do not know better.
    #[serde(default = "not_found", skip_serializing_if = "is_not_found")]
    pub status: Status,
}

/// The sessions that may expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// Those that were there when the fault was added.
    #[default]
    Existing,
    /// New ones, too.
    Any,
}

impl Sessions {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_existing(&self) -> bool {
        *self == Self::Existing
    }
}

fn not_found() -> Status {
    Status::known(StatusCode::NOT_FOUND)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_not_found(status: &Status) -> bool {
    *status == not_found()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_certain(share: &Probability) -> bool {
    *share == Probability::CERTAIN
}

impl Act for ExpireSession {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.session.is_some_and(|session| place(session) < self.share.value())
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::ExpireSession(self.status.code()))
    }
}

/// Where a session lies among all, from 0 up to 1, by its id alone.
fn place(session: &str) -> f64 {
    let mixed = session.bytes().fold(1, |state, byte| split_mix(state ^ u64::from(byte)));
    mixed as f64 / (u64::MAX as f64 + 2048.0) // the next number up, so that 1 is never reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_sessions_is_about_that_share() {
        let hit = (0..10_000).filter(|n| place(&format!("session-{n}")) < 0.3).count();
        assert!((2_800..3_200).contains(&hit), "{hit}");
        assert!((0..10_000).all(|n| place(&n.to_string()) < 1.0));
    }
}
