//! One downstream connection, as the exchanges on it, its socket and its faults see it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use http::Version;
use parking_lot::Mutex;
use squall_model::fault::Flow;
use squall_model::verdict::Shaping;

use crate::board::Fired;
use crate::ledger::Entry;
use crate::upstream::Pool;

/// One downstream connection.
#[derive(Debug)]
pub(crate) struct Link {
    reset: AtomicBool,
    /// While it is stalled, nothing is read for the exchanges or written.
    stalled: AtomicBool,
    /// Whether nothing more is sent.
    half_closed: AtomicBool,
    /// Whether exchanges share it, each a stream of its own.
    multiplexed: AtomicBool,
    /// How many exchanges are under way, and how many there were.
    exchanges: AtomicU32,
    begun: AtomicU32,
    /// Whether bytes came since the last of them began.
    heard: AtomicBool,
    stages: Mutex<Vec<Arc<Stage>>>,
    /// Changes with the stages, so that the socket looks at them only then.
    generation: AtomicU64,
    /// The session that its client was told is gone.
    lost: Mutex<Option<Arc<Entry>>>,
    pub(crate) traffic: Counted,
    pub(crate) pool: Pool,
}

/// The bytes of all connections of a route, counted as they move.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// From clients.
    pub(crate) up: AtomicU64,
    /// To clients.
    pub(crate) down: AtomicU64,
    /// Connections that are open.
    pub(crate) open: AtomicU64,
}

/// The traffic that an open connection is counted in.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Traffic>);

impl Deref for Counted {
    type Target = Traffic;

    fn deref(&self) -> &Traffic {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An exchange that is under way on a connection, until the last of these is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Link>);

impl Clone for UnderWay {
    fn clone(&self) -> Self {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Deref for UnderWay {
    type Target = Arc<Link>;

    fn deref(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.heard.store(false, Ordering::Relaxed);
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One thing that is done to what a connection carries.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) flow: Flow,
    pub(crate) shaping: Shaping,
    pub(crate) fault: Fired,
}

impl Link {
    /// A connection whose bytes are counted there.
    pub(crate) fn counting(traffic: Arc<Traffic>) -> Self {
        traffic.open.fetch_add(1, Ordering::Relaxed);
        Self {
            reset: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            exchanges: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            heard: AtomicBool::new(false),
            stages: Mutex::default(),
            generation: AtomicU64::new(0),
            lost: Mutex::default(),
            traffic: Counted(traffic),
            pool: Pool::default(),
        }
    }

    /// Its client was told that this session is gone.
    pub(crate) fn lose(&self, entry: Arc<Entry>) {
        *self.lost.lock() = Some(entry);
    }

    /// The session that its client was told is gone, if it was.
    pub(crate) fn take_lost(&self) -> Option<Arc<Entry>> {
        self.lost.lock().take()
    }

    /// When the connection ends, which it should soon, it ends with a TCP RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// One exchange on it breaks off, which should end soon: with a TCP RST, or where others share the
    /// connection, with an HTTP/2 `RST_STREAM`.
    pub(crate) fn break_off(&self) {
        if !self.multiplexed.load(Ordering::Relaxed) {
            self.reset();
        }
    }

    /// An exchange begins, in this version of HTTP. It has ended when what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.heard.store(false, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        UnderWay(self.clone())
    }

    /// Bytes came.
    pub(crate) fn hear(&self, count: u64) {
        self.traffic.up.fetch_add(count, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
    }

    /// If it looks as if a request had begun to come, and none was there since: how many there were.
    pub(crate) fn half_heard(&self) -> Option<u32> {
        let is_open = self.exchanges.load(Ordering::Relaxed) > 0;
        let is_it = self.heard.load(Ordering::Relaxed)
            && !is_open
            && !self.multiplexed.load(Ordering::Relaxed);
        is_it.then(|| self.begun.load(Ordering::Relaxed))
    }

    /// Whether it ends with a TCP RST.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Stops reading and writing, or lets them go on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whether nothing is read or written.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Sends no more.
    pub(crate) fn half_close(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more is sent.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// Shapes what it carries, until the fault ends.
    pub(crate) fn shape(&self, flow: Flow, shaping: Shaping, fault: Fired) {
        self.stages.lock().push(Arc::new(Stage { flow, shaping, fault }));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Forgets the stages whose faults have ended.
    pub(crate) fn prune(&self) {
        let mut stages = self.stages.lock();
        let before = stages.len();
        stages.retain(|stage| !stage.fault.has_ended());
        if stages.len() < before {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// A number that changes whenever the stages do.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is done to what it carries, in order.
    pub(crate) fn stages(&self) -> Vec<Arc<Stage>> {
        self.stages.lock().clone()
    }
}
