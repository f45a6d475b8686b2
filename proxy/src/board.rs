//! The board of live faults: an immutable snapshot that is swapped whole, and the leases on it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::StatusCode;
use parking_lot::Mutex;
use squall_model::chance::{DrawKey, Seed};
use squall_model::fault::{Effect, Fault, FaultId};
use squall_model::scope::Subject;
use squall_model::verdict::{
    Alteration, ConnectionVerdict, ExchangeVerdict, Memory, MessageVerdict, Moment, Verdict,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod glance;

use glance::{Entry, Glance};

/// How many faults may be live at once.
const MOST_FAULTS: usize = 10_000;

/// A fault on the board.
#[derive(Debug)]
pub(crate) struct LiveFault {
    pub(crate) fault: Fault,
    /// The number of its first act on the board, so that connections know which faults they have
    /// met; 0 until then.
    serial: AtomicU64,
    /// Shared with the faults that had its place before.
    counters: Arc<Counters>,
    /// How many it holds now.
    held: AtomicU64,
    /// What its alterations remember.
    memory: Mutex<Memory>,
    /// When the line is free that all connections share.
    budget: Mutex<Option<Instant>>,
    /// When it was added, since the board was.
    added: Duration,
    starts_at: Option<Instant>,
    ends_at: Mutex<Option<Instant>>,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Counters {
    matches: AtomicU64,
    hits: AtomicU64,
}

/// A fault that fired, and what it decided.
#[derive(Debug)]
pub(crate) struct Decision<V> {
    pub(crate) fault: Fired,
    pub(crate) verdict: V,
}

/// A fault that fired. While this or a copy of it lives, what it hit counts as held by it.
#[derive(Clone, Debug)]
pub(crate) struct Fired(Arc<Held>);

#[derive(Debug)]
struct Held(Arc<LiveFault>);

impl Deref for Fired {
    type Target = LiveFault;

    fn deref(&self) -> &LiveFault {
        &self.0.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LiveFault {
    fn new(fault: Fault, counters: Arc<Counters>, added: Duration) -> Self {
        Self {
            added,
            starts_at: fault.chance.start_after.and_then(end_of),
            ends_at: Mutex::new(fault.lease.and_then(end_of)),
            fault,
            serial: AtomicU64::new(0),
            counters,
            held: AtomicU64::new(0),
            memory: Mutex::default(),
            budget: Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Whether it acts at this moment: it is switched on, and its time has come.
    fn acts_at(&self, now: Instant) -> bool {
        self.fault.enabled && self.starts_at.is_none_or(|start| start <= now)
    }

    /// The message as the alteration leaves it. Where it has nothing to alter, the hit is taken back.
    pub(crate) fn alter(&self, alteration: &Alteration, message: &[u8]) -> Option<Vec<u8>> {
        let altered = alteration.apply(message, &mut self.memory.lock());
        if altered.is_none() {
            self.take_back();
        }
        altered
    }

    /// Counts what it did without being asked.
    pub(crate) fn count(&self) {
        self.counters.matches.fetch_add(1, Ordering::Relaxed);
        self.counters.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// What it decided could not be done: it counts as no hit.
    pub(crate) fn take_back(&self) {
        self.counters.hits.fetch_sub(1, Ordering::Relaxed);
    }

    /// How often traffic fitted the scope.
    pub(crate) fn matches(&self) -> u64 {
        self.counters.matches.load(Ordering::Relaxed)
    }

    /// How often it fired.
    pub(crate) fn hits(&self) -> u64 {
        self.counters.hits.load(Ordering::Relaxed)
    }

    /// The time left on its lease.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.ends_at.lock().map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Resolves when the fault is removed, replaced, or its lease has run out.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether it leaves the session of the subject alone, because that began after it did.
    fn spares(&self, subject: &Subject<'_>) -> bool {
        self.fault.effect.spares_new_sessions()
            && subject.session_began.is_some_and(|began| began > self.added)
    }

    /// When the line is free that all connections share.
    pub(crate) fn budget(&self) -> &Mutex<Option<Instant>> {
        &self.budget
    }

    /// Whether it keeps the door of the route closed, instead of turning away those that come in.
    fn closes_door(&self, route: &str) -> bool {
        self.fault.effect.refuses()
            && self.fault.chance.is_certain()
            && self.fault.scope.matches_route(route)
    }

    fn serial(&self) -> u64 {
        self.serial.load(Ordering::Relaxed)
    }

    fn decide(self: &Arc<Self>, seed: Seed, key: DrawKey) -> Option<(Fired, Verdict)> {
        let nth = self.counters.matches.fetch_add(1, Ordering::Relaxed) + 1;
        let mut draw = seed.draw(self.fault.id.as_str(), key);
        if !self.fault.chance.fires(nth, &mut draw) {
            return None;
        }
        let fired = self.hold()?;
        self.take_hit().then(|| (fired, self.fault.effect.decide(&mut draw)))
    }

    /// Counts what it hit as held, unless it holds as many as it may.
    fn hold(self: &Arc<Self>) -> Option<Fired> {
        let most = self.fault.chance.max_concurrent.unwrap_or(u64::MAX);
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        let held = Held(self.clone());
        (before < most).then(|| Fired(Arc::new(held)))
    }

    fn take_hit(&self) -> bool {
        let most = self.fault.chance.max_hits.unwrap_or(u64::MAX);
        let take = |hits| (hits < most).then_some(hits + 1);
        self.counters.hits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// All live faults at one instant, in the order in which they were added; and those that act now, by
/// moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    all: Vec<Arc<LiveFault>>,
    connection: Vec<Arc<LiveFault>>,
    exchange: Vec<Entry>,
    message: Vec<Entry>,
    wants_event_ids: bool,
}

impl Snapshot {
    fn new(all: Vec<Arc<LiveFault>>, now: Instant) -> Self {
        let of = |moment| {
            let acts_then = move |live: &&Arc<LiveFault>| {
                live.acts_at(now) && live.fault.effect.moment() == moment
            };
            all.iter().filter(acts_then).cloned()
        };
        Self {
            connection: of(Moment::Connection).collect(),
            exchange: of(Moment::Exchange).map(Entry::new).collect(),
            message: of(Moment::Message).map(Entry::new).collect(),
            wants_event_ids: all.iter().any(|live| live.fault.effect.resumes_others()),
            all,
        }
    }

    /// Every live fault.
    pub(crate) fn faults(&self) -> &[Arc<LiveFault>] {
        &self.all
    }

    /// Whether any fault acts on exchanges.
    pub(crate) fn acts_on_exchanges(&self) -> bool {
        !self.exchange.is_empty()
    }

    /// Whether any fault acts on messages.
    pub(crate) fn acts_on_messages(&self) -> bool {
        !self.message.is_empty()
    }

    /// Whether a fault needs to know the event ids of all streams.
    pub(crate) fn wants_event_ids(&self) -> bool {
        self.wants_event_ids
    }

    fn find(&self, id: &FaultId) -> Option<&Arc<LiveFault>> {
        self.all.iter().find(|live| live.fault.id == *id)
    }
}

/// The live faults, shared by all threads of a proxy.
#[derive(Debug)]
pub(crate) struct Board {
    seed: Seed,
    epoch: Instant,
    snapshot: ArcSwap<Snapshot>,
    /// Held while the board is edited.
    edit: Mutex<Serial>,
    changed: watch::Sender<()>,
    arrivals: AtomicU64,
}

#[derive(Debug, Default)]
struct Serial(u64);

impl Serial {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Why the board could not be edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    #[error("there is a fault `{0}` already; remove it first, or choose another id")]
    Exists(FaultId),
    #[error("there is no fault `{0}`")]
    Unknown(FaultId),
    #[error("fault `{0}` has no lease to renew")]
    NoLease(FaultId),
    #[error("there are {MOST_FAULTS} faults already; remove some first")]
    Full,
}

impl Board {
    pub(crate) fn new(seed: Seed) -> Self {
        Self {
            seed,
            epoch: Instant::now(),
            snapshot: ArcSwap::default(),
            edit: Mutex::default(),
            changed: watch::Sender::new(()),
            arrivals: AtomicU64::new(0),
        }
    }

    /// The faults that are live now.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The moment by the board's clock.
    pub(crate) fn since(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.epoch)
    }

    /// Tells of every change to the set of faults.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What a session is told that the fault has expired: the fault's own word while it is live.
    pub(crate) fn expiry_status(&self, fault: &FaultId) -> StatusCode {
        let snapshot = self.snapshot();
        match snapshot.find(fault).map(|live| &live.fault.effect) {
            Some(Effect::ExpireSession(expiry)) => expiry.status.code(),
            _ => StatusCode::NOT_FOUND,
        }
    }

    /// The number of this arrival, from 1: what to draw from where there is no operation id.
    pub(crate) fn arrival(&self) -> DrawKey {
        DrawKey::Arrival(self.arrivals.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn add(&self, fault: Fault) -> Result<Arc<LiveFault>, EditError> {
        let mut serial = self.edit.lock();
        let mut all = self.snapshot().faults().to_vec();
        if self.snapshot().find(&fault.id).is_some() {
            return Err(EditError::Exists(fault.id));
        }
        if all.len() >= MOST_FAULTS {
            return Err(EditError::Full);
        }
        let live = Arc::new(LiveFault::new(fault, Arc::default(), self.since(Instant::now())));
        all.push(live.clone());
        self.publish(all, &mut serial, &[]);
        Ok(live)
    }

    /// Adds a fault that was live before, with its counters and what is left of its lease.
    pub(crate) fn restore(&self, fault: Fault, matches: u64, hits: u64, left: Option<Duration>) {
        let counters = Counters { matches: matches.into(), hits: hits.into() };
        let live = LiveFault::new(fault, Arc::new(counters), self.since(Instant::now()));
        if let Some(left) = left {
            *live.ends_at.lock() = end_of(left);
        }
        let mut serial = self.edit.lock();
        let mut all = self.snapshot().faults().to_vec();
        all.push(Arc::new(live));
        self.publish(all, &mut serial, &[]);
    }

    /// Puts another fault in the place of one with the same id. Its counters go on; what waits on
    /// the old one is freed.
    pub(crate) fn replace(&self, fault: Fault) -> Result<Arc<LiveFault>, EditError> {
        let mut serial = self.edit.lock();
        let mut all = self.snapshot().faults().to_vec();
        let Some(place) = all.iter_mut().find(|live| live.fault.id == fault.id) else {
            return Err(EditError::Unknown(fault.id));
        };
        let live = Arc::new(LiveFault::new(fault, place.counters.clone(), place.added));
        let old = std::mem::replace(place, live.clone());
        self.publish(all, &mut serial, &[old]);
        Ok(live)
    }

    /// Lets these be the faults from now on, all at once. One that is there already, and the same, goes on
    /// with its lease and what it holds; another in its place keeps its counters; the others end.
    pub(crate) fn apply(&self, faults: Vec<Fault>) -> Result<(), EditError> {
        if faults.len() > MOST_FAULTS {
            return Err(EditError::Full);
        }
        let mut serial = self.edit.lock();
        let before = self.snapshot().faults().to_vec();
        let mut all: Vec<Arc<LiveFault>> = Vec::new();
        for fault in faults {
            if all.iter().any(|live| live.fault.id == fault.id) {
                return Err(EditError::Exists(fault.id));
            }
            let old = before.iter().find(|live| live.fault.id == fault.id);
            all.push(match old {
                Some(old) if old.fault == fault => old.clone(),
                Some(old) => Arc::new(LiveFault::new(fault, old.counters.clone(), old.added)),
                None => Arc::new(LiveFault::new(fault, Arc::default(), self.since(Instant::now()))),
            });
        }
        let goes_on = |old: &Arc<LiveFault>| all.iter().any(|live| Arc::ptr_eq(live, old));
        let ended: Vec<_> = before.into_iter().filter(|old| !goes_on(old)).collect();
        self.publish(all, &mut serial, &ended);
        Ok(())
    }

    pub(crate) fn remove(&self, id: &FaultId) -> Result<Arc<LiveFault>, EditError> {
        let removed = self.remove_where(|live| live.fault.id == *id);
        removed.into_iter().next().ok_or_else(|| EditError::Unknown(id.clone()))
    }

    pub(crate) fn clear(&self) -> Vec<Arc<LiveFault>> {
        self.remove_where(|_| true)
    }

    /// Starts a fault's lease again, in its full length or another.
    pub(crate) fn renew(
        &self,
        id: &FaultId,
        lease: Option<Duration>,
    ) -> Result<Arc<LiveFault>, EditError> {
        let _editing = self.edit.lock();
        let snapshot = self.snapshot();
        let live = snapshot.find(id).ok_or_else(|| EditError::Unknown(id.clone()))?;
        let lease = lease.or(live.fault.lease).ok_or_else(|| EditError::NoLease(id.clone()))?;
        *live.ends_at.lock() = end_of(lease);
        self.changed.send_replace(());
        Ok(live.clone())
    }

    /// Starts faults when their time comes, and ends them when their leases run out, for as long as
    /// it is polled.
    pub(crate) async fn keep_time(&self) {
        let mut changed = self.subscribe();
        loop {
            let now = Instant::now();
            for live in self.remove_where(|live| live.ends_at.lock().is_some_and(|end| end <= now))
            {
                tracing::info!(fault = %live.fault.id, hits = live.hits(), "lease ran out");
            }
            self.start_due(now);
            tokio::select! {
                () = sleep_until(self.next_moment(now)) => {}
                _ = changed.changed() => {}
            }
        }
    }

    fn start_due(&self, now: Instant) {
        let is_due = |live: &Arc<LiveFault>| live.serial() == 0 && live.acts_at(now);
        let mut serial = self.edit.lock();
        let all = self.snapshot().faults().to_vec();
        if all.iter().any(is_due) {
            self.publish(all, &mut serial, &[]);
        }
    }

    /// When a fault starts or ends next.
    fn next_moment(&self, now: Instant) -> Option<Instant> {
        let snapshot = self.snapshot();
        let starts = snapshot.faults().iter().filter_map(|live| live.starts_at);
        let ends = snapshot.faults().iter().filter_map(|live| *live.ends_at.lock());
        starts.filter(|start| *start > now).chain(ends).min()
    }

    /// The fault that keeps the door of the route closed, if there is one.
    pub(crate) fn door_closer(&self, route: &str) -> Option<Arc<LiveFault>> {
        self.snapshot().connection.iter().find(|live| live.closes_door(route)).cloned()
    }

    /// What connection faults that this connection has not met yet decide about it.
    pub(crate) fn decide_connection(
        &self,
        met: &mut Met,
        key: DrawKey,
        route: &str,
    ) -> Vec<Decision<ConnectionVerdict>> {
        let is_open = std::mem::replace(&mut met.is_open, true);
        let snapshot = self.snapshot();
        if snapshot.connection.is_empty() {
            return Vec::new();
        }
        let before = met.newest;
        let fresh = snapshot.connection.iter().filter(|live| {
            live.serial() > before
                && live.fault.scope.matches_route(route)
                && !(live.fault.effect.refuses() && (is_open || live.fault.chance.is_certain()))
        });
        let newest = snapshot.connection.iter().map(|live| live.serial()).max();
        met.newest = before.max(newest.unwrap_or_default());
        let decided = fresh.filter_map(|live| match live.decide(self.seed, key)? {
            (fault, Verdict::Connection(verdict)) => Some(Decision { fault, verdict }),
            (_, Verdict::Exchange(_) | Verdict::Message(_)) => None,
        });
        decided.collect()
    }

    /// What exchange faults decide about the subject, in the order of the board. The first verdict
    /// that ends the exchange is the last; faults behind it are not asked.
    pub(crate) fn decide_exchange(
        &self,
        subject: &Subject<'_>,
        key: DrawKey,
    ) -> Vec<Decision<ExchangeVerdict>> {
        self.decide(&self.snapshot().exchange, subject, key, |verdict| match verdict {
            Verdict::Exchange(verdict) => Some((verdict.is_final(), verdict)),
            Verdict::Connection(_) | Verdict::Message(_) => None,
        })
    }

    /// What message faults decide about the subject, in the order of the board, until one of them
    /// takes the message away.
    pub(crate) fn decide_message(
        &self,
        subject: &Subject<'_>,
        key: DrawKey,
    ) -> Vec<Decision<MessageVerdict>> {
        self.decide(&self.snapshot().message, subject, key, |verdict| match verdict {
            Verdict::Message(verdict) => Some((verdict.is_final(), verdict)),
            Verdict::Connection(_) | Verdict::Exchange(_) => None,
        })
    }

    /// Asks the faults in turn. `of_moment` takes the verdicts of one moment and says of each whether
    /// it is the last.
    fn decide<V>(
        &self,
        faults: &[Entry],
        subject: &Subject<'_>,
        key: DrawKey,
        of_moment: impl Fn(Verdict) -> Option<(bool, V)>,
    ) -> Vec<Decision<V>> {
        let mut decisions = Vec::new();
        if faults.is_empty() {
            return decisions;
        }
        let glance = Glance::of(subject);
        let worth_asking = faults.iter().filter(|entry| glance.may_fit(entry));
        let fits = |live: &&Arc<LiveFault>| live.fault.matches(subject) && !live.spares(subject);
        for live in worth_asking.map(|entry| &entry.live).filter(fits) {
            let Some((fault, verdict)) = live.decide(self.seed, key) else { continue };
            if let Some((is_last, verdict)) = of_moment(verdict) {
                decisions.push(Decision { fault, verdict });
                if is_last {
                    break;
                }
            }
        }
        decisions
    }

    fn remove_where(&self, gone: impl Fn(&LiveFault) -> bool) -> Vec<Arc<LiveFault>> {
        let mut serial = self.edit.lock();
        let all = self.snapshot().faults().to_vec();
        let (removed, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|live| gone(live));
        if !removed.is_empty() {
            self.publish(kept, &mut serial, &removed);
        }
        removed
    }

    /// Lets these faults be the live ones from now on, ends those that were, and tells everybody: in
    /// this order, so that who hears of it sees it.
    fn publish(&self, all: Vec<Arc<LiveFault>>, serial: &mut Serial, ended: &[Arc<LiveFault>]) {
        let now = Instant::now();
        for live in all.iter().filter(|live| live.serial() == 0 && live.acts_at(now)) {
            live.serial.store(serial.next(), Ordering::Relaxed);
        }
        self.snapshot.store(Arc::new(Snapshot::new(all, now)));
        for live in ended {
            live.ended.cancel();
        }
        self.changed.send_replace(());
    }
}

/// Which connection faults a connection has met already, so that each decides about it once.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// All up to this serial.
    newest: u64,
    /// Whether it has been let in.
    is_open: bool,
}

/// The end of a lease that begins now; none for one beyond the end of time.
fn end_of(lease: Duration) -> Option<Instant> {
    Instant::now().checked_add(lease)
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use squall_model::mcp::era::Era;
    use squall_model::scope::{Direction, MessageSubject};

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).expect(json)
    }

    fn status(id: &str, extra: &str) -> Fault {
        fault(&format!(r#"{{"id":"{id}","effect":{{"http-status":{{"status":503}}}}{extra}}}"#))
    }

    /// A POST with these messages, of which nothing else is known.
    pub(super) fn post<'a>(
        headers: &'a HeaderMap,
        messages: &'a [MessageSubject<'a>],
    ) -> Subject<'a> {
        Subject {
            direction: Direction::Request,
            era: Era::Session,
            http_method: "POST",
            path: "/mcp",
            headers,
            session: None,
            session_began: None,
            client: None,
            upstream: None,
            status: None,
            event: None,
            messages,
        }
    }

    fn hits(board: &Board, requests: u64) -> u64 {
        let headers = HeaderMap::new();
        let subject = post(&headers, &[]);
        let decide = |_| board.decide_exchange(&subject, board.arrival()).len() as u64;
        (0..requests).map(decide).sum()
    }

    fn hold(board: &Board) -> Vec<Decision<ConnectionVerdict>> {
        board.decide_connection(&mut Met::default(), board.arrival(), "mcp")
    }

    fn board(faults: impl IntoIterator<Item = Fault>) -> Board {
        let board = Board::new(Seed::new(1));
        for fault in faults {
            board.add(fault).expect("a new id");
        }
        board
    }

    #[test]
    fn a_fault_is_spent_after_max_hits() {
        let board = board([status("a", r#","chance":{"max_hits":3}"#)]);
        assert_eq!(hits(&board, 10), 3);
        let live = board.snapshot().faults()[0].clone();
        assert_eq!((live.matches(), live.hits()), (10, 3));
    }

    #[test]
    fn waits_add_up_and_the_first_verdict_that_ends_the_exchange_is_the_last() {
        let wait = |id: &str| {
            fault(&format!(r#"{{"id":"{id}","effect":{{"latency":{{"delay":"1s"}}}}}}"#))
        };
        let board = board([wait("a"), wait("b"), status("c", ""), wait("d")]);
        assert_eq!(hits(&board, 1), 3);
        assert_eq!(board.snapshot().faults()[3].hits(), 0);
    }

    #[test]
    fn an_id_is_unique_and_an_unknown_one_is_said() {
        let board = board([status("a", "")]);
        assert!(matches!(board.add(status("a", "")), Err(EditError::Exists(_))));
        assert!(matches!(board.replace(status("b", "")), Err(EditError::Unknown(_))));
        assert!(matches!(board.remove(&"b".parse().expect("an id")), Err(EditError::Unknown(_))));
    }

    #[test]
    fn a_replaced_fault_keeps_its_place_and_its_counters_and_ends_the_old_one() {
        let board = board([status("a", ""), status("b", "")]);
        hits(&board, 2);
        let old = board.snapshot().faults()[0].clone();
        board.replace(status("a", r#","chance":{"probability":0}"#)).expect("a is there");
        assert!(old.ended.is_cancelled());
        assert_eq!(board.snapshot().faults()[0].hits(), 2);
        assert_eq!(hits(&board, 1), 1, "b fires now");
    }

    #[test]
    fn hits_that_race_with_a_replacement_count_towards_the_same_limit() {
        let spent = || status("a", r#","chance":{"max_hits":100}"#);
        let board = board([spent()]);
        let total: u64 = std::thread::scope(|scope| {
            let traffic = [(); 4].map(|()| scope.spawn(|| hits(&board, 500)));
            for _ in 0..200 {
                board.replace(spent()).expect("a is there");
            }
            traffic.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(total, 100);
        assert_eq!(board.snapshot().faults()[0].matches(), 2000);
    }

    #[test]
    fn the_nth_match_fires_once_however_many_come_at_a_time() {
        let board = board([status("a", r#","chance":{"nth":700}"#)]);
        let total: u64 = std::thread::scope(|scope| {
            let traffic = [(); 4].map(|()| scope.spawn(|| hits(&board, 500)));
            traffic.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(total, 1);
    }

    #[test]
    fn a_lease_beyond_the_end_of_time_has_no_end() {
        let board = board([status("a", r#","lease":"500000000000years""#)]);
        assert_eq!(board.snapshot().faults()[0].time_left(), None);
        let id = "a".parse().expect("an id");
        board.renew(&id, Some(Duration::MAX)).expect("it has a lease");
    }

    #[test]
    fn a_connection_meets_each_fault_once() {
        let reset = |id: &str| {
            fault(&format!(r#"{{"id":"{id}","effect":{{"reset":{{"at":"connection"}}}}}}"#))
        };
        let board = board([reset("a")]);
        let mut met = Met::default();
        assert_eq!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").len(), 1);
        assert_eq!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").len(), 0);
        board.add(reset("b")).expect("a new id");
        assert_eq!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").len(), 1);
    }

    #[test]
    fn a_fault_that_is_switched_off_is_listed_and_does_nothing() {
        let board = board([status("a", r#","enabled":false"#)]);
        assert_eq!(hits(&board, 10), 0);
        assert_eq!(board.snapshot().faults()[0].matches(), 0);
        board.replace(status("a", "")).expect("it is there");
        assert_eq!(hits(&board, 10), 10);
    }

    #[test]
    fn a_set_is_applied_whole_and_what_is_the_same_goes_on() {
        let board = board([status("a", ""), status("b", ""), status("c", "")]);
        hits(&board, 3);
        let before = board.snapshot().faults().to_vec();
        let b = status("b", r#","chance":{"max_hits":9}"#);
        board.apply(vec![status("d", ""), status("a", ""), b]).expect("they differ");
        let after = board.snapshot().faults().to_vec();
        let ids: Vec<_> = after.iter().map(|live| live.fault.id.as_str()).collect();
        assert_eq!(ids, ["d", "a", "b"]);
        assert!(Arc::ptr_eq(&before[0], &after[1]), "the same goes on");
        assert!(before[1].has_ended() && before[2].has_ended() && !before[0].has_ended());
        let twice = board.apply(vec![status("x", ""), status("x", "")]);
        assert!(twice.is_err());
        assert_eq!(board.snapshot().faults().len(), 3, "a bad set changes nothing");
    }

    #[test]
    fn no_more_are_held_at_a_time_than_the_fault_may() {
        let stall =
            r#"{"id":"a","chance":{"max_concurrent":2},"effect":{"reset":{"at":"connection"}}}"#;
        let board = board([fault(stall)]);
        let (first, second) = (hold(&board), hold(&board));
        assert_eq!((first.len(), second.len(), hold(&board).len()), (1, 1, 0));
        drop(first);
        assert_eq!(hold(&board).len(), 1, "there is room again");
        assert_eq!(board.snapshot().faults()[0].hits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_sleeps_until_its_time_has_come() {
        let asleep =
            r#"{"id":"a","chance":{"start_after":"10s"},"effect":{"reset":{"at":"connection"}}}"#;
        let board = board([fault(asleep)]);
        let mut met = Met::default();
        let test = async {
            let mut changed = board.subscribe();
            assert!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").is_empty());
            board
                .add(fault(&asleep.replace(r#""a""#, r#""b""#).replace("10s", "0s")))
                .expect("new");
            assert_eq!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").len(), 1);
            changed.mark_unchanged();
            changed.changed().await.expect("the board lives");
            assert_eq!(board.decide_connection(&mut met, DrawKey::Arrival(1), "mcp").len(), 1);
        };
        tokio::select! { () = test => {}, () = board.keep_time() => {} }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_unless_it_is_renewed() {
        let board = board([status("a", r#","lease":"10s""#), status("b", "")]);
        let a = "a".parse().expect("an id");
        let test = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            board.renew(&a, None).expect("a has a lease");
            tokio::time::sleep(Duration::from_secs(9)).await;
            assert_eq!(board.snapshot().faults().len(), 2);
            let live = board.snapshot().faults()[0].clone();
            live.ended().await;
            assert_eq!(board.snapshot().faults()[0].fault.id.as_str(), "b");
        };
        tokio::select! { () = test => {}, () = board.keep_time() => {} }
    }
}
