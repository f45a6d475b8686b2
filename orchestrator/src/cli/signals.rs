//! SIGINT and SIGTERM, heard from the moment that a command begins.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, not_started};

/// The two signals that ask a command to end.
#[derive(Debug)]
pub(super) struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    /// Hears them from now on. Needs a runtime.
    pub(super) fn hear() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(not_started);
        Ok(Self { int: hear(SignalKind::interrupt())?, term: hear(SignalKind::terminate())? })
    }

    /// Resolves at the next one, with its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.int.recv() => "SIGINT",
            _ = self.term.recv() => "SIGTERM",
        }
    }
}
