//! A fault is data: an id, what it matches, how often, for how long, and THE list of effects.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chance::{Chance, Draw};
use crate::mcp::envelope::Kind;
use crate::scope::{Direction, Scope, Subject};
use crate::verdict::{Moment, Verdict};

mod at;
mod drop;
mod expire_session;
mod http_status;
mod jsonrpc_error;
mod latency;
mod reset;

pub use at::At;
pub use drop::Drop;
pub use expire_session::ExpireSession;
pub use http_status::HttpStatus;
pub use jsonrpc_error::JsonrpcError;
pub use latency::{Distribution, Latency};
pub use reset::Reset;

/// One fault, as files, the admin API and the command line write it.
///
/// ```yaml
/// id: slow-calls
/// match: { tool: "fast-*" }
/// chance: { probability: 0.1 }
/// lease: 30s
/// effect: { latency: { delay: 200ms } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
pub struct Fault {
    /// Unique among the live faults.
    pub id: FaultId,
    /// Which traffic.
    #[serde(rename = "match", default)]
    pub scope: Scope,
    /// Which of the matches.
    #[serde(default)]
    pub chance: Chance,
    /// The fault ends by itself so long after it was added or last renewed.
    #[serde(default, with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// Whether the subject is one that this fault may act on. Chance is not asked yet.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.scope.matches(subject, self.effect.default_direction())
            && self.effect.applies_to(subject)
    }
}

/// THE list of effects. A new one is a variant here and a file in `fault/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Traffic arrives later.
    Latency(Latency),
    /// Traffic vanishes: a blackhole.
    Drop(Drop),
    /// The connection ends with a TCP RST.
    Reset(Reset),
    /// The client gets an HTTP status of our choice.
    HttpStatus(HttpStatus),
    /// The client gets a JSON-RPC error of our choice.
    JsonrpcError(JsonrpcError),
    /// The session is gone: 404 until a new `initialize`.
    ExpireSession(ExpireSession),
}

/// The names of all effects, as files write them, in the order of [`Effect`].
pub const EFFECT_NAMES: [&str; 6] =
    ["latency", "drop", "reset", "http-status", "jsonrpc-error", "expire-session"];

impl Effect {
    /// The name that files use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Drop(_) => "drop",
            Self::Reset(_) => "reset",
            Self::HttpStatus(_) => "http-status",
            Self::JsonrpcError(_) => "jsonrpc-error",
            Self::ExpireSession(_) => "expire-session",
        }
    }

    /// When it acts.
    pub fn moment(&self) -> Moment {
        match self {
            Self::Latency(effect) => effect.at.moment(),
            Self::Drop(effect) => effect.at.moment(),
            Self::Reset(effect) => effect.at.moment(),
            Self::HttpStatus(_) | Self::JsonrpcError(_) | Self::ExpireSession(_) => {
                Moment::Exchange
            }
        }
    }

    /// What a match that fires leads to. Pure: all chance comes from `draw`.
    pub fn decide(&self, draw: &mut Draw) -> Verdict {
        match self {
            Self::Latency(effect) => effect.decide(draw),
            Self::Drop(effect) => effect.decide(),
            Self::Reset(effect) => effect.decide(),
            Self::HttpStatus(effect) => effect.decide(),
            Self::JsonrpcError(effect) => effect.decide(),
            Self::ExpireSession(effect) => effect.decide(),
        }
    }

    fn default_direction(&self) -> Direction {
        match self.moment() {
            Moment::Connection | Moment::Exchange => Direction::Request,
            Moment::Message => Direction::Response,
        }
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::JsonrpcError(_) => subject.messages.iter().any(|m| m.kind == Kind::Request),
            Self::ExpireSession(_) => subject.session.is_some(),
            Self::Latency(_) | Self::Drop(_) | Self::Reset(_) | Self::HttpStatus(_) => true,
        }
    }
}

/// The name of a fault: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it fits a header, a path and a label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultId(std::sync::Arc<str>);

impl FaultId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name a fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot name a fault: 1 to 64 of A-Z a-z 0-9 . _ - were expected")]
pub struct BadFaultId(String);

impl TryFrom<String> for FaultId {
    type Error = BadFaultId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadFaultId(text.chars().take(80).collect()))
        }
    }
}

impl FromStr for FaultId {
    type Err = BadFaultId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<FaultId> for String {
    fn from(id: FaultId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A fault as it was written, before its parts are held against each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    id: FaultId,
    #[serde(rename = "match", default)]
    scope: Scope,
    #[serde(default)]
    chance: Chance,
    #[serde(default, with = "humantime_serde::option")]
    lease: Option<Duration>,
    effect: Effect,
}

/// A fault whose parts contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum BadFault {
    /// A connection has no method, session or header.
    #[error(
        "fault `{0}` acts at a connection, which has no method, tool, session or header: leave `match` empty"
    )]
    ScopedConnection(FaultId),
    /// Only messages on their way to the client are told apart.
    #[error(
        "fault `{0}` acts at a message, which flows to the client: leave `direction` out, or say `response`"
    )]
    MessageFromClient(FaultId),
    /// Expiry is a lookup that fails; there is nothing to do to an answer.
    #[error(
        "fault `{0}` expires a session, which is seen by a request: leave `direction` out, or say `request`"
    )]
    ExpiryOfResponse(FaultId),
    /// A fault that could never fire.
    #[error("fault `{0}` can never fire: `{1}` counts from 1, found 0")]
    NeverFires(FaultId, &'static str),
}

impl TryFrom<Unchecked> for Fault {
    type Error = BadFault;

    fn try_from(raw: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { id, scope, chance, lease, effect } = raw;
        match (effect.moment(), scope.direction) {
            (Moment::Connection, _) if scope.needs_an_exchange() => {
                return Err(BadFault::ScopedConnection(id));
            }
            (Moment::Message, Some(Direction::Request)) => {
                return Err(BadFault::MessageFromClient(id));
            }
            (Moment::Exchange, Some(Direction::Response))
                if matches!(effect, Effect::ExpireSession(_)) =>
            {
                return Err(BadFault::ExpiryOfResponse(id));
            }
            _ => {}
        }
        for (name, count) in [("nth", chance.nth), ("max_hits", chance.max_hits)] {
            if count == Some(0) {
                return Err(BadFault::NeverFires(id, name));
            }
        }
        Ok(Self { id, scope, chance, lease, effect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(effect: &str, scope: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"id":"f","match":{scope},"effect":{effect}}}"#))
    }

    #[test]
    fn every_effect_is_written_under_its_name() {
        let samples = [
            r#"{"latency":{"delay":"200ms"}}"#,
            r#"{"drop":{}}"#,
            r#"{"reset":{}}"#,
            r#"{"http-status":{"status":503}}"#,
            r#"{"jsonrpc-error":{"code":-32000}}"#,
            r#"{"expire-session":{}}"#,
        ];
        for (sample, name) in samples.into_iter().zip(EFFECT_NAMES) {
            let fault = parse(sample, "{}").expect(sample);
            assert_eq!(fault.effect.name(), name);
            let written = serde_json::to_string(&fault).expect("a fault is JSON");
            assert_eq!(serde_json::from_str::<Fault>(&written).expect(&written), fault);
        }
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused_with_advice() {
        for (effect, scope, says) in [
            (r#"{"drop":{"at":"connection"}}"#, r#"{"tool":"x"}"#, "leave `match` empty"),
            (r#"{"drop":{"at":"message"}}"#, r#"{"direction":"request"}"#, "say `response`"),
            (r#"{"expire-session":{}}"#, r#"{"direction":"response"}"#, "say `request`"),
            (r#"{"http-status":{"status":99}}"#, "{}", "200 to 599"),
            (r#"{"latency":{"delay":"2h"}}"#, "{}", "1h"),
            (r#"{"latency":{"delay":"1s","jiter":"1s"}}"#, "{}", "jitter"),
            (r#"{"latncy":{}}"#, "{}", "latency"),
        ] {
            let error = parse(effect, scope).expect_err(effect).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_fault_id_fits_a_header_a_path_and_a_label() {
        for bad in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<FaultId>().is_err(), "{bad:?}");
        }
        assert!("slow-calls_2.b".parse::<FaultId>().is_ok());
    }
}
