//! Sessions in Redis: shared by all servers of one database, and kept when a server goes.
//!
//! A session is the key `squall:session:<id>`; its value is JSON, and its TTL is how long it may still be
//! idle. What happens to the key elsewhere is seen within a moment (`cache.rs`). The database is for sessions alone: the limit is held against its
//! size, before each new session, so that several that begin at the same moment may exceed it by as
//! many. Redis 6.2 is needed (`GETEX`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, cmd, pipe};
use serde::{Deserialize, Serialize};
use squall_model::mcp::era::ProtocolVersion;

use crate::bus::LOG;
use crate::client::{Capabilities, Level};
use crate::redis_link::{Link, LinkError, Repeat, Request};
use crate::store::{Change, OnStoreFailure, Session, SessionCache, SessionId, StoreError};

/// Sessions that are asked for in one round trip.
const CHUNK: usize = 500;
/// Changes a session that is alive, and leaves its TTL as it is. A dead one stays dead.
const CHANGE: &str = "\
    local value = redis.call('GET', KEYS[1]) \
    if not value then return 0 end \
    local session = cjson.decode(value) \
    if ARGV[1] == 'level' then session.level = ARGV[2] \
    elseif ARGV[1] == 'subscribe' then session.subscriptions[ARGV[2]] = true \
    else session.subscriptions[ARGV[2]] = nil end \
    redis.call('SET', KEYS[1], cjson.encode(session), 'KEEPTTL') \
    return 1";
/// A hundred years: what is longer overflows a time of Redis.
const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(crate) struct RedisStore {
    link: Arc<Link>,
    limit: usize,
    /// In milliseconds.
    ttl: u64,
    cache: Arc<SessionCache>,
    on_failure: OnStoreFailure,
}

impl RedisStore {
    pub(crate) fn new(
        link: &Arc<Link>,
        limit: usize,
        ttl: Duration,
        cache: &Arc<SessionCache>,
        on_failure: OnStoreFailure,
    ) -> Self {
        let ttl = ttl.clamp(Duration::from_millis(1), LONGEST_TTL).as_millis() as u64;
        Self { link: Arc::clone(link), limit, ttl, cache: Arc::clone(cache), on_failure }
    }

    pub(crate) fn on_failure(&self) -> OnStoreFailure {
        self.on_failure
    }

    pub(crate) fn sweep(&self) {
        self.cache.sweep();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Twice is as good as once: nobody else knows the id yet.
    pub(crate) async fn insert(
        &self,
        id: SessionId,
        session: Session,
    ) -> Result<SessionId, StoreError> {
        let limit = self.limit;
        if self.count().await? >= limit {
            return Err(StoreError::Full { limit });
        }
        let mut set = cmd("SET");
        set.arg(key(id)).arg(Stored::of(&session).write()).arg("PX").arg(self.ttl);
        self.ask::<()>(&set).await?;
        self.cache.remember(id, Some(&session), true);
        Ok(id)
    }

    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        if self.is_up()
            && let Some(session) = self.cache.fresh(id)
        {
            return Ok(Some(session));
        }
        let is_renewed = self.cache.is_renewal_due(id);
        match self.look_up(id, is_renewed).await {
            Ok(session) => {
                self.cache.remember(id, session.as_ref(), is_renewed);
                Ok(session)
            }
            Err(StoreError::Unreachable(error)) if self.on_failure == OnStoreFailure::Degrade => {
                let known = self.cache.known(id).map(Some);
                known.ok_or(StoreError::Unreachable(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn look_up(
        &self,
        id: SessionId,
        is_renewed: bool,
    ) -> Result<Option<Session>, StoreError> {
        let mut get = cmd(if is_renewed { "GETEX" } else { "GET" });
        get.arg(key(id));
        if is_renewed {
            get.arg("PX").arg(self.ttl);
        }
        let value: Result<Option<Vec<u8>>, _> =
            self.link.ask(Request::One(&get), Repeat::Safe).await;
        match value {
            Ok(value) => Ok(read(value.as_deref())),
            Err(error) if error.refusal() == Some("WRONGTYPE") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// In Redis itself, so that two changes at a time do not undo each other.
    pub(crate) async fn change(&self, id: SessionId, change: &Change) -> Result<(), StoreError> {
        let (what, value) = match change {
            Change::Level(level) => ("level", serde_json::to_string(level).unwrap_or_default()),
            Change::Subscribe(uri) => ("subscribe", uri.clone()),
            Change::Unsubscribe(uri) => ("unsubscribe", uri.clone()),
        };
        let mut eval = cmd("EVAL");
        eval.arg(CHANGE).arg(1).arg(key(id)).arg(what).arg(value.trim_matches('"'));
        self.cache.forget(id);
        let changed = self.ask::<()>(&eval).await;
        self.cache.forget(id); // somebody may have looked it up meanwhile
        changed
    }

    /// A second answer would tell that there was no session: this is asked once.
    pub(crate) async fn remove(&self, id: SessionId) -> Result<bool, StoreError> {
        let mut delete = cmd("DEL");
        delete.arg(key(id));
        self.cache.forget(id);
        let removed: u64 = self.link.ask(Request::One(&delete), Repeat::Never).await?;
        Ok(removed > 0)
    }

    /// The keys of the database, without what keeps notifications.
    pub(crate) async fn count(&self) -> Result<usize, StoreError> {
        let mut count = pipe();
        count.cmd("DBSIZE").cmd("EXISTS").arg(LOG);
        let (keys, others): (usize, usize) =
            self.link.ask(Request::Many(&count), Repeat::Safe).await?;
        Ok(keys.saturating_sub(others))
    }

    pub(crate) async fn keep(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        let mut gone = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let mut expires = pipe();
            for id in chunk {
                expires.cmd("PEXPIRE").arg(key(*id)).arg(self.ttl);
            }
            let found: Vec<bool> = self.link.ask(Request::Many(&expires), Repeat::Safe).await?;
            gone.extend(chunk.iter().zip(found).filter(|(_, found)| !found).map(|(id, _)| id));
        }
        self.cache.forget_all(&gone);
        Ok(gone)
    }

    pub(crate) async fn missing(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, StoreError> {
        let mut gone = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let mut get = cmd("MGET");
            get.arg(chunk.iter().copied().map(key).collect::<Vec<_>>());
            let values: Vec<Option<Vec<u8>>> = self.ask(&get).await?;
            let dead =
                chunk.iter().zip(values).filter(|(_, value)| read(value.as_deref()).is_none());
            gone.extend(dead.map(|(id, _)| id));
        }
        self.cache.forget_all(&gone);
        Ok(gone)
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        Ok(self.link.ask(Request::One(command), Repeat::Safe).await?)
    }
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        match error.reason() {
            Some(reason) => Self::Refused(reason),
            None => Self::Unreachable(error),
        }
    }
}

fn key(id: SessionId) -> String {
    format!("squall:session:{id}")
}

/// A session as it stands in Redis. What is subscribed to are the keys of an object, because Lua cannot tell
/// an empty list from an empty object.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: ProtocolVersion,
    #[serde(default)]
    client: Capabilities,
    #[serde(default = "info")]
    level: Level,
    #[serde(default)]
    subscriptions: BTreeMap<String, bool>,
}

fn info() -> Level {
    Level::Info
}

impl Stored {
    fn of(session: &Session) -> Self {
        let Session { version, client, level, subscriptions } = session;
        let subscriptions = subscriptions.iter().map(|uri| (uri.clone(), true)).collect();
        Self { version: *version, client: *client, level: *level, subscriptions }
    }

    fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A value without a version that this server speaks is no session.
fn read(value: Option<&[u8]>) -> Option<Session> {
    let Stored { version, client, level, subscriptions } = serde_json::from_slice(value?).ok()?;
    Some(Session { version, client, level, subscriptions: subscriptions.into_keys().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read_back_and_everything_else_is_no_session() {
        let client = Capabilities { sampling: true, url: true, ..Capabilities::default() };
        for version in ProtocolVersion::ALL {
            let session = Session {
                level: Level::Error,
                subscriptions: vec!["app://a".to_owned(), "app://b".to_owned()],
                ..Session::new(version, client)
            };
            let written = Stored::of(&session).write();
            assert_eq!(read(Some(written.as_bytes())), Some(session));
            let least = format!(r#"{{"version":"{version}"}}"#);
            let session = Session::new(version, Capabilities::default());
            assert_eq!(read(Some(least.as_bytes())), Some(session));
        }
        for value in [&b""[..], b"1", b"2025-11-25", br#"{"version":"2026-07-28"}"#, b"\xff"] {
            assert_eq!(read(Some(value)), None, "{value:?}");
        }
        assert_eq!(read(None), None);
    }

    #[test]
    fn the_longest_and_the_shortest_ttl_are_ones_that_redis_takes() {
        let link = Link::new(&"redis://x".parse().expect("a URL"), Duration::ZERO);
        let cache = Arc::new(SessionCache::new(Duration::ZERO, Duration::ZERO));
        let ttl = |ttl| RedisStore::new(&link, 1, ttl, &cache, OnStoreFailure::Refuse).ttl;
        assert_eq!(ttl(Duration::ZERO), 1);
        assert_eq!(ttl(Duration::from_secs(1)), 1000);
        assert_eq!(ttl(Duration::MAX), 3_153_600_000_000);
    }
}
