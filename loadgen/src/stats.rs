//! What a load came to: counts, latencies and causes, per operation name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use squall_model::history::{Nanos, Operation, Outcome};

use crate::session::is_setup;

/// How many causes are told apart; peers choose some of the texts.
const MOST_CAUSES: usize = 64;
/// The largest latency that is told apart, in microseconds: one hour.
const LARGEST_MICROS: u64 = 3_600_000_000;

/// What a load came to. Its JSON has these fields under these names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The version of this format: 1.
    pub schema_version: u32,
    /// Where the load went.
    pub target: String,
    /// What it was drawn from.
    pub seed: u64,
    /// What was done, as a mix is written.
    pub mix: String,
    /// From the first operation's due time to the last one's end.
    pub seconds: f64,
    /// All operations of the workload; handshakes are not part of it.
    pub totals: Counts,
    /// Operations that were sent, a second.
    pub rate: f64,
    /// Good answers among all operations; 0 where there was none.
    pub success_ratio: f64,
    /// The sessions.
    pub sessions: SessionSummary,
    /// The workload, by operation name.
    pub operations: Vec<OperationSummary>,
    /// Handshakes and the exploration of the server, by operation name.
    pub setup: Vec<OperationSummary>,
    /// The workload's operations that did not go well, by cause.
    pub errors: BTreeMap<String, u64>,
}

impl Summary {
    /// Good answers among all operations, from 0 to 1. 0 where there was none: a load that did
    /// nothing is no success.
    pub fn success_ratio(&self) -> f64 {
        self.success_ratio
    }

    /// What the [`operation_failed`](crate::Metric::OperationFailed) rate is: 1 where there was none.
    pub fn failed_ratio(&self) -> f64 {
        1.0 - self.success_ratio
    }
}

/// How operations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub operations: u64,
    /// With a good answer.
    pub ok: u64,
    /// Certainly not done, or answered with an error.
    pub failed: u64,
    /// Without an answer, perhaps executed.
    pub unknown: u64,
}

/// What became of the sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionSummary {
    /// As many as were asked for.
    pub total: u32,
    /// Those that started a new session after they had lost one, at least once.
    pub reinitialised: u32,
    /// How often that happened, over all sessions.
    pub reinitialisations: u64,
    /// Those that never had a session at all.
    pub never_ready: u32,
}

/// One kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationSummary {
    /// `tools/call fast-echo`, `initialize` …
    pub name: String,
    /// How they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Of those that were sent, from when they were due; `None` if none was.
    pub latency_ms: Option<Latency>,
    /// Those that did not go well, by cause.
    pub errors: BTreeMap<String, u64>,
}

/// Latencies in milliseconds, to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The smallest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// The largest.
    pub max: f64,
}

/// The running counts behind a summary.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    workload: BTreeMap<Arc<str>, Tally>,
    setup: BTreeMap<Arc<str>, Tally>,
    sent: u64,
    span: Option<(Nanos, Nanos)>,
}

#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    latency: Option<Histogram<u64>>,
    errors: BTreeMap<String, u64>,
}

/// What the counts alone do not know.
pub(crate) struct Context {
    pub(crate) target: String,
    pub(crate) seed: u64,
    pub(crate) mix: String,
    pub(crate) sessions: SessionSummary,
}

impl Stats {
    pub(crate) fn add(&mut self, operation: &Operation) {
        let setup = is_setup(operation.id);
        let tallies = if setup { &mut self.setup } else { &mut self.workload };
        tallies.entry(Arc::clone(&operation.name)).or_default().add(operation);
        if !setup {
            self.sent += u64::from(operation.sent.is_some());
            let (due, end) = (operation.due, operation.completed);
            let span = self.span.get_or_insert((due, end));
            *span = (span.0.min(due), span.1.max(end));
        }
    }

    pub(crate) fn totals(&self) -> Counts {
        let tallies = self.workload.values();
        tallies.fold(Counts::default(), |sum, tally| sum.plus(tally.counts))
    }

    /// The commonest cause for which handshakes did not go well.
    pub(crate) fn commonest_setup_error(&self) -> Option<String> {
        let errors = self.setup.values().flat_map(|tally| &tally.errors);
        let most = errors.max_by_key(|(_, count)| **count);
        most.map(|(cause, _)| cause.clone())
    }

    pub(crate) fn summary(&self, context: Context) -> Summary {
        let totals = self.totals();
        let span = self.span.map_or(Duration::ZERO, |(from, to)| to.since(from));
        let mut errors = BTreeMap::new();
        for (cause, count) in self.workload.values().flat_map(|tally| &tally.errors) {
            *errors.entry(cause.clone()).or_default() += count;
        }
        Summary {
            schema_version: 1,
            target: context.target,
            seed: context.seed,
            mix: context.mix,
            seconds: span.as_secs_f64(),
            totals,
            rate: ratio(self.sent as f64, span.as_secs_f64()),
            success_ratio: ratio(totals.ok as f64, totals.operations as f64),
            sessions: context.sessions,
            operations: summaries(&self.workload),
            setup: summaries(&self.setup),
            errors,
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn summaries(tallies: &BTreeMap<Arc<str>, Tally>) -> Vec<OperationSummary> {
    let summary = |(name, tally): (&Arc<str>, &Tally)| OperationSummary {
        name: name.to_string(),
        counts: tally.counts,
        latency_ms: tally.latency.as_ref().map(Latency::of),
        errors: tally.errors.clone(),
    };
    tallies.iter().map(summary).collect()
}

impl Tally {
    fn add(&mut self, operation: &Operation) {
        self.counts.add(&operation.outcome);
        if operation.sent.is_some() {
            self.add_latency(operation.latency());
        }
        if let Some(cause) = operation.outcome.cause() {
            let text = cause.to_string();
            let is_known = self.errors.contains_key(&text) || self.errors.len() < MOST_CAUSES;
            let key = if is_known { text } else { "other".to_owned() };
            *self.errors.entry(key).or_default() += 1;
        }
    }

    fn add_latency(&mut self, latency: Duration) {
        if self.latency.is_none() {
            self.latency = Histogram::new_with_bounds(1, LARGEST_MICROS, 3).ok();
        }
        if let Some(histogram) = &mut self.latency {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            histogram.saturating_record(micros);
        }
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.operations += 1;
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Unknown(_) => self.unknown += 1,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            ok: self.ok + other.ok,
            failed: self.failed + other.failed,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            min: ms(histogram.min()),
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::chance::Seed;
    use squall_model::history::Cause;
    use squall_model::operation::OperationId;

    fn operation(number: u32, millis: u64, outcome: Outcome) -> Operation {
        Operation {
            id: OperationId::new(Seed::new(1), 1, number),
            name: "ping".into(),
            session: None,
            due: Nanos(0),
            sent: Some(Nanos(0)),
            completed: Nanos(millis * 1_000_000),
            outcome,
            faults: Vec::new(),
        }
    }

    fn summary(operations: &[Operation]) -> Summary {
        let mut stats = Stats::default();
        for operation in operations {
            stats.add(operation);
        }
        stats.summary(Context {
            target: "http://a/mcp".into(),
            seed: 1,
            mix: "ping=1".into(),
            sessions: SessionSummary::default(),
        })
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let operations: Vec<_> =
            (1..=1000).map(|n| operation(n, u64::from(n), Outcome::Ok)).collect();
        let summary = summary(&operations);
        let latency = summary.operations[0].latency_ms.expect("latencies");
        for (found, expected) in [
            (latency.p50, 500.0),
            (latency.p95, 950.0),
            (latency.p99_9, 999.0),
            (latency.max, 1000.0),
        ] {
            assert!((found - expected).abs() <= expected / 500.0, "{found} {expected}");
        }
        assert!((summary.rate - 1000.0).abs() < 1e-6, "{}", summary.rate);
    }

    #[test]
    fn a_load_that_did_nothing_is_no_success() {
        assert!(summary(&[]).success_ratio() < f64::EPSILON);
        let failed = operation(1, 1, Outcome::Failed(Cause::Http(500)));
        let summary = summary(&[failed]);
        assert!(summary.success_ratio() < f64::EPSILON);
        assert_eq!(summary.errors, BTreeMap::from([("HTTP 500".to_owned(), 1)]));
    }

    #[test]
    fn causes_that_a_peer_invents_are_bounded() {
        let invented = |n: u32| Outcome::Failed(Cause::Gateway(n.to_string()));
        let operations: Vec<_> = (1..=1000).map(|n| operation(n, 1, invented(n))).collect();
        let errors = summary(&operations).errors;
        assert_eq!(errors.len(), MOST_CAUSES + 1);
        assert_eq!(errors.values().sum::<u64>(), 1000);
    }

    #[test]
    fn the_json_has_the_documented_names() {
        let json = serde_json::to_value(summary(&[operation(1, 5, Outcome::Ok)])).expect("JSON");
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["operations"][0]["ok"], 1);
        assert!(json["operations"][0]["latency_ms"]["p99.9"].is_number(), "{json}");
    }
}
