//! One downstream connection, as the exchanges on it, its socket and its faults see it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
