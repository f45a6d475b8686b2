//! What the checkers look at: everything a run left behind, as plain data.
//!
//! All moments count from one anchor, whose wall time is [`RunInfo::started`]; records of other
//! processes are rebased onto it before they come here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::chance::Seed;
use squall_model::fault::FaultId;
use squall_model::history::{Event, Injection, Nanos, Operation};
use squall_model::operation::OperationId;

/// One run, as the checkers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// Which run.
    pub(crate) run: RunInfo,
    /// What the load generator did, in any order.
    pub(crate) operations: Vec<Operation>,
    /// What the proxy injected, in any order.
    pub(crate) injections: Vec<Injection>,
    /// Steps, undos and what happened to the world.
    pub(crate) events: Vec<Event>,
    /// The faults and the steps of the drill, and whether they came about.
    pub(crate) faults: Vec<FaultUse>,
    /// The three phases.
    pub(crate) phases: Phases,
    /// From the journalled start of the first step to the end of what it broke; `None` if no step
    /// was begun.
    pub(crate) fault: Option<Span>,
    /// Where each session lived when the fault began.
    pub(crate) sessions_at_fault: Vec<SessionAtFault>,
    /// What must become of sessions.
    pub(crate) expectation: Expectation,
    /// What steady means.
    pub(crate) steady: SteadyRule,
    /// The least share of the sessions, 0 to 1, that must live on what is broken.
    pub(crate) min_broken_share: f64,
    /// The thresholds of the drill, evaluated.
    pub(crate) thresholds: Vec<ThresholdResult>,
    /// What the drill could not do.
    pub(crate) failures: Vec<Failure>,
    /// Why the run ended before its time, if it did: a stop condition or an interrupt.
    pub(crate) stopped: Option<String>,
    /// What of the drill's own failed so that the run could not go on, if anything did.
    #[serde(default)]
    pub(crate) cut_short: Option<String>,
}

impl Evidence {
    /// The moment from which damage counts: the fault's start, or else the impact phase's.
    pub(crate) fn damage_from(&self) -> Nanos {
        self.fault.map_or(self.phases.impact.from, |span| span.from)
    }

    /// The workload operations that were due in the span: all but those of the handshake.
    pub(crate) fn workload_due_in(&self, span: Span) -> impl Iterator<Item = &Operation> {
        self.workload().filter(move |operation| span.contains(operation.due))
    }

    /// The workload operations: all but those of the handshake.
    pub(crate) fn workload(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|operation| !operation.is_handshake())
    }

    /// The operations that a fault of the proxy touched.
    pub(crate) fn injected(&self) -> HashSet<OperationId> {
        let named = self.injections.iter().filter_map(|act| act.operation);
        let marked = self.operations.iter().filter(|o| !o.faults.is_empty());
        named.chain(marked.map(|operation| operation.id)).collect()
    }
}

/// Which run, of which drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunInfo {
    /// The drill's name, such as `server-restart`.
    pub(crate) name: String,
    /// The drill's title, in words.
    pub(crate) title: String,
    /// The run's own id.
    pub(crate) id: String,
    /// What everything was drawn from.
    pub(crate) seed: Seed,
    /// `process`, `docker` or `external`.
    pub(crate) world: String,
    /// Wall time of the moment zero, in nanoseconds since the Unix epoch.
    pub(crate) started: u64,
    /// The load in words, such as `200 sessions, 150 operations/s`.
    pub(crate) load: String,
    /// The names of the replicas, or the URL.
    pub(crate) targets: Vec<String>,
}

/// A stretch of time: `from` belongs to it, `to` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Its first moment.
    pub(crate) from: Nanos,
    /// The first moment after it.
    pub(crate) to: Nanos,
}

impl Span {
    /// Whether the moment lies in it.
    pub(crate) fn contains(self, moment: Nanos) -> bool {
        self.from <= moment && moment < self.to
    }
}

/// The three phases of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Phases {
    /// Nothing is broken: what the rest is held against.
    pub(crate) baseline: Span,
    /// Things are broken.
    pub(crate) impact: Span,
    /// Nothing is broken any more.
    pub(crate) recovery: Span,
}

impl Phases {
    /// The phase that an operation counts for: the one that it was due in. What was under way when
    /// the fault began, and then ended badly, is the fault's and not the baseline's.
    pub(crate) fn of(&self, operation: &Operation, fault: Option<Span>) -> Option<&'static str> {
        let spans =
            [("baseline", self.baseline), ("impact", self.impact), ("recovery", self.recovery)];
        let due_in = spans.into_iter().find(|(_, span)| span.contains(operation.due));
        let begun = fault.is_some_and(|fault| fault.from <= operation.completed);
        match due_in?.0 {
            "baseline" if begun && !operation.outcome.is_ok() => Some("impact"),
            phase => Some(phase),
        }
    }
}

/// One fault of the proxy, or one step that breaks something by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FaultUse {
    /// The fault's id, or a name for the step.
    pub(crate) id: FaultId,
    /// What it does, in words, such as `kill -9 r1`.
    pub(crate) what: String,
    /// How often it acted; for a step, 1 if it was carried out.
    pub(crate) hits: u64,
    /// Whether it is a step and not a fault of the proxy.
    pub(crate) step: bool,
    /// For a step on containers: how long after its journalled start the engine itself says that
    /// something happened to one of them.
    #[serde(default)]
    pub(crate) seen_after: Option<Duration>,
}

/// Something that the drill could not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What, and why, in words.
    pub(crate) what: String,
    /// Whether it says something about what is drilled: a replica that does not come back does, a
    /// proxy of ours that dies does not.
    pub(crate) tells: bool,
}

/// Where one session of the load generator lived when the fault began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionAtFault {
    /// The load generator's number for it: [`OperationId::session`].
    pub(crate) client: u32,
    /// Its `Mcp-Session-Id`, if it had one.
    pub(crate) session: Option<Arc<str>>,
    /// The name of its replica, where known.
    pub(crate) home: Option<String>,
    /// Whether its home was among what was broken.
    pub(crate) broken: bool,
}

/// What must become of the sessions on what is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Expectation {
    /// They are lost (kept in memory): each must get 404 and start anew, the others must not.
    Reinitialise,
    /// They are kept (in a store that survives): nobody may get 404.
    Survive,
    /// Either will do.
    None,
}

/// What steady means, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SteadyRule {
    /// The windows that are judged, one by one.
    #[serde(with = "crate::scalar::time")]
    pub(crate) window: Duration,
    /// A window's success rate may be so much below the baseline's (0.01 is a percentage point).
    pub(crate) success_drop: f64,
    /// A window's p95 may be so many times the baseline's …
    pub(crate) p95_factor: f64,
    /// … or so much above it, whichever is more.
    #[serde(with = "crate::scalar::time")]
    pub(crate) p95_slack: Duration,
    /// Recovered means steady for at least so long.
    #[serde(with = "crate::scalar::time")]
    pub(crate) hold: Duration,
    /// The least success rate of the baseline itself, 0 to 1.
    pub(crate) baseline_success: f64,
}

impl SteadyRule {
    /// The highest p95 that is steady beside a normal one.
    pub(crate) fn slowest(&self, normal: Duration) -> Duration {
        let scaled = Duration::try_from_secs_f64(normal.as_secs_f64() * self.p95_factor);
        scaled.unwrap_or(Duration::MAX).max(normal.saturating_add(self.p95_slack))
    }
}

impl Default for SteadyRule {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1),
            success_drop: 0.01,
            p95_factor: 2.0,
            p95_slack: Duration::from_millis(20),
            hold: Duration::from_secs(5),
            baseline_success: 0.99,
        }
    }
}

/// One threshold of the drill and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ThresholdResult {
    /// What was measured, such as `latency{tools/call fast-echo}`.
    pub(crate) metric: String,
    /// The threshold in k6's notation, such as `p(95)<500`.
    pub(crate) expression: String,
    /// What was observed, in the metric's own unit; `None` if nothing was.
    pub(crate) observed: Option<f64>,
    /// Whether the threshold holds.
    pub(crate) holds: bool,
    /// From how many samples.
    pub(crate) samples: u64,
}
