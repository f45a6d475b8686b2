//! What was done and what went wrong: operations by name, errors by cause and by origin.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::history::{Operation, Outcome};

use crate::check::percentile::Times;
use crate::check::provenance::{Origins, Provenance};

/// How many different causes, or names, are told apart: servers and drills choose their texts.
const KINDS: usize = 100;
const OTHER: &str = "other";

/// All operations of one name. Latency counts from the due time, whatever the outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OperationStats {
    /// How many there were.
    pub(crate) count: u64,
    /// How many went well.
    pub(crate) ok: u64,
    /// How many failed.
    pub(crate) failed: u64,
    /// How many ended without an answer, and may have been executed.
    pub(crate) unknown: u64,
    /// The median, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// The 90th percentile.
    pub(crate) p90_ms: Option<f64>,
    /// The 95th percentile.
    pub(crate) p95_ms: Option<f64>,
    /// The 99th percentile.
    pub(crate) p99_ms: Option<f64>,
    /// The 99.9th percentile.
    pub(crate) p999_ms: Option<f64>,
    /// The longest.
    pub(crate) max_ms: Option<f64>,
    /// What did not go well, by cause.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What did not go well, handshakes included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Errors {
    /// All of it.
    pub(crate) total: u64,
    /// By origin.
    pub(crate) origin: OriginCounts,
    /// By cause, and for each by origin.
    pub(crate) by_cause: BTreeMap<String, OriginCounts>,
}

/// Errors by where they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginCounts {
    /// A fault of the proxy made them.
    pub(crate) injected: u64,
    /// They fell into a fault's time or the recovery from it.
    pub(crate) secondary: u64,
    /// Neither.
    pub(crate) organic: u64,
}

impl OriginCounts {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.injected + self.secondary + self.organic
    }

    fn add(&mut self, origin: Provenance) {
        *match origin {
            Provenance::Injected => &mut self.injected,
            Provenance::Secondary => &mut self.secondary,
            Provenance::Organic => &mut self.organic,
        } += 1;
    }
}

/// Gathers the operations by name.
pub(crate) fn by_name(operations: &[Operation]) -> BTreeMap<String, OperationStats> {
    let mut names: BTreeMap<String, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        slot(&mut names, &operation.name).push(operation);
    }
    names.into_iter().map(|(name, same)| (name, stats(&same))).collect()
}

/// Gathers what did not go well.
pub(crate) fn errors(operations: &[Operation], origins: &Origins) -> Errors {
    let mut errors = Errors::default();
    for operation in operations {
        if let Some(cause) = operation.outcome.cause() {
            let origin = origins.tell(operation);
            errors.total += 1;
            errors.origin.add(origin);
            slot(&mut errors.by_cause, &cause.to_string()).add(origin);
        }
    }
    errors
}

/// The entry of this name, or, where there are too many names, of all the others.
fn slot<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let name = if map.len() < KINDS || map.contains_key(name) { name } else { OTHER };
    map.entry(name.to_owned()).or_default()
}

fn stats(operations: &[&Operation]) -> OperationStats {
    let latencies: Times = operations.iter().map(|o| -> Duration { o.latency() }).collect();
    let mut stats = OperationStats {
        count: latencies.count(),
        p50_ms: latencies.ms(500),
        p90_ms: latencies.ms(900),
        p95_ms: latencies.ms(950),
        p99_ms: latencies.ms(990),
        p999_ms: latencies.ms(999),
        max_ms: latencies.max_ms(),
        ..OperationStats::default()
    };
    for operation in operations {
        *match operation.outcome {
            Outcome::Ok => &mut stats.ok,
            Outcome::Failed(_) => &mut stats.failed,
            Outcome::Unknown(_) => &mut stats.unknown,
        } += 1;
        if let Some(cause) = operation.outcome.cause() {
            *slot(&mut stats.errors, &cause.to_string()) += 1;
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use squall_model::history::Cause;

    use super::*;
    use crate::check::sample::Sample;

    #[test]
    fn operations_are_counted_by_name_and_their_errors_by_cause() {
        let reset = Outcome::Failed(Cause::Reset);
        let sample = Sample::new().handshake(1, "s1", 0).call(1, 50, 5, Outcome::Ok);
        let sample = sample.call(1, 60, 9, reset.clone()).call(1, 70, 7, reset);
        let evidence = sample.call(1, 80, 8, Outcome::Unknown(Cause::Timeout)).build();
        let names = by_name(&evidence.operations);
        assert_eq!(names.len(), 3);
        let calls = &names["tools/call fast-echo"];
        assert_eq!((calls.count, calls.ok, calls.failed, calls.unknown), (4, 1, 2, 1));
        assert_eq!((calls.p50_ms, calls.max_ms), (Some(7.0), Some(9.0)));
        let errors: Vec<_> = calls.errors.iter().map(|(cause, n)| (cause.as_str(), *n)).collect();
        assert_eq!(errors, [("connection reset", 2), ("timeout", 1)]);
    }

    #[test]
    fn endless_causes_fill_no_memory() {
        let say = |n: u64| Outcome::Failed(Cause::Protocol(n.to_string()));
        let evidence = (0..500).fold(Sample::new(), |s, n| s.call(1, n, 5, say(n))).build();
        let calls = &by_name(&evidence.operations)["tools/call fast-echo"];
        assert_eq!((calls.errors.len(), calls.errors[OTHER]), (KINDS + 1, 400));
    }
}
