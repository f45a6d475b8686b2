//! Where sessions live: in memory here, elsewhere behind the same few verbs.

mod cache;
mod memory;
mod redis;
mod session_id;

use std::sync::Arc;

use squall_model::mcp::era::ProtocolVersion;

use memory::MemoryStore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::client::{Capabilities, Level};
use crate::config::Config;

use self::redis::RedisStore;
use crate::redis_link::{Link, LinkError};
pub(crate) use cache::SessionCache;
pub(crate) use session_id::SessionId;

/// What is remembered of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The version that `initialize` settled on.
    pub(crate) version: ProtocolVersion,
    /// What its client can be asked for.
    pub(crate) client: Capabilities,
    /// The least grave log messages that its client wants to hear of. `info`, until it says.
    pub(crate) level: Level,
    /// The resources that its client subscribed to.
    pub(crate) subscriptions: Vec<String>,
}

/// What a session's client may change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Level(Level),
    Subscribe(String),
    Unsubscribe(String),
}

/// Resources that a session may subscribe to.
pub(crate) const MOST_SUBSCRIPTIONS: usize = 100;

impl Session {
    pub(crate) fn new(version: ProtocolVersion, client: Capabilities) -> Self {
        Self { version, client, level: Level::Info, subscriptions: Vec::new() }
    }

    /// Whether its streams begin with an event that says nothing but its id (2025-11-25).
    pub(crate) fn is_primed(&self) -> bool {
        self.version >= ProtocolVersion::V2025_11_25
    }
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
    #[error("the session store is unreachable (Redis does not answer): try again in a moment")]
    Unreachable(#[source] LinkError),
    #[error("the session store cannot be used: Redis refused a command with {0}")]
    Refused(String),
}

/// What a store is, and whether it can be used just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Health {
    pub(crate) kind: &'static str,
    pub(crate) up: bool,
    /// What becomes of requests while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_failure: Option<OnStoreFailure>,
}

/// What becomes of requests just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The store answers, and all are served.
    Up,
    /// The store is down, and all are refused.
    Refuse,
    /// The store is down, and the sessions that are known go on.
    Degrade,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Up, Self::Refuse, Self::Degrade];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Refuse => OnStoreFailure::Refuse.name(),
            Self::Degrade => OnStoreFailure::Degrade.name(),
        }
    }
}

impl Health {
    pub(crate) fn mode(self) -> Mode {
        match self.on_failure {
            _ if self.up => Mode::Up,
            Some(OnStoreFailure::Degrade) => Mode::Degrade,
            Some(OnStoreFailure::Refuse) | None => Mode::Refuse,
        }
    }

    /// Whether requests of sessions that are known are served.
    pub(crate) fn serves(self) -> bool {
        self.mode() != Mode::Refuse
    }
}

/// What becomes of requests while the store is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreFailure {
    /// All are refused with 503.
    #[default]
    Refuse,
    /// Sessions that this replica has seen within their TTL go on from what it remembers; new ones are
    /// refused with 503.
    Degrade,
}

impl OnStoreFailure {
    /// As the command line and JSON say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Degrade => "degrade",
        }
    }
}

/// The sessions of this server, or of all servers that share it.
pub(crate) enum Store {
    /// In this process: a restart forgets them.
    Memory(MemoryStore),
    /// In Redis: shared, and kept when this process ends.
    Redis(RedisStore),
}

impl Store {
    /// In Redis, where there is a link to one, or else in this process.
    pub(crate) fn new(
        config: &Config,
        link: Option<&Arc<Link>>,
        cache: &Arc<SessionCache>,
    ) -> Self {
        let (limit, ttl) = (config.max_sessions, config.session_ttl);
        match link {
            None => Self::Memory(MemoryStore::new(limit, ttl)),
            Some(link) => {
                Self::Redis(RedisStore::new(link, limit, ttl, cache, config.on_store_failure))
            }
        }
    }

    /// As it was when the store was last used: this asks nothing of anybody.
    pub(crate) fn health(&self) -> Health {
        match self {
            Self::Memory(_) => Health { kind: "memory", up: true, on_failure: None },
            Self::Redis(store) => {
                Health { kind: "redis", up: store.is_up(), on_failure: Some(store.on_failure()) }
            }
        }
    }

    /// Begins a session under a fresh id.
    pub(crate) async fn create(&self, session: Session) -> Result<SessionId, StoreError> {
        let id = SessionId::random().map_err(StoreError::NoRandomness)?;
        match self {
            Self::Memory(store) => store.insert(id, session),
            Self::Redis(store) => store.insert(id, session).await,
        }
    }

    /// The session of that id, if it is alive; it is then alive for another TTL.
    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.find(id)),
            Self::Redis(store) => store.find(id).await,
        }
    }

    /// Changes a session, if it is alive. The caller has seen that there is room.
    pub(crate) async fn change(&self, id: SessionId, change: &Change) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => {
                store.change(id, change);
                Ok(())
            }
            Self::Redis(store) => store.change(id, change).await,
        }
    }

    /// Ends a session; false if there was none.
    pub(crate) async fn remove(&self, id: SessionId) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.remove(id)),
            Self::Redis(store) => store.remove(id).await,
        }
    }

    /// Forgets the sessions that have been idle for too long, and names them. Redis forgets by
    /// itself, and does not tell.
    pub(crate) fn sweep(&self) -> Vec<SessionId> {
        match self {
            Self::Memory(store) => store.sweep(),
            Self::Redis(store) => {
                store.sweep();
                Vec::new()
            }
        }
    }

    /// Gives each of these sessions another TTL, and names those that are gone.
    pub(crate) async fn keep(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        match self {
            Self::Memory(store) => {
                Ok(ids.iter().copied().filter(|id| store.find(*id).is_none()).collect())
            }
            Self::Redis(store) => store.keep(ids).await,
        }
    }

    /// Those of these sessions that ended where this process did not see it.
    pub(crate) async fn missing(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Redis(store) => store.missing(ids).await,
        }
    }

    /// How many sessions are alive. In Redis: how many keys its database has.
    pub(crate) async fn count(&self) -> Result<usize, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.count()),
            Self::Redis(store) => store.count().await,
        }
    }
}
