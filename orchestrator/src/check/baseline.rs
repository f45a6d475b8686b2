//! Baseline: was there something steady to hold the rest against?

use std::time::Duration;

use squall_model::history::{Nanos, Operation};

use super::percentile::{Times, ms};
use super::words::{count, percent, time, time_or_dash};
use super::{Checker, Finding, Judgement};
use crate::evidence::{Evidence, Span};

/// The fewest operations that make a baseline: with less, one bad answer is over 5 per cent.
pub(crate) const ENOUGH: u64 = 20;

/// What the baseline phase looked like, workload operations only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// How many operations were due.
    pub(crate) operations: u64,
    /// The share of them that went well, 0 to 1; 0 where there were none.
    pub(crate) success: f64,
    /// The 95th percentile of latency.
    pub(crate) p95: Option<Duration>,
    /// The 95th percentiles of its first and its second half, if the second is so much slower that
    /// it would not be steady beside the first: the load is more than can be served.
    pub(crate) slows_down: Option<(Duration, Duration)>,
    /// Whether it is good enough to hold the rest against.
    pub(crate) is_steady: bool,
}

/// Measures the baseline phase, by due time.
///
/// What the fault overtook is not held against the baseline, unless it had been under way for longer
/// than any success took: then it would not have ended well either.
pub(crate) fn measure(evidence: &Evidence) -> Baseline {
    let all = || evidence.workload_due_in(evidence.phases.baseline);
    let slowest = all().filter(|o| o.outcome.is_ok()).map(Operation::latency).max();
    let is_overtaken = |operation: &&Operation| {
        evidence.phases.of(operation, evidence.fault) != Some("baseline")
            && Some(evidence.damage_from().since(operation.due)) <= slowest
    };
    let due = || all().filter(|operation| !is_overtaken(operation));
    let operations = due().count() as u64;
    let ok = due().filter(|operation| operation.outcome.is_ok()).count();
    let success = ok as f64 / operations.max(1) as f64;
    let latencies: Times = due().map(Operation::latency).collect();
    let slows_down = slows_down(evidence, due());
    Baseline {
        operations,
        success,
        p95: latencies.per_mille(950),
        slows_down,
        is_steady: operations >= ENOUGH
            && success >= evidence.steady.baseline_success
            && slows_down.is_none(),
    }
}

fn slows_down<'a>(
    evidence: &Evidence,
    due: impl Iterator<Item = &'a Operation>,
) -> Option<(Duration, Duration)> {
    let Span { from, to } = evidence.phases.baseline;
    let middle = Nanos(from.0.midpoint(to.0));
    let (first, second): (Vec<_>, Vec<_>) = due.partition(|operation| operation.due < middle);
    let p95 = |half: Vec<&Operation>| {
        let times: Times = half.into_iter().map(Operation::latency).collect();
        times.per_mille(950).filter(|_| times.count() >= ENOUGH)
    };
    let (first, second) = (p95(first)?, p95(second)?);
    (second > evidence.steady.slowest(first)).then_some((first, second))
}

/// Unknown where the baseline itself is not steady.
pub(crate) fn check(evidence: &Evidence, baseline: &Baseline) -> Finding {
    if baseline.is_steady {
        let summary = format!(
            "The baseline was steady: {} of {} went well, p95 {}.",
            percent(baseline.success),
            count(baseline.operations, "operation"),
            time_or_dash(baseline.p95.map(ms)),
        );
        return Finding::new(Checker::Baseline, Judgement::Held, summary);
    }
    let why = if let (Some((first, second)), true) =
        (baseline.slows_down, baseline.success >= evidence.steady.baseline_success)
    {
        format!(
            "p95 was {} in its first half and {} in its second, which is more load than can be served (less load, or more replicas)",
            time(ms(first)),
            time(ms(second)),
        )
    } else if baseline.operations < ENOUGH {
        format!(
            "{} were due in it, at least {ENOUGH} are needed (more load, or a longer baseline)",
            count(baseline.operations, "operation"),
        )
    } else {
        format!(
            "{} of {} went well, at least {} are needed",
            percent(baseline.success),
            count(baseline.operations, "operation"),
            percent(evidence.steady.baseline_success),
        )
    };
    let summary = format!("The baseline itself was not steady: {why}.");
    Finding::new(Checker::Baseline, Judgement::Unknown, summary)
}

#[cfg(test)]
mod tests {
    use squall_model::history::{Cause, Outcome};

    use super::*;
    use crate::check::sample::Sample;

    fn judge(sample: Sample) -> Finding {
        let evidence = sample.build();
        check(&evidence, &measure(&evidence))
    }

    fn baseline_of(good: u64, bad: u64) -> Sample {
        let failed = Outcome::Failed(Cause::Timeout);
        let due = |n: u64| 10 * n;
        let sample = (0..good).fold(Sample::new(), |s, n| s.call(1, due(n), 5, Outcome::Ok));
        (good..good + bad).fold(sample, |s, n| s.call(1, due(n), 5, failed.clone()))
    }

    #[test]
    fn a_baseline_needs_operations_and_success() {
        for (good, bad, expected) in [
            (0, 0, Judgement::Unknown),
            (19, 0, Judgement::Unknown),
            (20, 0, Judgement::Held),
            (99, 1, Judgement::Held),
            (98, 2, Judgement::Unknown),
            (0, 100, Judgement::Unknown),
        ] {
            let finding = judge(baseline_of(good, bad));
            assert_eq!(finding.verdict, expected, "{good} {bad}: {}", finding.summary);
        }
    }

    #[test]
    fn an_unknown_outcome_is_no_success() {
        let lost = Outcome::Unknown(Cause::Timeout);
        let sample = (0..5).fold(baseline_of(95, 0), |s, n| s.call(1, n, 5, lost.clone()));
        assert_eq!(judge(sample).verdict, Judgement::Unknown);
    }

    #[test]
    fn a_baseline_that_slows_down_under_too_much_load_is_not_steady() {
        for (millis_more, expected) in [(0, Judgement::Held), (1, Judgement::Unknown)] {
            let took = |n: u64| 10 + n * n * millis_more;
            let slower = |s: Sample, n| s.call(1, 100 * n, took(n), Outcome::Ok);
            let finding = judge((0..100).fold(Sample::new(), slower));
            assert_eq!(finding.verdict, expected, "{}", finding.summary);
        }
    }

    #[test]
    fn what_the_fault_overtook_is_not_held_against_the_baseline() {
        let cut = |due: u64| (due, 12_000 - due, Outcome::Failed(Cause::Reset));
        let overtaken = |due| {
            let (due, took, outcome) = cut(due);
            let slow = baseline_of(95, 0).call(1, 1_000, 400, Outcome::Ok);
            judge((0..20).fold(slow, |s, n| s.call(1, due + n, took - n, outcome.clone())))
        };
        assert_eq!(overtaken(9_700).verdict, Judgement::Held);
        assert_eq!(overtaken(9_500).verdict, Judgement::Unknown, "it hung before the fault");
    }

    #[test]
    fn the_handshake_is_no_part_of_it() {
        let refused = Outcome::Failed(Cause::Refused);
        let sample = (0..50).fold(baseline_of(30, 0), |s, n| {
            s.handshake_step(1, "initialize", None, n, 5, refused.clone())
        });
        assert_eq!(judge(sample).verdict, Judgement::Held);
    }

    #[test]
    fn what_comes_after_the_phase_is_no_part_of_it() {
        let sample = baseline_of(10, 0);
        let late = (0..50).fold(sample, |s, n| s.call(1, 10_000 + n, 5, Outcome::Ok));
        assert_eq!(judge(late).verdict, Judgement::Unknown);
    }
}
