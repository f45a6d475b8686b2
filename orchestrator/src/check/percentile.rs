//! Percentiles of a list of times, exact: the nearest rank, so that each is a time that was measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut sorted: Vec<_> = times.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

impl Times {
    /// The least time that `per_mille` of 1000 of the times do not exceed; `None` if there are none.
    pub(crate) fn per_mille(&self, per_mille: usize) -> Option<Duration> {
        let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_ms(&self) -> Option<f64> {
        self.0.last().copied().map(ms)
    }

    /// The percentile in milliseconds.
    pub(crate) fn ms(&self, per_mille: usize) -> Option<f64> {
        self.per_mille(per_mille).map(ms)
    }
}

/// A time in milliseconds, to the microsecond.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_nanos() as f64 / 1e3).round() / 1e3
}

/// Percentiles of one hop. Times are milliseconds; all are null where `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    /// From how many times.
    pub(crate) count: u64,
    /// The median.
    pub(crate) p50: Option<f64>,
    /// The 95th percentile.
    pub(crate) p95: Option<f64>,
    /// The 99th percentile.
    pub(crate) p99: Option<f64>,
    /// The longest.
    pub(crate) max: Option<f64>,
}

impl From<&Times> for Percentiles {
    fn from(times: &Times) -> Self {
        Self {
            count: times.count(),
            p50: times.ms(500),
            p95: times.ms(950),
            p99: times.ms(990),
            max: times.max_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: u64, per_mille: usize, expected_ms: Option<u64>) {
        let times: Times = (1..=count).rev().map(Duration::from_millis).collect();
        let found = times.per_mille(per_mille);
        assert_eq!(found, expected_ms.map(Duration::from_millis), "{count} {per_mille}");
    }

    #[test]
    fn a_percentile_is_the_time_at_the_nearest_rank() {
        check(0, 500, None);
        check(1, 0, Some(1));
        check(1, 999, Some(1));
        check(2, 500, Some(1));
        check(2, 501, Some(2));
        check(20, 950, Some(19));
        check(100, 950, Some(95));
        check(100, 1000, Some(100));
        check(1000, 999, Some(999));
    }

    #[test]
    fn no_times_have_no_percentiles() {
        assert_eq!(Percentiles::from(&Times::default()), Percentiles::default());
    }
}
