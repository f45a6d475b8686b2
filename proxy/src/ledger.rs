//! The session ledger: what the wire alone tells of each session's life, for any client and any server.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use squall_model::fault::FaultId;
use tokio::time::Instant;

use crate::classify::Client;

const SHARDS: usize = 16;
/// Sessions that a shard remembers; the one that was idle longest makes room.
const SHARD_SIZE: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
/// What the ids of a shard may take, in bytes: they are as long as a peer likes.
const SHARD_BYTES: usize = 4 * 1024 * 1024;
/// Clients that were told that their session is gone, and have not started anew yet.
const MOST_LOST: usize = 1024;
/// How long such a client is waited for.
const LOST_FOR: Duration = Duration::from_secs(60);
/// Names of clients and versions longer than this are cut off, in bytes.
const NAME_LIMIT: usize = 128;

/// One session's life.
#[derive(Debug)]
pub(crate) struct Life {
    /// The upstream, by its number, that it was made on or last answered by; none once it is gone.
    pub(crate) home: Option<usize>,
    /// The fault that expired it.
    pub(crate) expired_by: Option<FaultId>,
    pub(crate) client: Option<Client>,
    /// When it was first heard of.
    pub(crate) created: Instant,
    /// When it was started, if that was seen.
    pub(crate) began: Option<Instant>,
    pub(crate) last_used: Instant,
    pub(crate) last_success: Option<Instant>,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) is_deleted: bool,
    /// The first 404 that its client got.
    pub(crate) not_found: Option<Instant>,
    /// The session that its client started instead, and how that went.
    pub(crate) successor: Option<Arc<str>>,
    pub(crate) way_back: WayBack,
    pub(crate) streams: Streams,
    /// The session in whose place this one was started, until it has had its first success.
    instead_of: Option<Arc<Entry>>,
}

/// When a client that had lost its session took which step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WayBack {
    pub(crate) initialize: Option<Instant>,
    pub(crate) answered: Option<Instant>,
    pub(crate) initialized: Option<Instant>,
    pub(crate) first_success: Option<Instant>,
}

/// A session's GET streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) opened: u64,
    pub(crate) open: u64,
    /// Those that ended before their client left.
    pub(crate) cut: u64,
    /// Those that began with `Last-Event-ID`.
    pub(crate) resumed: u64,
}

/// A GET stream of a session, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream {
    entry: Arc<Entry>,
    /// Whether it has ended before its client left.
    pub(crate) is_cut: bool,
}

impl OpenStream {
    pub(crate) fn new(entry: Arc<Entry>, is_resumed: bool) -> Self {
        let mut life = entry.life();
        life.streams.opened += 1;
        life.streams.open += 1;
        life.streams.resumed += u64::from(is_resumed);
        drop(life);
        Self { entry, is_cut: false }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut life = self.entry.life();
        life.streams.open -= 1;
        life.streams.cut += u64::from(self.is_cut);
    }
}

/// A session.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    life: Mutex<Life>,
}

impl Entry {
    fn new(id: &str) -> Self {
        let now = Instant::now();
        let life = Life {
            home: None,
            expired_by: None,
            client: None,
            created: now,
            began: None,
            last_used: now,
            last_success: None,
            requests: 0,
            errors: 0,
            is_deleted: false,
            not_found: None,
            successor: None,
            way_back: WayBack::default(),
            streams: Streams::default(),
            instead_of: None,
        };
        Self { id: id.into(), life: Mutex::new(life) }
    }

    pub(crate) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock()
    }

    /// A request of it went well, on this upstream.
    pub(crate) fn succeeded(&self, home: Option<usize>, is_initialized: bool) {
        let now = Instant::now();
        let before = {
            let mut life = self.life();
            life.requests += 1;
            life.last_used = now;
            life.home = home.or(life.home);
            if is_initialized {
                life.instead_of.clone()
            } else {
                life.last_success = Some(now);
                life.instead_of.take()
            }
        };
        let Some(before) = before else { return };
        let mut before = before.life();
        if is_initialized {
            before.way_back.initialized.get_or_insert(now);
        } else {
            before.way_back.first_success.get_or_insert(now);
        }
    }

    /// A request of it went wrong, otherwise than by the session being gone.
    pub(crate) fn failed(&self) {
        let mut life = self.life();
        life.requests += 1;
        life.errors += 1;
        life.last_used = Instant::now();
    }

    /// Its client was told that it is gone.
    fn lost(&self) {
        let mut life = self.life();
        let now = Instant::now();
        life.requests += 1;
        life.errors += 1;
        life.last_used = now;
        life.not_found.get_or_insert(now);
    }
}

/// The sessions seen on the wire, in shards so that threads seldom meet.
#[derive(Debug)]
pub(crate) struct Ledger {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    evicted: AtomicU64,
    /// Sessions whose clients were told that they are gone, the oldest first.
    lost: Mutex<VecDeque<(Instant, Arc<Entry>)>>,
    pub(crate) created: AtomicU64,
    pub(crate) reinitialized: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    sessions: LruCache<Arc<str>, Arc<Entry>>,
    bytes: usize,
}

impl Shard {
    /// Takes a session in. Gives how many had to make room.
    fn put(&mut self, entry: Arc<Entry>) -> u64 {
        let mut evicted = 0;
        self.bytes += entry.id.len();
        if let Some((old, _)) = self.sessions.push(entry.id.clone(), entry) {
            self.bytes -= old.len();
            evicted += 1;
        }
        while self.bytes > SHARD_BYTES
            && let Some((old, _)) = self.sessions.pop_lru()
        {
            self.bytes -= old.len();
            evicted += 1;
        }
        evicted
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let shard = |_| Mutex::new(Shard { sessions: LruCache::new(SHARD_SIZE), bytes: 0 });
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(shard).collect(),
            evicted: AtomicU64::new(0),
            lost: Mutex::default(),
            created: AtomicU64::new(0),
            reinitialized: AtomicU64::new(0),
        }
    }

    /// The session, if it is known, which counts as its use.
    pub(crate) fn get(&self, session: &str) -> Option<Arc<Entry>> {
        self.shard(session).lock().sessions.get(session).cloned()
    }

    /// The session, known from now on.
    pub(crate) fn enter(&self, session: &str) -> Arc<Entry> {
        let mut shard = self.shard(session).lock();
        if let Some(entry) = shard.sessions.get(session) {
            return entry.clone();
        }
        let entry = Arc::new(Entry::new(session));
        let evicted = shard.put(entry.clone());
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        entry
    }

    /// A client has got a session of this id, on this upstream. If it is one that had lost another, as
    /// far as its name and version tell, this one is what came instead.
    pub(crate) fn start(
        &self,
        session: &str,
        home: Option<usize>,
        client: Option<&Client>,
        asked_at: Instant,
        lost: Option<Arc<Entry>>,
    ) -> Arc<Entry> {
        let entry = self.enter(session);
        let lost = lost.filter(|lost| lost.life().successor.is_none());
        let lost = lost.or_else(|| self.take_lost(client)).filter(|lost| *lost.id != *session);
        let now = Instant::now();
        self.created.fetch_add(1, Ordering::Relaxed);
        if let Some(lost) = &lost {
            self.reinitialized.fetch_add(1, Ordering::Relaxed);
            let mut life = lost.life();
            life.successor = Some(entry.id.clone());
            life.way_back.initialize = Some(asked_at);
            life.way_back.answered = Some(now);
        }
        let mut life = entry.life();
        life.home = home;
        life.began = Some(now);
        life.client = client.map(Client::bounded);
        life.last_used = now;
        life.instead_of = lost;
        drop(life);
        entry
    }

    /// The session is gone, as far as its client can tell.
    pub(crate) fn lose(&self, entry: &Arc<Entry>) {
        entry.lost();
        entry.life().home = None;
        if entry.life().successor.is_some() {
            return;
        }
        let mut lost = self.lost.lock();
        lost.retain(|(_, other)| !Arc::ptr_eq(other, entry));
        lost.push_back((Instant::now(), entry.clone()));
        if lost.len() > MOST_LOST {
            lost.pop_front();
        }
    }

    /// The session of a client of this name and version that was lost first, and lately.
    fn take_lost(&self, client: Option<&Client>) -> Option<Arc<Entry>> {
        let mut lost = self.lost.lock();
        lost.retain(|(since, entry)| {
            since.elapsed() < LOST_FOR && entry.life().successor.is_none()
        });
        let client = client.map(Client::bounded);
        let place = lost.iter().position(|(_, entry)| entry.life().client == client)?;
        lost.remove(place).map(|(_, entry)| entry)
    }

    /// The fault has ended the session, as far as clients can tell.
    pub(crate) fn expire(&self, session: &str, fault: FaultId) -> Arc<Entry> {
        let entry = self.enter(session);
        entry.life().expired_by = Some(fault);
        entry
    }

    /// A session that is alive, and not this one: the one of its shard that was used last.
    pub(crate) fn another_than(&self, session: &str) -> Option<Arc<str>> {
        self.shards.iter().find_map(|shard| {
            let shard = shard.lock();
            let mut others = shard.sessions.iter().map(|(_, entry)| entry);
            let is_other = |entry: &&Arc<Entry>| *entry.id != *session && entry.life().is_alive();
            others.find(is_other).map(|entry| entry.id.clone())
        })
    }

    /// All sessions, in no order.
    pub(crate) fn sessions(&self) -> Vec<Arc<Entry>> {
        let list = |shard: &Mutex<Shard>| -> Vec<_> {
            shard.lock().sessions.iter().map(|(_, entry)| entry.clone()).collect()
        };
        self.shards.iter().flat_map(list).collect()
    }

    /// How many had to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn shard(&self, session: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(session) as usize % SHARDS]
    }
}

impl Life {
    fn is_alive(&self) -> bool {
        self.expired_by.is_none() && !self.is_gone() && !self.is_deleted
    }

    /// Whether the last that was heard of it is that it is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.not_found.is_some_and(|lost| self.last_success.is_none_or(|success| success < lost))
    }
}

impl Client {
    /// The same, with names of a bounded length.
    fn bounded(&self) -> Self {
        let bounded = |text: &Arc<str>| -> Arc<str> {
            if text.len() <= NAME_LIMIT {
                return text.clone();
            }
            let end = (0..=NAME_LIMIT).rev().find(|end| text.is_char_boundary(*end));
            text[..end.unwrap_or_default()].into()
        };
        Self { name: bounded(&self.name), version: bounded(&self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        Client { name: name.into(), version: "1".into() }
    }

    fn start(ledger: &Ledger, id: &str, name: &str) -> Arc<Entry> {
        ledger.start(id, Some(0), Some(&client(name)), Instant::now(), None)
    }

    #[test]
    fn a_client_that_lost_its_session_and_starts_anew_leads_from_one_to_the_other() {
        let ledger = Ledger::new();
        let old = start(&ledger, "old", "inspector");
        old.succeeded(None, false);
        ledger.lose(&old);
        assert!(old.life().not_found.is_some() && old.life().home.is_none());
        start(&ledger, "else", "another client");
        let new = start(&ledger, "new", "inspector");
        assert_eq!(old.life().successor.as_deref(), Some("new"));
        new.succeeded(None, true);
        new.succeeded(None, false);
        let back = old.life().way_back;
        assert!(back.initialized.is_some() && back.first_success.is_some());
        assert_eq!(ledger.reinitialized.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_connection_tells_better_than_the_name_whose_session_was_lost() {
        let ledger = Ledger::new();
        let (first, second) = (start(&ledger, "1", "x"), start(&ledger, "2", "x"));
        ledger.lose(&first);
        ledger.lose(&second);
        ledger.start("3", None, Some(&client("x")), Instant::now(), Some(second.clone()));
        assert_eq!(second.life().successor.as_deref(), Some("3"));
        assert_eq!(first.life().successor, None);
    }

    #[test]
    fn a_session_that_is_swapped_for_another_gets_one_that_lives() {
        let ledger = Ledger::new();
        let fault: FaultId = "f".parse().expect("an id");
        start(&ledger, "s", "x");
        assert_eq!(ledger.another_than("s"), None);
        start(&ledger, "t", "x");
        assert_eq!(ledger.another_than("s").as_deref(), Some("t"));
        ledger.expire("t", fault);
        assert_eq!(ledger.another_than("s"), None);
    }

    #[test]
    fn memory_is_bounded_whatever_sessions_a_peer_invents_and_evictions_are_counted() {
        let ledger = Ledger::new();
        for number in 0..200_000 {
            ledger.enter(&number.to_string());
        }
        assert!(ledger.sessions().len() <= SHARDS * SHARD_SIZE.get());
        assert_eq!(ledger.sessions().len() as u64 + ledger.evicted(), 200_000);
        assert!(ledger.get("199999").is_some());
    }

    #[test]
    fn memory_is_bounded_however_long_the_ids_and_the_names_are() {
        let ledger = Ledger::new();
        let id = |number: u32| format!("{number}{}", "x".repeat(200_000));
        for number in 0..600 {
            ledger.enter(&id(number));
        }
        let bytes: usize = ledger.sessions().iter().map(|entry| entry.id.len()).sum();
        assert!(bytes <= SHARDS * SHARD_BYTES, "{bytes}");
        assert!(ledger.get(&id(599)).is_some());
        let named = start(&ledger, "s", &"ä".repeat(10_000));
        assert!(named.life().client.as_ref().is_some_and(|client| client.name.len() <= NAME_LIMIT));
    }
}
