//! A running load: start it, wait until it is ready, watch it, stop it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::conductor::{Readiness, conduct};
use crate::plan::Plan;
use crate::shared::Shared;
use crate::sink::Sink;
use crate::stats::Summary;
use crate::workload::{Mix, NotOffered};

/// A running load. Dropping it abandons the load at once, without a summary.
pub struct Load {
    shared: Arc<Shared>,
    readiness: watch::Receiver<Readiness>,
    task: JoinHandle<()>,
}

/// A load whose sessions are all ready; arrivals begin.
#[derive(Clone, Debug)]
pub struct Ready {
    /// How many sessions.
    pub sessions: u32,
    /// What they do, fitted to what the server offers.
    pub mix: Mix,
    /// How long it took.
    pub took: Duration,
}

/// Why a load is not, or not quite, ready.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotReady {
    /// Not all sessions could be initialised in time. If at least one could, arrivals begin and the
    /// others go on trying; if none could, the load has ended.
    #[error("{ready} of {total} sessions could be initialised at {target}: {cause}")]
    TooFew {
        /// How many could.
        ready: u32,
        /// How many there are.
        total: u32,
        /// Where.
        target: String,
        /// Why most of the others could not.
        cause: String,
    },
    /// The server's lists could not be read, so that it is not known what to do. The load has ended.
    #[error("what {target} offers could not be found out: {method}: {cause}")]
    Unexplored {
        /// Where.
        target: String,
        /// What was asked.
        method: &'static str,
        /// What came of it.
        cause: String,
    },
    /// The mix names something that the server does not have. The load has ended.
    #[error(transparent)]
    NotOffered(#[from] NotOffered),
    /// The load was stopped first.
    #[error("the load was stopped before its sessions were ready")]
    Stopped,
}

/// Where a load stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Sessions in all.
    pub sessions: u32,
    /// Sessions that are open now.
    pub ready: u32,
    /// Operations that were sent and have ended.
    pub sent: u64,
    /// Operations that are being tried now.
    pub in_flight: u64,
    /// Operations that ended well.
    pub ok: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Operations whose outcome is not known.
    pub unknown: u64,
}

impl Load {
    /// Starts a load on the current tokio runtime. Its operations go to `sink`, in the time of
    /// `clock`.
    pub fn start(plan: Plan, clock: Clock, sink: Arc<dyn Sink>) -> Self {
        let shared = Arc::new(Shared::new(plan, clock, sink));
        let (sender, readiness) = watch::channel(None);
        let task = tokio::spawn(conduct(Arc::clone(&shared), sender));
        Self { shared, readiness, task }
    }

    /// Waits until all sessions are ready and arrivals begin, or until it is known that they are not,
    /// at most as long as the plan's ready timeout and a few requests more.
    pub async fn ready(&mut self) -> Result<Ready, NotReady> {
        match self.readiness.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or(Err(NotReady::Stopped)),
            Err(_) => Err(NotReady::Stopped),
        }
    }

    /// Waits until the load has ended by itself, its plan's extent done. One that goes on until it is
    /// stopped never does, and neither does a closed model with a number of operations while the
    /// server stays away. Can be dropped and called again.
    pub async fn finished(&mut self) {
        if !self.task.is_finished() {
            // How it ended is for the record to say.
            let _ = (&mut self.task).await;
        }
    }

    /// Where the load stands.
    pub fn progress(&self) -> Progress {
        let totals = self.shared.with_stats(crate::stats::Stats::totals);
        Progress {
            sessions: self.shared.plan.sessions.get(),
            ready: self.shared.population.ready.load(Ordering::Relaxed),
            sent: self.shared.sent.load(Ordering::Relaxed),
            in_flight: self.shared.in_flight.load(Ordering::Relaxed),
            ok: totals.ok,
            failed: totals.failed,
            unknown: totals.unknown,
        }
    }

    /// What the load has come to so far.
    pub fn summary(&self) -> Summary {
        self.shared.summary()
    }

    /// Ends the load without a loss: nothing more falls due; what is due already still goes out, for
    /// as long as the plan's grace, and what is left then is recorded as not sent.
    pub async fn drain(mut self) -> Summary {
        self.shared.enough.cancel();
        self.finished().await;
        self.shared.summary()
    }

    /// Ends the load: no more arrivals; what is in flight has the plan's grace; what was due and not
    /// sent is recorded as such; sessions are ended, where the plan says so.
    pub async fn stop(mut self) -> Summary {
        self.shared.stop.cancel();
        self.finished().await;
        self.shared.summary()
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut load = f.debug_struct("Load");
        load.field("plan", &self.shared.plan).finish_non_exhaustive()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.wire.cut.cancel();
        self.task.abort();
    }
}
