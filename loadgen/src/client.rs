//! One MCP client of the session era, on raw HTTP/1.1, that hides nothing: no retry, ever.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use squall_model::fault::FaultId;
use squall_model::history::{Nanos, Outcome};
use squall_model::mcp::era::ProtocolVersion;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::plan::ClientName;
use crate::target::Target;

mod answer;
mod call;
mod close;
mod connect;
mod courtesy;
mod exchange;
mod initialize;
mod initialized;
mod resume;
mod trouble;

pub(crate) use answer::result_of;

pub(crate) use call::Call;
pub(crate) use connect::ConnectNotes;
use connect::Connection;
pub(crate) use initialize::Capabilities;

/// What all clients of a load have in common.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    pub(crate) version: ProtocolVersion,
    pub(crate) name: ClientName,
    pub(crate) clock: Clock,
    /// When it is cancelled, whatever is in flight is given up.
    pub(crate) cut: CancellationToken,
    /// What went wrong on this side when connecting.
    pub(crate) notes: ConnectNotes,
}

/// One client: at most one connection, at most one session, one exchange at a time.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Arc<Wire>,
    connection: Option<Connection>,
    session: Option<Session>,
    last_rpc_id: u64,
}

/// A session as the server opened it.
#[derive(Clone, Debug)]
struct Session {
    /// Its id; a server may do without.
    id: Option<SessionId>,
    version: ProtocolVersion,
}

/// A session's id, ready to be sent and ready to be recorded.
#[derive(Clone, Debug)]
struct SessionId {
    header: HeaderValue,
    text: Arc<str>,
}

/// How one exchange went, for the record.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) session: Option<Arc<str>>,
    pub(crate) sent: Option<Nanos>,
    pub(crate) completed: Nanos,
    pub(crate) outcome: Outcome,
    pub(crate) faults: Vec<FaultId>,
}

/// What is known of an exchange while it runs; it outlives one that is given up.
#[derive(Debug, Default)]
struct Trace {
    sent: Option<Nanos>,
    status: Option<StatusCode>,
    answered: Option<Nanos>,
    faults: Vec<FaultId>,
}

impl Client {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, connection: None, session: None, last_rpc_id: 0 }
    }

    /// Whether there is a session to send on.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    fn session_text(&self) -> Option<Arc<str>> {
        let id = self.session.as_ref()?.id.as_ref()?;
        Some(Arc::clone(&id.text))
    }

    fn next_rpc_id(&mut self) -> u64 {
        self.last_rpc_id += 1;
        self.last_rpc_id
    }

    fn report(&self, trace: Trace, session: Option<Arc<str>>, outcome: Outcome) -> Report {
        Report {
            session,
            sent: trace.sent,
            completed: trace.answered.unwrap_or_else(|| self.wire.clock.now()),
            outcome,
            faults: trace.faults,
        }
    }
}
