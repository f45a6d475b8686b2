//! Sessions in Redis: shared by all servers of one database, and kept when a server goes.
//!
//! A session is the key `squall:session:<id>`; its value is the protocol version and its TTL is how
//! long it may still be idle. Nothing is remembered here, so that what happens to the key elsewhere
//! is seen by the next request. The database is for sessions alone: the limit is held against its
//! size, before each new session, so that several that begin at the same moment may exceed it by as
//! many. Redis 6.2 is needed (`GETEX`).

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, cmd, pipe};

use crate::redis_link::{Link, LinkError, Repeat, Request};
use crate::store::{Session, SessionId, StoreError};

/// Sessions that are asked for in one round trip.
const CHUNK: usize = 500;
/// A hundred years: what is longer overflows a time of Redis.
const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(crate) struct RedisStore {
    link: Arc<Link>,
    limit: usize,
    /// In milliseconds.
    ttl: u64,
}

impl RedisStore {
    pub(crate) fn new(link: &Arc<Link>, limit: usize, ttl: Duration) -> Self {
        let ttl = ttl.clamp(Duration::from_millis(1), LONGEST_TTL).as_millis() as u64;
        Self { link: Arc::clone(link), limit, ttl }
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
        set.arg(key(id)).arg(session.version.as_str()).arg("PX").arg(self.ttl);
        self.ask::<()>(&set).await?;
        Ok(id)
    }

    pub(crate) async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let mut get = cmd("GETEX");
        get.arg(key(id)).arg("PX").arg(self.ttl);
        let value: Result<Option<Vec<u8>>, _> =
            self.link.ask(Request::One(&get), Repeat::Safe).await;
        match value {
            Ok(value) => Ok(read(value.as_deref())),
            Err(error) if error.refusal() == Some("WRONGTYPE") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A second answer would tell that there was no session: this is asked once.
    pub(crate) async fn remove(&self, id: SessionId) -> Result<bool, StoreError> {
        let mut delete = cmd("DEL");
        delete.arg(key(id));
        let removed: u64 = self.link.ask(Request::One(&delete), Repeat::Never).await?;
        Ok(removed > 0)
    }

    pub(crate) async fn count(&self) -> Result<usize, StoreError> {
        self.ask(&cmd("DBSIZE")).await
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
        Ok(gone)
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        Ok(self.link.ask(Request::One(command), Repeat::Safe).await?)
    }
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        match error.refusal() {
            Some(code) => Self::Refused(code.to_owned()),
            None => Self::Unreachable(error),
        }
    }
}

fn key(id: SessionId) -> String {
    format!("squall:session:{id}")
}

/// A value that is no version that this server speaks is no session.
fn read(value: Option<&[u8]>) -> Option<Session> {
    let text = str::from_utf8(value?).ok()?;
    text.parse().ok().map(|version| Session { version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::mcp::era::ProtocolVersion;

    #[test]
    fn a_value_is_a_version_and_everything_else_is_no_session() {
        for version in ProtocolVersion::ALL {
            assert_eq!(read(Some(version.as_str().as_bytes())), Some(Session { version }));
        }
        for value in [&b""[..], b"1", b"2025-11-25 ", b"2026-07-28", b"\xff"] {
            assert_eq!(read(Some(value)), None, "{value:?}");
        }
        assert_eq!(read(None), None);
    }

    #[test]
    fn the_longest_and_the_shortest_ttl_are_ones_that_redis_takes() {
        let link = Link::new(&"redis://x".parse().expect("a URL"), Duration::ZERO);
        let ttl = |ttl| RedisStore::new(&link, 1, ttl).ttl;
        assert_eq!(ttl(Duration::ZERO), 1);
        assert_eq!(ttl(Duration::from_secs(1)), 1000);
        assert_eq!(ttl(Duration::MAX), 3_153_600_000_000);
    }
}
