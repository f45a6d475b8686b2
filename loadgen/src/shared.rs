//! What all tasks of one load share: the plan, the record of what happens, the signals to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use squall_model::history::{Cause, Nanos, Operation, Outcome};
use squall_model::operation::OperationId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::{Report, Wire};
use crate::clock::Clock;
use crate::plan::Plan;
use crate::sink::Sink;
use crate::stats::{Context, SessionSummary, Stats, Summary};
use crate::workload::Workload;

pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) wire: Arc<Wire>,
    /// When it is cancelled, nothing more is sent.
    pub(crate) stop: CancellationToken,
    /// When it is cancelled, nothing more falls due; what is due already still goes out. Cancelled
    /// with `stop` in any case.
    pub(crate) enough: CancellationToken,
    pub(crate) population: Population,
    pub(crate) in_flight: AtomicU64,
    pub(crate) sent: AtomicU64,
    sink: Arc<dyn Sink>,
    stats: Mutex<Stats>,
    /// What the mix came to.
    pub(crate) mix: Mutex<Option<String>>,
}

/// Where the sessions stand.
#[derive(Debug, Default)]
pub(crate) struct Population {
    /// How many have a session now.
    pub(crate) ready: AtomicU32,
    /// How many have had one at some time.
    pub(crate) ever_ready: watch::Sender<u32>,
    /// How many have started another one.
    pub(crate) reinitialised: AtomicU32,
    /// How often, over all.
    pub(crate) reinitialisations: AtomicU64,
}

/// One operation that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) id: OperationId,
    pub(crate) due: Nanos,
}

impl Shared {
    pub(crate) fn new(plan: Plan, clock: Clock, sink: Arc<dyn Sink>) -> Self {
        let wire = Wire {
            target: plan.target.clone(),
            timeout: plan.timeout,
            version: plan.version,
            name: plan.client.clone(),
            clock,
            cut: CancellationToken::new(),
            notes: crate::client::ConnectNotes::default(),
        };
        let stop = CancellationToken::new();
        Self {
            wire: Arc::new(wire),
            enough: stop.child_token(),
            stop,
            population: Population::default(),
            in_flight: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sink,
            stats: Mutex::default(),
            mix: Mutex::new(None),
            plan,
        }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.wire.clock
    }

    /// Records an operation that was tried.
    pub(crate) fn record(&self, job: Job, name: Arc<str>, report: Report) {
        self.keep(Operation {
            id: job.id,
            name,
            session: report.session,
            due: job.due,
            sent: report.sent,
            completed: report.completed,
            outcome: report.outcome,
            faults: report.faults,
        });
    }

    /// Records an operation that was due and was not tried.
    pub(crate) fn skip(&self, job: Job, workload: &Workload, cause: Cause) {
        self.keep(Operation {
            id: job.id,
            name: workload.name(job.id),
            session: None,
            due: job.due,
            sent: None,
            completed: self.clock().now(),
            outcome: Outcome::Failed(cause),
            faults: Vec::new(),
        });
    }

    fn keep(&self, operation: Operation) {
        self.stats.lock().add(&operation);
        self.sink.record(operation);
    }

    pub(crate) fn with_stats<T>(&self, look: impl FnOnce(&Stats) -> T) -> T {
        look(&self.stats.lock())
    }

    pub(crate) fn summary(&self) -> Summary {
        let total = self.plan.sessions.get();
        let sessions = SessionSummary {
            total,
            reinitialised: self.population.reinitialised.load(Ordering::Relaxed),
            reinitialisations: self.population.reinitialisations.load(Ordering::Relaxed),
            never_ready: total.saturating_sub(*self.population.ever_ready.borrow()),
        };
        let mix = self.mix.lock().clone();
        let context = Context {
            target: self.plan.target.to_string(),
            seed: self.plan.seed.value(),
            mix: mix.unwrap_or_else(|| self.plan.mix.to_string()),
            sessions,
        };
        self.with_stats(|stats| stats.summary(context))
    }
}
