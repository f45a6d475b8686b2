//! Gathers what the checkers look at from what was recorded.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use squall_loadgen::Sample;
use squall_model::fault::FaultId;
use squall_model::history::{Anchor, Event, Injection, Operation, Record};
use squall_proxy::client::SessionView;

use super::Options;
use super::plan::{Broken, Plan, Planned};
use super::play::Played;
use super::recording::Recording;
use crate::drill::Drill;
use crate::evidence::{Evidence, FaultUse, Phases, RunInfo, SessionAtFault, Span, ThresholdResult};
use crate::state::RunId;
use crate::step::Step;

/// Why the evidence is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvidenceError {
    /// The proxy's history cannot be read.
    #[error("cannot read the proxy's history {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Puts everything together.
pub(super) fn gather(
    drill: &Drill,
    plan: &Plan<'_>,
    options: &Options,
    run: &RunId,
    recording: &Recording,
    played: Played,
) -> Result<Evidence, EvidenceError> {
    let operations = recording.take_operations();
    let injections = injections(recording)?;
    let phases = played.phases();
    let broken = plan.broken();
    Ok(Evidence {
        run: run_info(drill, plan, options, run, recording),
        faults: faults(plan, &played, &injections, &recording.events()),
        thresholds: thresholds(drill, &operations, phases, played.fault),
        sessions_at_fault: sessions(&operations, &played, &broken),
        phases,
        fault: played.fault,
        expectation: drill.expect.sessions,
        steady: drill.steady,
        min_broken_share: if broken.is_none() { 0.0 } else { drill.expect.broken_share.value() },
        stopped: played.stopped,
        cut_short: played.cut_short,
        failures: played.failures,
        events: recording.events(),
        operations,
        injections,
    })
}

fn run_info(
    drill: &Drill,
    plan: &Plan<'_>,
    options: &Options,
    run: &RunId,
    recording: &Recording,
) -> RunInfo {
    RunInfo {
        name: drill.name.as_str().to_owned(),
        title: drill.title.clone(),
        id: run.to_string(),
        seed: options.seed,
        world: drill.world().name().to_owned(),
        started: recording.clock().anchor().wall,
        load: drill.load.describe(),
        targets: drill.world().targets(&plan.cast),
    }
}

/// What the proxy injected, in the time of the drill.
fn injections(recording: &Recording) -> Result<Vec<Injection>, EvidenceError> {
    let path = recording.proxy_history();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(EvidenceError::Unreadable { path, source }),
    };
    let here = recording.clock().anchor();
    let mut there = Anchor { wall: here.wall };
    let mut injections = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Record::Anchor(anchor)) => there = anchor,
            Ok(Record::Injection(injection)) => {
                let at = injection.at.rebased(there, here);
                injections.push(Injection { at, ..injection });
            }
            // Anything else, such as a line that a SIGKILL tore, is not the proxy's word.
            _ => {}
        }
    }
    Ok(injections)
}

fn faults(
    plan: &Plan<'_>,
    played: &Played,
    injections: &[Injection],
    events: &[Event],
) -> Vec<FaultUse> {
    let breaking = |(_, planned): &(usize, &Planned<'_>)| !planned.step.is_quiet();
    let steps = plan.steps.iter().enumerate().filter(breaking);
    steps.map(|(place, planned)| fault_use(place, planned, played, injections, events)).collect()
}

fn fault_use(
    place: usize,
    planned: &Planned<'_>,
    played: &Played,
    injections: &[Injection],
    events: &[Event],
) -> FaultUse {
    let what = planned.describe();
    match planned.step.fault() {
        Some(fault) => {
            let hits = injections.iter().filter(|injection| injection.fault == fault.id).count();
            let hits = hits as u64;
            FaultUse { id: fault.id.clone(), what, hits, step: false, seen_after: None }
        }
        None => FaultUse {
            id: step_id(place, planned.step),
            what,
            hits: u64::from(played.done.contains(&place)),
            step: true,
            seen_after: seen_after(planned, played.taken.get(&place).copied(), events),
        },
    }
}

/// From the journalled start of a step to the first that the engine says, before its end, of a container
/// that it hits. What health checks come to is not the step's doing.
fn seen_after(planned: &Planned<'_>, taken: Option<Span>, events: &[Event]) -> Option<Duration> {
    let taken = taken?;
    let is_of = |event: &Event, name: &String| {
        let rest = event.what.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(": "));
        rest.is_some_and(|what| !what.starts_with("health_status"))
    };
    let seen = events.iter().filter(|event| event.kind == "engine" && taken.contains(event.at));
    let hit = seen.filter(|event| planned.victims.iter().any(|name| is_of(event, name)));
    hit.map(|event| event.at.since(taken.from)).min()
}

/// `kill-1` for a kill that is the first step.
fn step_id(place: usize, step: &Step) -> FaultId {
    let id = format!("{}-{}", step.name(), place + 1);
    id.parse().expect("a step's name and a number make an id")
}

/// The sessions of the load generator as they were just before the fault, and where they lived.
fn sessions(operations: &[Operation], played: &Played, broken: &Broken) -> Vec<SessionAtFault> {
    let before = played.fault.map_or(played.ended, |span: Span| span.from);
    let mut current: BTreeMap<u32, Option<Arc<str>>> = BTreeMap::new();
    for operation in operations {
        let session = current.entry(operation.id.session()).or_default();
        if operation.completed < before && operation.outcome.is_ok() && operation.session.is_some()
        {
            session.clone_from(&operation.session);
        }
    }
    let homes = homes(played);
    let at_fault = |(client, session): (u32, Option<Arc<str>>)| {
        let home = session.as_deref().and_then(|session| homes.get(session)).copied();
        SessionAtFault {
            client,
            broken: session.is_some() && is_broken(broken, home, played),
            home: home.map(str::to_owned),
            session,
        }
    };
    current.into_iter().filter(|(client, _)| *client > 0).map(at_fault).collect()
}

/// The replica of each session that the proxy knew.
fn homes(played: &Played) -> HashMap<&str, &str> {
    let names: HashMap<&str, &str> =
        played.homes.iter().map(|(url, name)| (url.as_str(), name.as_str())).collect();
    let home = |view: &'_ SessionView| names.get(view.upstream.as_deref()?).copied();
    let sessions = played.sessions.iter();
    sessions.filter_map(|view| Some((view.id.as_str(), home(view)?))).collect()
}

/// Whether a session lives on what is broken. Where something in front spreads requests as it likes,
/// each session meets each replica.
fn is_broken(broken: &Broken, home: Option<&str>, played: &Played) -> bool {
    match broken {
        Broken::Redis => true,
        Broken::Replicas(names) if played.homes.is_empty() => !names.is_empty(),
        Broken::Replicas(names) => home.is_some_and(|home| names.iter().any(|name| name == home)),
    }
}

fn thresholds(
    drill: &Drill,
    operations: &[Operation],
    phases: Phases,
    fault: Option<Span>,
) -> Vec<ThresholdResult> {
    let workload: Vec<_> = operations
        .iter()
        .filter(|operation| !operation.is_handshake())
        .map(|operation| Sample::of(operation, phases.of(operation, fault)))
        .collect();
    let result = |threshold: &squall_loadgen::Threshold| {
        let verdict = threshold.evaluate(workload.iter().copied());
        let whole = threshold.to_string();
        let (metric, expression) = whole.split_once(": ").unwrap_or((&whole, ""));
        ThresholdResult {
            metric: metric.to_owned(),
            expression: expression.to_owned(),
            observed: verdict.observed,
            holds: verdict.holds,
            samples: workload.iter().filter(|sample| threshold.selects(sample)).count() as u64,
        }
    };
    drill.thresholds.iter().map(result).collect()
}
