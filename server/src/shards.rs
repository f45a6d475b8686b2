//! A map from sessions to something, cut into shards so that no lock is everybody's.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use crate::store::SessionId;

/// One shard: the entries of the sessions that hash to it.
pub(crate) type Shard<V> = Mutex<HashMap<SessionId, V>>;

const SHARDS: usize = 64;

/// The shards. No method locks two of them at a time.
pub(crate) struct Shards<V> {
    shards: Box<[Shard<V>]>,
    hasher: RandomState,
}

impl<V> Shards<V> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }

    /// The shard of a session.
    pub(crate) fn of(&self, session: SessionId) -> &Shard<V> {
        let hash = self.hasher.hash_one(session) as usize;
        &self.shards[hash % SHARDS]
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard<V>> {
        self.shards.iter()
    }
}
