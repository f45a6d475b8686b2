//! Shared sessions that were looked up lately: for a moment a replica believes what it saw, so that not every
//! request asks Redis and writes a TTL there. What another replica changes or ends, it says; what is ended in
//! Redis itself is seen after that moment.

use std::time::Duration;

use tokio::time::Instant;

use crate::shards::Shards;
use crate::store::{Session, SessionId};

/// The part of a session's TTL that may pass before it is renewed.
const RENEWED_AFTER: u32 = 8;

pub(crate) struct SessionCache {
    shards: Shards<Seen>,
    /// How long a session is believed to be as it was seen. Zero: not at all, and nothing is kept.
    fresh_for: Duration,
    ttl: Duration,
}

struct Seen {
    session: Session,
    looked_up: Instant,
    renewed: Instant,
    used: Instant,
}

impl SessionCache {
    pub(crate) fn new(fresh_for: Duration, ttl: Duration) -> Self {
        Self { shards: Shards::new(), fresh_for, ttl }
    }

    /// A session that was looked up a moment ago.
    pub(super) fn fresh(&self, id: SessionId) -> Option<Session> {
        self.seen(id, |seen, now| now.saturating_duration_since(seen.looked_up) < self.fresh_for)
    }

    /// A session that was there when it was last looked up, for when nobody can be asked.
    pub(super) fn known(&self, id: SessionId) -> Option<Session> {
        self.seen(id, |seen, now| now.saturating_duration_since(seen.used) < self.ttl)
    }

    fn seen(&self, id: SessionId, is_good: impl Fn(&Seen, Instant) -> bool) -> Option<Session> {
        if self.fresh_for.is_zero() {
            return None;
        }
        let now = Instant::now();
        let mut shard = self.shards.of(id).lock();
        let seen = shard.get_mut(&id).filter(|seen| is_good(seen, now))?;
        seen.used = now;
        Some(seen.session.clone())
    }

    /// Whether the session's TTL is to be renewed with the next lookup.
    pub(super) fn is_renewal_due(&self, id: SessionId) -> bool {
        if self.fresh_for.is_zero() {
            return true;
        }
        let now = Instant::now();
        let shard = self.shards.of(id).lock();
        shard.get(&id).is_none_or(|seen| {
            now.saturating_duration_since(seen.renewed) >= self.ttl / RENEWED_AFTER
        })
    }

    /// Keeps what was looked up, or that there is nothing.
    pub(super) fn remember(&self, id: SessionId, session: Option<&Session>, is_renewed: bool) {
        let Some(session) = session.filter(|_| !self.fresh_for.is_zero()) else {
            return self.forget(id);
        };
        let now = Instant::now();
        let mut shard = self.shards.of(id).lock();
        let renewed = match shard.get(&id) {
            Some(seen) if !is_renewed => seen.renewed,
            _ => now,
        };
        let session = session.clone();
        shard.insert(id, Seen { session, looked_up: now, renewed, used: now });
    }

    /// Has the next request look the session up.
    pub(crate) fn forget(&self, id: SessionId) {
        self.shards.of(id).lock().remove(&id);
    }

    pub(super) fn forget_all(&self, ids: &[SessionId]) {
        for id in ids {
            self.forget(*id);
        }
    }

    /// Forgets what was not used for as long as a session lives.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for shard in self.shards.iter() {
            let lives = |seen: &Seen| now.saturating_duration_since(seen.used) < self.ttl;
            shard.lock().retain(|_, seen| lives(seen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Capabilities;
    use squall_model::mcp::era::ProtocolVersion;

    const A: SessionId = SessionId::of(0xa);
    const MOMENT: Duration = Duration::from_millis(500);
    const TTL: Duration = Duration::from_secs(80);

    fn session() -> Session {
        Session::new(ProtocolVersion::LATEST, Capabilities::default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_believed_for_a_moment_and_known_for_a_ttl() {
        let cache = SessionCache::new(MOMENT, TTL);
        assert_eq!(cache.fresh(A), None);
        cache.remember(A, Some(&session()), true);
        assert_eq!(cache.fresh(A), Some(session()));
        tokio::time::advance(MOMENT).await;
        assert_eq!((cache.fresh(A), cache.known(A)), (None, Some(session())));
        tokio::time::advance(TTL).await;
        assert_eq!(cache.known(A), None);
        cache.sweep();
        assert!(cache.shards.of(A).lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_is_renewed_when_an_eighth_of_it_has_passed() {
        let cache = SessionCache::new(MOMENT, TTL);
        assert!(cache.is_renewal_due(A));
        cache.remember(A, Some(&session()), true);
        tokio::time::advance(TTL / 16).await;
        assert!(!cache.is_renewal_due(A));
        cache.remember(A, Some(&session()), false);
        tokio::time::advance(TTL / 16).await;
        assert!(cache.is_renewal_due(A));
    }

    #[tokio::test]
    async fn what_is_gone_or_was_changed_is_not_believed() {
        let cache = SessionCache::new(MOMENT, TTL);
        cache.remember(A, Some(&session()), true);
        cache.remember(A, None, false);
        assert_eq!(cache.fresh(A), None);
        cache.remember(A, Some(&session()), true);
        cache.forget(A);
        assert_eq!(cache.known(A), None);
    }

    #[tokio::test]
    async fn without_a_moment_nothing_is_kept() {
        let cache = SessionCache::new(Duration::ZERO, TTL);
        cache.remember(A, Some(&session()), true);
        assert_eq!((cache.fresh(A), cache.known(A)), (None, None));
        assert!(cache.is_renewal_due(A));
    }
}
