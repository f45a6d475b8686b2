//! What charts draw: the timeline in as many bars as can be told apart, sessions in as many ranks.

use crate::report::Path;
use crate::report::timeline::Bucket;

/// The most bars in a chart.
const MOST: u64 = 300;

/// A stretch of the timeline, as rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bin {
    /// Its first second.
    pub(super) from: f64,
    /// The second behind it.
    pub(super) to: f64,
    /// Operations per second that went well.
    pub(super) ok: f64,
    /// Operations per second that failed.
    pub(super) failed: f64,
    /// Operations per second without an answer.
    pub(super) unknown: f64,
    /// The highest p95 of its seconds, in milliseconds.
    pub(super) p95: Option<f64>,
}

impl Bin {
    /// Where a line has its point.
    pub(super) fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    fn add(&mut self, bucket: &Bucket) {
        let width = self.to - self.from;
        self.ok += bucket.ok as f64 / width;
        self.failed += bucket.failed as f64 / width;
        self.unknown += bucket.unknown as f64 / width;
        self.p95 = match (self.p95, bucket.p95_ms) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
}

/// Puts the timeline into at most 300 bins of equally many seconds. A stretch without operations has
/// no bin.
pub(super) fn bins(timeline: &[Bucket]) -> Vec<Bin> {
    let (Some(first), Some(last)) = (timeline.first(), timeline.last()) else {
        return Vec::new();
    };
    let step = (last.second - first.second + 1).div_ceil(MOST);
    let mut bins: Vec<Bin> = Vec::new();
    for bucket in timeline {
        let from = bucket.second - (bucket.second - first.second) % step;
        let to = (from + step).min(last.second + 1);
        let (from, to) = (from as f64, to as f64);
        if bins.last().is_none_or(|bin| bin.from < from) {
            bins.push(Bin { from, to, ..Bin::default() });
        }
        if let Some(bin) = bins.last_mut() {
            bin.add(bucket);
        }
    }
    bins
}

/// From the first second to the one behind the last.
pub(super) fn range(bins: &[Bin]) -> Option<(f64, f64)> {
    Some((bins.first()?.from, bins.last()?.to))
}

/// The paths from the quickest to the slowest; of more than `most`, evenly many from every rank, the
/// slowest always among them.
pub(super) fn ranked(paths: &[Path], most: usize) -> Vec<&Path> {
    let mut sorted: Vec<_> = paths.iter().filter(|path| path.total.is_some()).collect();
    sorted.sort_by(|a, b| a.total.partial_cmp(&b.total).unwrap_or(std::cmp::Ordering::Equal));
    let shown = sorted.len().min(most);
    let rank = |index: usize| sorted[(index + 1) * sorted.len() / shown - 1];
    (0..shown).map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(second: u64) -> Bucket {
        Bucket { second, ok: 4, failed: 2, unknown: 0, p95_ms: Some(second as f64) }
    }

    #[test]
    fn a_long_run_has_no_more_than_300_bars_and_keeps_its_rates() {
        let day: Vec<_> = (10..86_410).map(bucket).collect();
        let bins = bins(&day);
        assert_eq!(bins.len(), 300);
        assert_eq!(range(&bins), Some((10.0, 86_410.0)));
        assert!(bins.iter().all(|bin| (bin.ok - 4.0).abs() < 1e-9), "{bins:?}");
        assert_eq!(bins[0].p95, Some(297.0));
    }

    #[test]
    fn silence_has_no_bar() {
        let froms: Vec<_> = bins(&[bucket(3), bucket(9)]).iter().map(|bin| bin.from).collect();
        assert_eq!(froms, [3.0, 9.0]);
        assert!(bins(&[]).is_empty());
    }

    #[test]
    fn many_sessions_are_thinned_out_and_the_slowest_stays() {
        let path = |total: u32| Path {
            client: total,
            home: None,
            last_success_to_404: None,
            status_404_to_initialize: None,
            initialize_to_ready: None,
            ready_to_first_success: None,
            total: Some(f64::from(total)),
        };
        let paths: Vec<_> = (0..1_000).rev().map(path).collect();
        let clients: Vec<_> = ranked(&paths, 4).iter().map(|path| path.client).collect();
        assert_eq!(clients, [249, 499, 749, 999]);
        assert_eq!(ranked(&paths[..3], 4).len(), 3);
        assert!(ranked(&[], 4).is_empty());
    }
}
