//! Recovery: how long after the fault's start the service was steady again.
//!
//! Steady is judged in windows, counted from the fault's start, by due time, of workload operations
//! only. What is left at the end of the phase and is shorter than a window belongs to the last one.
//! What was due in the last window and not sent any more tells nothing and does not count.
//! *Recovered* is the due time of the first operation after the last window that was not steady, if
//! steadiness then holds to the end of the phase and for at least the rule's `hold`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::history::{Cause, Nanos, Operation};

use super::baseline::Baseline;
use super::percentile::{Times, ms};
use super::words::{count, percent, time, time_or_dash};
use super::{Checker, Finding, Judgement, Measured};
use crate::evidence::{Evidence, Span, SteadyRule};

/// How the service came back. Times are milliseconds from the fault's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// When the first operation ended badly; null if none did.
    pub(crate) first_error_ms: Option<f64>,
    /// When the first operation after that ended well.
    pub(crate) first_success_ms: Option<f64>,
    /// When the service was steady again; 0 if it was never unsteady, null if it did not recover.
    pub(crate) recovered_ms: Option<f64>,
    /// How many windows were not steady.
    pub(crate) unsteady_windows: u64,
    /// The first window that was not steady, in words.
    pub(crate) unsteady: Option<String>,
    /// The last one, where there was more than one.
    pub(crate) last_unsteady: Option<String>,
    /// The same moment as `recovered_ms`, on the evidence's axis.
    #[serde(skip)]
    pub(crate) recovered_at: Option<Nanos>,
}

/// Measures how the service came back; everything is `None` without a fault.
pub(crate) fn measure(evidence: &Evidence, baseline: &Baseline) -> Recovery {
    let Some(fault) = evidence.fault else {
        return Recovery::default();
    };
    let since = |moment: Nanos| ms(moment.since(fault.from));
    let first_error = first_completed(evidence, fault.from, |o| !o.outcome.is_ok());
    let first_success =
        first_error.and_then(|error| first_completed(evidence, error, |o| o.outcome.is_ok()));
    let span = Span { from: fault.from, to: evidence.phases.recovery.to };
    let windows = windows(evidence, span);
    let unsteady: Vec<_> = windows
        .iter()
        .filter_map(|window| Some((window, window.why_unsteady(&evidence.steady, baseline)?)))
        .collect();
    let after = unsteady.last().map_or(span.from, |(window, _)| window.span.to);
    let say = |(window, why): &(&Window, String)| {
        format!("{} after the fault began: {why}", time(since(window.span.from)))
    };
    let recovered_at = if unsteady.is_empty() {
        Some(span.from)
    } else {
        first_due(evidence, Span { from: after, ..span })
    };
    let recovered_at = recovered_at.filter(|at| span.to.since(*at) >= evidence.steady.hold);
    Recovery {
        first_error_ms: first_error.map(since),
        first_success_ms: first_success.map(since),
        recovered_ms: recovered_at.map(since),
        unsteady_windows: unsteady.len() as u64,
        unsteady: unsteady.first().map(say),
        last_unsteady: unsteady.last().filter(|_| unsteady.len() > 1).map(say),
        recovered_at,
    }
}

/// The operations that recovery is judged by.
fn judged(evidence: &Evidence) -> impl Iterator<Item = &Operation> {
    let last_window = evidence.phases.recovery.to.since(Nanos(0));
    let last_window = Nanos::after_anchor(last_window.saturating_sub(evidence.steady.window));
    let was_too_late = move |operation: &Operation| {
        operation.outcome.cause() == Some(&Cause::NotSent) && operation.due >= last_window
    };
    evidence.workload().filter(move |operation| !was_too_late(operation))
}

fn first_completed(
    evidence: &Evidence,
    from: Nanos,
    wanted: impl Fn(&Operation) -> bool,
) -> Option<Nanos> {
    judged(evidence)
        .filter(|operation| operation.completed >= from && wanted(operation))
        .map(|operation| operation.completed)
        .min()
}

fn first_due(evidence: &Evidence, span: Span) -> Option<Nanos> {
    let due = judged(evidence).map(|operation| operation.due);
    due.filter(|due| span.contains(*due)).min()
}

/// The operations that were due in one stretch of time.
struct Window {
    span: Span,
    latencies: Vec<Duration>,
    ok: usize,
}

impl Window {
    fn add(&mut self, operation: &Operation) {
        self.latencies.push(operation.latency());
        self.ok += usize::from(operation.outcome.is_ok());
    }

    /// What makes it unsteady; `None` if it is steady.
    fn why_unsteady(&self, rule: &SteadyRule, baseline: &Baseline) -> Option<String> {
        if self.latencies.is_empty() {
            return Some("no operation was due".to_owned());
        }
        let success = self.ok as f64 / self.latencies.len() as f64;
        let least = baseline.success - rule.success_drop;
        // A rounding error must not fail what is exactly at the limit.
        if success < least - 1e-9 {
            return Some(format!(
                "{} went well, at least {} was needed",
                percent(success),
                percent(least)
            ));
        }
        let latencies: Times = self.latencies.iter().copied().collect();
        let p95 = latencies.per_mille(950).unwrap_or_default();
        let most = slowest(rule, baseline);
        (p95 > most)
            .then(|| format!("p95 {}, at most {} was allowed", time(ms(p95)), time(ms(most))))
    }
}

/// The highest p95 that is still steady.
fn slowest(rule: &SteadyRule, baseline: &Baseline) -> Duration {
    rule.slowest(baseline.p95.unwrap_or_default())
}

fn windows(evidence: &Evidence, span: Span) -> Vec<Window> {
    let width = evidence.steady.window.as_nanos().clamp(1, u128::from(u64::MAX)) as u64;
    let length = span.to.0.saturating_sub(span.from.0);
    // A day has 86,400 windows of a second; this bounds what a saved history can ask for.
    let number = (length / width).clamp(1, 100_000);
    let start = |index: u64| Nanos(span.from.0.saturating_add(width.saturating_mul(index)));
    let mut windows: Vec<_> = (0..number)
        .map(|index| Window {
            span: Span {
                from: start(index),
                to: if index + 1 == number { span.to } else { start(index + 1) },
            },
            latencies: Vec::new(),
            ok: 0,
        })
        .collect();
    for operation in judged(evidence).filter(|operation| span.contains(operation.due)) {
        let index = ((operation.due.0 - span.from.0) / width).min(number - 1);
        windows[index as usize].add(operation);
    }
    windows
}

/// Broken where the service did not recover, unknown where there is nothing to judge it by.
pub(crate) fn check(evidence: &Evidence, measured: &Measured) -> Finding {
    let found = |verdict, summary: String| Finding::new(Checker::Recovery, verdict, summary);
    let recovery = &measured.recovery;
    if evidence.fault.is_none() {
        return if evidence.faults.is_empty() {
            found(Judgement::Held, "There was nothing to recover from.".to_owned())
        } else {
            found(Judgement::Unknown, "No fault began: there is no recovery.".to_owned())
        };
    }
    // What is unsteady though nothing was broken is no matter of recovery.
    let is_idle = !evidence.faults.is_empty() && evidence.faults.iter().all(|f| f.hits == 0);
    let finding = if is_idle {
        let why = "Nothing came about that the service could have recovered from.";
        found(Judgement::Unknown, why.to_owned())
    } else if !measured.baseline.is_steady {
        let why = "Recovery cannot be judged: the baseline to hold it against was not steady.";
        found(Judgement::Unknown, why.to_owned())
    } else if let Some(recovered) = recovery.recovered_ms {
        found(Judgement::Held, say_recovered(recovery, recovered))
    } else {
        found(Judgement::Broken, say_not_recovered(evidence, recovery))
    };
    let first = recovery.unsteady.iter().map(|why| format!("first unsteady window, {why}"));
    let last = recovery.last_unsteady.iter().map(|why| format!("last unsteady window, {why}"));
    finding.with_details(first.chain(last).collect())
}

fn say_recovered(recovery: &Recovery, recovered: f64) -> String {
    match (recovery.first_error_ms, recovery.unsteady_windows) {
        (None, 0) => "No error followed the fault: none had to recover.".to_owned(),
        (Some(error), 0) => format!(
            "The service stayed steady throughout; the first error came {} after the fault began.",
            time(error),
        ),
        (None, _) => format!(
            "The service was steady again {} after the fault began; it was slow, and nothing failed.",
            time(recovered),
        ),
        (error, _) => format!(
            "The service was steady again {} after the fault began (first error at {}, first success after it at {}).",
            time(recovered),
            time_or_dash(error),
            time_or_dash(recovery.first_success_ms),
        ),
    }
}

fn say_not_recovered(evidence: &Evidence, recovery: &Recovery) -> String {
    format!(
        "The service did not recover: it never stayed steady to the end for at least {} ({} not steady).",
        time(ms(evidence.steady.hold)),
        count(recovery.unsteady_windows, "window"),
    )
}

#[cfg(test)]
mod tests;
