//! The session ledger: which replica a session lives on, and whether a fault has ended it.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use squall_model::fault::FaultId;

const SHARDS: usize = 16;
/// Sessions that a shard remembers; the one that was idle longest makes room.
const SHARD_SIZE: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// What the ids of a shard may take, in bytes: they are as long as a peer likes.
const SHARD_BYTES: usize = 4 * 1024 * 1024;

/// What the proxy knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// The upstream, by its number, that it was made on or last answered by.
    pub(crate) home: Option<usize>,
    /// The fault that expired it.
    pub(crate) expired_by: Option<FaultId>,
}

/// The sessions seen on the wire, in shards so that threads seldom meet.
#[derive(Debug)]
pub(crate) struct Ledger {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug)]
struct Shard {
    sessions: LruCache<Arc<str>, Session>,
    bytes: usize,
}

impl Shard {
    fn put(&mut self, id: &str, session: Session) {
        self.bytes += id.len();
        if let Some((old, _)) = self.sessions.push(id.into(), session) {
            self.bytes -= old.len();
        }
        while self.bytes > SHARD_BYTES
            && let Some((old, _)) = self.sessions.pop_lru()
        {
            self.bytes -= old.len();
        }
    }

    fn remove(&mut self, id: &str) {
        if self.sessions.pop(id).is_some() {
            self.bytes -= id.len();
        }
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let shard = |_| Mutex::new(Shard { sessions: LruCache::new(SHARD_SIZE), bytes: 0 });
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(shard).collect() }
    }

    /// What is known of the session, which counts as its use.
    pub(crate) fn get(&self, session: &str) -> Option<Session> {
        self.shard(session).lock().sessions.get(session).cloned()
    }

    /// The session lives on this upstream from now on.
    pub(crate) fn bind(&self, session: &str, home: usize) {
        self.edit(session, |entry| entry.home = Some(home));
    }

    /// The fault has ended the session, as far as clients can tell.
    pub(crate) fn expire(&self, session: &str, fault: FaultId) {
        self.edit(session, |entry| entry.expired_by = Some(fault));
    }

    /// The session has ended by itself.
    pub(crate) fn forget(&self, session: &str) {
        self.shard(session).lock().remove(session);
    }

    /// A session that is alive, and not this one: the one of its shard that was used last.
    pub(crate) fn another_than(&self, session: &str) -> Option<Arc<str>> {
        self.shards.iter().find_map(|shard| {
            let shard = shard.lock();
            let mut others = shard.sessions.iter();
            let is_other = |(id, entry): &(&Arc<str>, &Session)| {
                &***id != session && entry.expired_by.is_none()
            };
            others.find(is_other).map(|(id, _)| id.clone())
        })
    }

    /// All sessions, in no order.
    pub(crate) fn sessions(&self) -> Vec<(Arc<str>, Session)> {
        let list = |shard: &Mutex<Shard>| -> Vec<_> {
            shard
                .lock()
                .sessions
                .iter()
                .map(|(id, session)| (id.clone(), session.clone()))
                .collect()
        };
        self.shards.iter().flat_map(list).collect()
    }

    fn edit(&self, session: &str, change: impl FnOnce(&mut Session)) {
        let mut shard = self.shard(session).lock();
        if let Some(entry) = shard.sessions.get_mut(session) {
            change(entry);
        } else {
            let mut entry = Session::default();
            change(&mut entry);
            shard.put(session, entry);
        }
    }

    fn shard(&self, session: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(session) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_its_home_when_it_expires() {
        let ledger = Ledger::new();
        ledger.bind("s", 2);
        let fault: FaultId = "f".parse().expect("an id");
        ledger.expire("s", fault.clone());
        assert_eq!(ledger.get("s"), Some(Session { home: Some(2), expired_by: Some(fault) }));
        ledger.forget("s");
        assert_eq!(ledger.get("s"), None);
    }

    #[test]
    fn memory_is_bounded_whatever_sessions_a_peer_invents() {
        let ledger = Ledger::new();
        for number in 0..200_000 {
            ledger.bind(&number.to_string(), 0);
        }
        assert!(ledger.sessions().len() <= SHARDS * SHARD_SIZE.get());
        assert!(ledger.get("199999").is_some());
    }

    #[test]
    fn memory_is_bounded_however_long_the_ids_are() {
        let ledger = Ledger::new();
        let id = |number: u32| format!("{number}{}", "x".repeat(200_000));
        for number in 0..600 {
            ledger.bind(&id(number), 0);
        }
        let bytes: usize = ledger.sessions().iter().map(|(id, _)| id.len()).sum();
        assert!(bytes <= SHARDS * SHARD_BYTES, "{bytes}");
        assert!(ledger.get(&id(599)).is_some());
        for (id, _) in ledger.sessions() {
            ledger.forget(&id);
        }
        assert!(ledger.shards.iter().all(|shard| shard.lock().bytes == 0));
    }
}
