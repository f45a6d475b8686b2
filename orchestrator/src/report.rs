//! What a run came to, as `report.json` has it; the terminal and the web page are drawn from it.
//!
//! `docs/report.md` describes the file. Moments are milliseconds from `started`, times are
//! milliseconds, shares are 0 to 1. A number that could not be measured is null.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use squall_model::chance::Seed;
use squall_model::fault::FaultId;
use squall_model::history::{Event, Nanos};

use crate::check::conformance::Breach;
use crate::check::percentile::ms;
use crate::check::provenance::Origins;
use crate::check::recovery::Recovery;
use crate::check::reinit::{Fate, HopPercentiles, Hops, SessionCounts, SessionStory};
use crate::check::{self, Finding, Measured, Verdict};
use crate::evidence::{Evidence, FaultUse, Span, ThresholdResult};

mod chart;
pub(crate) mod html;
pub(crate) mod operations;
pub(crate) mod terminal;
pub(crate) mod timeline;

use operations::{Errors, OperationStats};
use timeline::Bucket;

/// The version of `report.json`: raised when a field changes its meaning or goes, not when one is
/// added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// One run, as `report.json` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`SCHEMA_VERSION`].
    pub(crate) schema_version: u32,
    /// `held`, `broken`, `unknown`, `stopped`, `rollback_incomplete` or `not_started`.
    pub(crate) verdict: Verdict,
    /// Why, in words.
    pub(crate) reason: String,
    /// The exit code that goes with the verdict.
    pub(crate) exit_code: u8,
    /// The drill's name.
    pub(crate) drill: String,
    /// The drill's title.
    pub(crate) title: String,
    /// The run's id.
    pub(crate) run: String,
    /// What everything was drawn from.
    pub(crate) seed: Seed,
    /// `process`, `docker` or `external`.
    pub(crate) world: String,
    /// The load in words.
    pub(crate) load: String,
    /// The replicas' names, or the URL.
    pub(crate) targets: Vec<String>,
    /// The moment zero: wall time, RFC 3339, UTC.
    pub(crate) started: String,
    /// When the phases began and ended.
    pub(crate) phases: PhaseTimes,
    /// When the fault began and ended; null if none began.
    pub(crate) fault: Option<Stretch>,
    /// What the rest is held against.
    pub(crate) baseline: BaselineReport,
    /// The share of the workload that went well, phase by phase.
    pub(crate) availability: Availability,
    /// What became of the sessions; the four fates add up to `total`.
    pub(crate) sessions: SessionCounts,
    /// How the service came back, from the fault's start.
    pub(crate) recovery: Recovery,
    /// How sessions came back: percentiles of every hop.
    pub(crate) reinit: HopPercentiles,
    /// Every session that took that way, in the order of their numbers.
    pub(crate) paths: Vec<Path>,
    /// The sessions that never recovered.
    pub(crate) never_recovered: Vec<LostSession>,
    /// Faults and steps, and whether they came about.
    pub(crate) faults: Vec<FaultReport>,
    /// Answers that break the specification.
    pub(crate) breaches: Vec<Breach>,
    /// What was done, by name: handshakes too.
    pub(crate) operations: BTreeMap<String, OperationStats>,
    /// What went wrong, by cause and by origin.
    pub(crate) errors: Errors,
    /// What each checker came to.
    pub(crate) findings: Vec<Finding>,
    /// The drill's thresholds.
    pub(crate) thresholds: Vec<ThresholdResult>,
    /// The workload second by second.
    pub(crate) timeline: Vec<Bucket>,
    /// Steps, undos and what happened to the world.
    pub(crate) events: Vec<EventReport>,
}

/// When the phases began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhaseTimes {
    /// Nothing is broken.
    pub(crate) baseline: Stretch,
    /// Things are broken.
    pub(crate) impact: Stretch,
    /// Nothing is broken any more.
    pub(crate) recovery: Stretch,
}

/// A stretch of time, in milliseconds from `started`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    /// Its beginning.
    pub(crate) from_ms: f64,
    /// Its end.
    pub(crate) to_ms: f64,
}

impl From<Span> for Stretch {
    fn from(span: Span) -> Self {
        Self { from_ms: moment(span.from), to_ms: moment(span.to) }
    }
}

/// What the rest is held against: the workload in the baseline phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BaselineReport {
    /// How many operations were due.
    pub(crate) operations: u64,
    /// The share of them that went well.
    pub(crate) success: f64,
    /// The 95th percentile of latency.
    pub(crate) p95_ms: Option<f64>,
}

/// The share of the workload's operations that went well, by the phase that they count for; null where
/// none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Availability {
    /// Nothing is broken.
    pub(crate) baseline: Option<f64>,
    /// Things are broken.
    pub(crate) impact: Option<f64>,
    /// Nothing is broken any more.
    pub(crate) recovery: Option<f64>,
}

impl Availability {
    /// By the phase that each counts for: what was under way when the fault began, and ended badly, is
    /// the fault's.
    fn of(evidence: &Evidence) -> Self {
        let share = |phase: &str| {
            let (mut ok, mut all) = (0_u64, 0_u64);
            for operation in evidence.workload() {
                if evidence.phases.of(operation, evidence.fault) == Some(phase) {
                    all += 1;
                    ok += u64::from(operation.outcome.is_ok());
                }
            }
            (all > 0).then(|| ok as f64 / all as f64)
        };
        Self { baseline: share("baseline"), impact: share("impact"), recovery: share("recovery") }
    }
}

/// One session's way back, in milliseconds; the hops are those of `reinit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Path {
    /// The load generator's number for the session.
    pub(crate) client: u32,
    /// Its replica when the fault began, where known.
    pub(crate) home: Option<String>,
    /// From the last success to the first 404.
    pub(crate) last_success_to_404: Option<f64>,
    /// From the first 404 to the next `initialize`.
    pub(crate) status_404_to_initialize: Option<f64>,
    /// From that `initialize` to the end of the handshake.
    pub(crate) initialize_to_ready: Option<f64>,
    /// From there to the first success.
    pub(crate) ready_to_first_success: Option<f64>,
    /// From the last success to the next.
    pub(crate) total: Option<f64>,
}

/// A session that never recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostSession {
    /// The load generator's number for it.
    pub(crate) client: u32,
    /// Its `Mcp-Session-Id` when the fault began.
    pub(crate) session: Option<String>,
    /// Its replica when the fault began, where known.
    pub(crate) home: Option<String>,
    /// How its last failed operation ended.
    pub(crate) last_failure: Option<String>,
}

/// A fault or a step, and whether it came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultReport {
    /// The fault's id, or a name for the step.
    pub(crate) id: FaultId,
    /// What it does, in words.
    pub(crate) what: String,
    /// How often it acted.
    pub(crate) hits: u64,
    /// Whether it is a step and not a fault of the proxy.
    pub(crate) step: bool,
    /// From the journalled start of a step on containers to the first that the engine says of it; null
    /// elsewhere.
    pub(crate) seen_after_ms: Option<f64>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventReport {
    /// When it began.
    pub(crate) at_ms: f64,
    /// When it was done, for what takes time.
    pub(crate) until_ms: Option<f64>,
    /// `phase`, `step`, `undo` …
    pub(crate) kind: String,
    /// In words.
    pub(crate) what: String,
}

impl From<&Evidence> for Report {
    fn from(evidence: &Evidence) -> Self {
        let measured = Measured::of(evidence);
        let findings = check::findings(evidence, &measured);
        let (verdict, reason) = Verdict::of(evidence, &findings);
        let run = evidence.run.clone();
        let origins = Origins::of(evidence, &measured.recovery);
        let stories = &measured.reinit.stories;
        let lost = stories.iter().filter(|s| s.fate == Fate::NeverRecovered);
        Self {
            schema_version: SCHEMA_VERSION,
            verdict,
            reason,
            exit_code: verdict.exit_code(),
            drill: run.name,
            title: run.title,
            run: run.id,
            seed: run.seed,
            world: run.world,
            load: run.load,
            targets: run.targets,
            started: wall(run.started),
            phases: PhaseTimes {
                baseline: evidence.phases.baseline.into(),
                impact: evidence.phases.impact.into(),
                recovery: evidence.phases.recovery.into(),
            },
            fault: evidence.fault.map(Into::into),
            baseline: BaselineReport {
                operations: measured.baseline.operations,
                success: measured.baseline.success,
                p95_ms: measured.baseline.p95.map(ms),
            },
            availability: Availability::of(evidence),
            sessions: measured.reinit.counts(),
            reinit: measured.reinit.percentiles(),
            paths: stories.iter().filter_map(path).collect(),
            never_recovered: lost.map(Into::into).collect(),
            faults: evidence.faults.iter().map(Into::into).collect(),
            breaches: measured.breaches,
            operations: operations::by_name(&evidence.operations),
            errors: operations::errors(&evidence.operations, &origins),
            recovery: measured.recovery,
            findings,
            thresholds: evidence.thresholds.clone(),
            timeline: timeline::buckets(evidence.workload()),
            events: in_order(&evidence.events),
        }
    }
}

impl Report {
    /// `report.json`.
    pub(crate) fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// What stands in the place of `report.json` for a run that came to no report: the first fields
    /// of it, and no more.
    pub(crate) fn of_none(
        drill: &str,
        seed: Seed,
        verdict: Verdict,
        exit_code: u8,
        reason: &str,
    ) -> serde_json::Value {
        serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "verdict": verdict,
            "reason": reason,
            "exit_code": exit_code,
            "drill": drill,
            "seed": seed,
        })
    }

    /// `report.html`.
    pub(crate) fn to_html(&self) -> io::Result<String> {
        html::render(self).map_err(io::Error::other)
    }

    /// Lets a verdict that only the runner knows, such as a rollback that is incomplete, stand in
    /// the place of a lesser one.
    pub(crate) fn overrule(&mut self, verdict: Verdict, reason: &str) {
        if self.verdict.worse(verdict) == verdict && self.verdict != verdict {
            self.verdict = verdict;
            self.exit_code = verdict.exit_code();
            self.reason = format!("{reason} {}", self.reason);
        }
    }
}

fn path(story: &SessionStory) -> Option<Path> {
    let hops: Hops = story.hops?;
    Some(Path {
        client: story.client,
        home: story.home.clone(),
        last_success_to_404: hops.last_success_to_404.map(ms),
        status_404_to_initialize: hops.status_404_to_initialize.map(ms),
        initialize_to_ready: hops.initialize_to_ready.map(ms),
        ready_to_first_success: hops.ready_to_first_success.map(ms),
        total: hops.total.map(ms),
    })
}

impl From<&SessionStory> for LostSession {
    fn from(story: &SessionStory) -> Self {
        Self {
            client: story.client,
            session: story.session.as_deref().map(Into::into),
            home: story.home.clone(),
            last_failure: story.last_failure.clone(),
        }
    }
}

impl From<&FaultUse> for FaultReport {
    fn from(fault: &FaultUse) -> Self {
        Self {
            id: fault.id.clone(),
            what: fault.what.clone(),
            hits: fault.hits,
            step: fault.step,
            seen_after_ms: fault.seen_after.map(ms),
        }
    }
}

impl From<&Event> for EventReport {
    fn from(event: &Event) -> Self {
        Self {
            at_ms: moment(event.at),
            until_ms: event.until.map(moment),
            kind: event.kind.clone(),
            what: event.what.clone(),
        }
    }
}

/// By when they began: a step is recorded when it is done, what the engine says of it before that.
fn in_order(events: &[Event]) -> Vec<EventReport> {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by_key(|event| event.at);
    events.into_iter().map(Into::into).collect()
}

/// A moment in milliseconds from the start of the run.
fn moment(moment: Nanos) -> f64 {
    ms(moment.since(Nanos(0)))
}

/// A wall time in nanoseconds since the Unix epoch, as RFC 3339.
fn wall(nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests;
