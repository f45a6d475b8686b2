//! Sessions in this process: bounded, and forgotten when idle or when the process ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::shards::Shards;
use crate::store::{Change, Session, SessionId, StoreError};

pub(crate) struct MemoryStore {
    shards: Shards<Entry>,
    count: AtomicUsize,
    limit: usize,
    ttl: Duration,
}

struct Entry {
    session: Session,
    seen: Instant,
}

impl MemoryStore {
    pub(crate) fn new(limit: usize, ttl: Duration) -> Self {
        Self { shards: Shards::new(), count: AtomicUsize::new(0), limit, ttl }
    }

    pub(crate) fn insert(&self, id: SessionId, session: Session) -> Result<SessionId, StoreError> {
        self.take_place()?;
        let entry = Entry { session, seen: Instant::now() };
        let before = self.shards.of(id).lock().insert(id, entry);
        if before.is_some() {
            self.free_places(1);
        }
        Ok(id)
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Session> {
        let now = Instant::now();
        let mut shard = self.shards.of(id).lock();
        let entry = shard.get_mut(&id)?;
        if self.is_stale(entry, now) {
            return None; // the sweep takes it, and ends what hangs on it
        }
        entry.seen = now;
        Some(entry.session.clone())
    }

    pub(crate) fn change(&self, id: SessionId, change: &Change) {
        let mut shard = self.shards.of(id).lock();
        let Some(Entry { session, .. }) = shard.get_mut(&id) else { return };
        match change {
            Change::Level(level) => session.level = *level,
            Change::Subscribe(uri) if session.subscriptions.contains(uri) => {}
            Change::Subscribe(uri) => session.subscriptions.push(uri.clone()),
            Change::Unsubscribe(uri) => session.subscriptions.retain(|own| own != uri),
        }
    }

    pub(crate) fn remove(&self, id: SessionId) -> bool {
        let removed = self.shards.of(id).lock().remove(&id);
        let Some(entry) = removed else {
            return false;
        };
        self.free_places(1);
        !self.is_stale(&entry, Instant::now())
    }

    pub(crate) fn sweep(&self) -> Vec<SessionId> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for shard in self.shards.iter() {
            let stale = |_: &SessionId, entry: &mut Entry| self.is_stale(entry, now);
            gone.extend(shard.lock().extract_if(stale).map(|(id, _)| id));
        }
        self.free_places(gone.len());
        gone
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_stale(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.seen) >= self.ttl
    }

    fn take_place(&self) -> Result<(), StoreError> {
        let limit = self.limit;
        let take = |count: usize| (count < limit).then_some(count + 1);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map(|_| ())
            .map_err(|_| StoreError::Full { limit })
    }

    fn free_places(&self, places: usize) {
        self.count.fetch_sub(places, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Capabilities, Level};
    use squall_model::mcp::era::ProtocolVersion;

    const TTL: Duration = Duration::from_secs(60);
    const A: SessionId = SessionId::of(0xa);
    const B: SessionId = SessionId::of(0xb);
    const C: SessionId = SessionId::of(0xc);

    fn session() -> Session {
        Session::new(ProtocolVersion::LATEST, Capabilities::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lives_as_long_as_it_is_used() {
        let store = MemoryStore::new(10, TTL);
        let (used, idle) = (A, B);
        store.insert(used, session()).expect("room");
        store.insert(idle, session()).expect("room");
        tokio::time::advance(TTL / 2).await;
        assert_eq!(store.find(used), Some(session()));
        tokio::time::advance(TTL / 2).await;
        assert_eq!(store.find(idle), None);
        assert_eq!(store.sweep(), [idle]);
        assert_eq!((store.find(used), store.count()), (Some(session()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_session_cannot_be_ended_once_more() {
        let store = MemoryStore::new(10, TTL);
        store.insert(A, session()).expect("room");
        tokio::time::advance(TTL).await;
        assert!(!store.remove(A));
        assert_eq!((store.sweep(), store.count()), (vec![], 0));
    }

    #[tokio::test]
    async fn the_limit_holds_and_an_ended_session_makes_room() {
        let store = MemoryStore::new(2, TTL);
        for id in [A, B] {
            store.insert(id, session()).expect("room");
        }
        assert!(matches!(store.insert(C, session()), Err(StoreError::Full { limit: 2 })));
        assert!(store.remove(A));
        assert!(!store.remove(A));
        store.insert(C, session()).expect("room again");
    }

    #[tokio::test]
    async fn a_session_is_what_its_client_made_of_it() {
        let store = MemoryStore::new(10, TTL);
        store.insert(A, session()).expect("room");
        for change in [
            Change::Level(Level::Error),
            Change::Subscribe("app://a".to_owned()),
            Change::Subscribe("app://b".to_owned()),
            Change::Subscribe("app://b".to_owned()),
            Change::Unsubscribe("app://a".to_owned()),
        ] {
            store.change(A, &change);
        }
        let changed = store.find(A).expect("alive");
        assert_eq!(
            (changed.level, changed.subscriptions),
            (Level::Error, vec!["app://b".to_owned()])
        );
    }
}
