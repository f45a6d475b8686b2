//! The one record format: what happened, when, and how it ended, from every process of a drill.
//!
//! A history file is JSON Lines. Its first record is an [`Anchor`]; every other record's times are
//! nanoseconds since that anchor, so that the files of several processes can be merged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::FaultId;
use crate::operation::OperationId;

/// A moment: nanoseconds since the [`Anchor`] of the process that recorded it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The moment `elapsed` after the anchor.
    pub fn after_anchor(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time from `earlier` to here; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `later` from here.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(Self::after_anchor(later).0))
    }

    /// The same moment by another process's anchor. Moments before that anchor become zero.
    #[must_use]
    pub fn rebased(self, from: Anchor, to: Anchor) -> Self {
        let wall = from.wall.saturating_add(self.0);
        Self(wall.saturating_sub(to.wall))
    }
}

/// When a process began to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Nanoseconds since the Unix epoch, read at the same time as the monotonic clock.
    pub wall: u64,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The first line: where the times count from.
    Anchor(Anchor),
    /// One operation of the load generator.
    Operation(Operation),
    /// One act of one fault.
    Injection(Injection),
    /// Something that a drill did, or that happened to what it drills.
    Event(Event),
}

/// One operation of a load generator's session, from when it was due until it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its stable name.
    pub id: OperationId,
    /// What it did: `initialize`, `notifications/initialized`, `tools/call fast-echo` …
    pub name: Arc<str>,
    /// The `Mcp-Session-Id` it was sent with, or, for `initialize`, that it received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// When it should have been sent. Latency counts from here.
    pub due: Nanos,
    /// When it was sent; `None` if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Nanos>,
    /// When its outcome was known.
    pub completed: Nanos,
    /// How it ended.
    pub outcome: Outcome,
    /// The faults that its answer names in `x-squall-fault`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultId>,
}

impl Operation {
    /// From due to completed.
    pub fn latency(&self) -> Duration {
        self.completed.since(self.due)
    }

    /// Whether it is part of the handshake and not of the workload.
    pub fn is_handshake(&self) -> bool {
        matches!(&*self.name, "initialize" | "notifications/initialized")
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A good answer.
    Ok,
    /// Certainly not done, or answered with an error.
    Failed(Cause),
    /// No answer, and it may have been executed: a timeout or a lost connection after it was sent.
    Unknown(Cause),
}

impl Outcome {
    /// Whether it went well.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }

    /// Why it did not go well.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Ok => None,
            Self::Failed(cause) | Self::Unknown(cause) => Some(cause),
        }
    }
}

/// Why an operation did not go well.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No connection could be made.
    Refused,
    /// The connection ended with a TCP RST.
    Reset,
    /// The connection was closed before an answer.
    Closed,
    /// No answer in time.
    Timeout,
    /// The answer's HTTP status.
    Http(u16),
    /// A proxy answered for an upstream that failed; the text is its word for the cause.
    Gateway(String),
    /// The answer was a JSON-RPC error of this code.
    JsonRpc(i64),
    /// The tool's result says `isError`.
    ToolError,
    /// The answer's stream ended before the answer.
    StreamCut,
    /// The answer broke the protocol, in a few words.
    Protocol(String),
    /// There was no session to send it on: the handshake before it failed.
    NoSession,
    /// The run ended before it was sent.
    NotSent,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("connection closed"),
            Self::Timeout => f.write_str("timeout"),
            Self::Http(status) => write!(f, "HTTP {status}"),
            Self::Gateway(cause) => write!(f, "upstream failed ({cause})"),
            Self::JsonRpc(code) => write!(f, "JSON-RPC error {code}"),
            Self::ToolError => f.write_str("tool error"),
            Self::StreamCut => f.write_str("stream cut"),
            Self::Protocol(what) => write!(f, "protocol violation ({what})"),
            Self::NoSession => f.write_str("no session"),
            Self::NotSent => f.write_str("not sent"),
        }
    }
}

/// One act of one fault, recorded by the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injection {
    /// When it was decided.
    pub at: Nanos,
    /// Which fault.
    pub fault: FaultId,
    /// The effect's name.
    pub effect: String,
    /// The operation it hit, where the traffic names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The session it hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The JSON-RPC method it hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// Something that a drill did, or that happened to what it drills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it began.
    pub at: Nanos,
    /// When it was done, for what takes time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Nanos>,
    /// What: `phase`, `step`, `undo`, `lease`, `process` …
    pub kind: String,
    /// In words for people.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Seed;

    #[test]
    fn a_record_survives_the_journey_through_a_line_of_json() {
        let record = Record::Operation(Operation {
            id: OperationId::new(Seed::new(1), 2, 3),
            name: "tools/call fast-echo".into(),
            session: Some("abc".into()),
            due: Nanos(1),
            sent: None,
            completed: Nanos(5),
            outcome: Outcome::Failed(Cause::Http(404)),
            faults: vec!["f".parse().expect("an id")],
        });
        let line = serde_json::to_string(&record).expect("a record is JSON");
        assert_eq!(serde_json::from_str::<Record>(&line).expect(&line), record);
    }

    #[test]
    fn the_moments_of_two_processes_meet_on_one_axis() {
        let (drill, proxy) = (Anchor { wall: 1_000 }, Anchor { wall: 1_300 });
        assert_eq!(Nanos(50).rebased(proxy, drill), Nanos(350));
        assert_eq!(Nanos(50).rebased(drill, proxy), Nanos(0));
    }
}
