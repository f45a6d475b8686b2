//! The workload second by second, by due time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::history::{Operation, Outcome};

use crate::check::percentile::Times;

/// One second of the run: the workload operations that were due in it. Seconds in which none was due
/// are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    /// Seconds from the run's start to the beginning of this one.
    pub(crate) second: u64,
    /// How many went well.
    pub(crate) ok: u64,
    /// How many failed.
    pub(crate) failed: u64,
    /// How many ended without an answer, and may have been executed.
    pub(crate) unknown: u64,
    /// The 95th percentile of their latency, in milliseconds.
    pub(crate) p95_ms: Option<f64>,
}

impl Bucket {
    /// All operations of the second.
    pub(crate) fn total(&self) -> u64 {
        self.ok + self.errors()
    }

    /// Those that did not go well.
    pub(crate) fn errors(&self) -> u64 {
        self.failed + self.unknown
    }
}

/// Counts the operations second by second.
pub(crate) fn buckets<'a>(operations: impl Iterator<Item = &'a Operation>) -> Vec<Bucket> {
    let mut seconds: BTreeMap<u64, Second> = BTreeMap::new();
    for operation in operations {
        let second = operation.due.0 / 1_000_000_000;
        seconds.entry(second).or_default().add(operation);
    }
    let finished = seconds.into_iter();
    finished.map(|(second, counted)| counted.finish(second)).collect()
}

#[derive(Default)]
struct Second {
    ok: u64,
    failed: u64,
    unknown: u64,
    latencies: Vec<Duration>,
}

impl Second {
    fn add(&mut self, operation: &Operation) {
        self.latencies.push(operation.latency());
        *match operation.outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Unknown(_) => &mut self.unknown,
        } += 1;
    }

    fn finish(self, second: u64) -> Bucket {
        Bucket {
            second,
            ok: self.ok,
            failed: self.failed,
            unknown: self.unknown,
            p95_ms: self.latencies.into_iter().collect::<Times>().ms(950),
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_model::history::Cause;

    use super::*;
    use crate::check::sample::Sample;

    #[test]
    fn operations_fall_into_the_second_in_which_they_were_due() {
        let failed = Outcome::Failed(Cause::Reset);
        let lost = Outcome::Unknown(Cause::Timeout);
        let sample = Sample::new().call(1, 999, 5_000, Outcome::Ok).call(1, 1_000, 7, failed);
        let evidence = sample.call(1, 1_999, 9, lost).call(1, 5_000, 1, Outcome::Ok).build();
        let row = |b: &Bucket| (b.second, b.ok, b.failed, b.unknown, b.p95_ms);
        let rows: Vec<_> = buckets(evidence.operations.iter()).iter().map(row).collect();
        assert_eq!(
            rows,
            [(0, 1, 0, 0, Some(5_000.0)), (1, 0, 1, 1, Some(9.0)), (5, 1, 0, 0, Some(1.0))]
        );
    }
}
