//! Where sessions live: in memory here, elsewhere behind the same few verbs.

mod memory;
mod session_id;

use std::time::Duration;

use squall_model::mcp::era::ProtocolVersion;

use memory::MemoryStore;
pub(crate) use session_id::SessionId;

/// What is remembered of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The version that `initialize` settled on.
    pub(crate) version: ProtocolVersion,
}

/// A store that could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(
        "all {limit} sessions of this server are taken: end one with DELETE, or try again later"
    )]
    Full { limit: usize },
    #[error("the operating system gave no random bytes for a session id")]
    NoRandomness(#[source] getrandom::Error),
}

/// The sessions of this server, or of all servers that share it.
pub(crate) enum Store {
    /// In this process: a restart forgets them.
    Memory(MemoryStore),
}

#[expect(
    clippy::unused_async,
    reason = "a store across the network waits and fails; its callers are written for that"
)]
impl Store {
    pub(crate) fn memory(limit: usize, ttl: Duration) -> Self {
        Self::Memory(MemoryStore::new(limit, ttl))
    }

    /// Begins a session under a fresh id.
    pub(crate) async fn create(&self, session: Session) -> Result<SessionId, StoreError> {
        let id = SessionId::random().map_err(StoreError::NoRandomness)?;
        match self {
            Self::Memory(store) => store.insert(id, session),
        }
    }

    /// The session of that id, if it is alive; it is then alive for another TTL.
    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.find(id)),
        }
    }

    /// Ends a session; false if there was none.
    pub(crate) async fn remove(&self, id: SessionId) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.remove(id)),
        }
    }

    /// Forgets the sessions that have been idle for too long, and names them.
    pub(crate) async fn sweep(&self) -> Result<Vec<SessionId>, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.sweep()),
        }
    }

    /// How many sessions are alive.
    pub(crate) async fn count(&self) -> Result<usize, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.count()),
        }
    }
}
