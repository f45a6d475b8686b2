//! What the samples come to, and whether that keeps to the threshold: pure.

use super::{Aggregation, Metric, Sample, Tag, Threshold, Verdict};

pub(super) fn evaluate<'a>(
    threshold: &Threshold,
    samples: impl IntoIterator<Item = Sample<'a>>,
) -> Verdict {
    let tagged = samples.into_iter().filter(|sample| fits(threshold, sample));
    let observed = match threshold.metric {
        Metric::OperationDuration => {
            let millis = tagged.filter_map(|sample| Some(sample.duration?.as_secs_f64() * 1000.0));
            of_durations(millis.collect(), threshold.aggregation)
        }
        Metric::OperationFailed => of_failures(tagged, threshold.aggregation),
    };
    let holds = |observed| threshold.operator.holds(observed, threshold.value);
    Verdict { observed, holds: observed.is_some_and(holds) }
}

pub(super) fn fits(threshold: &Threshold, sample: &Sample<'_>) -> bool {
    threshold.tags.iter().all(|(tag, value)| match tag {
        Tag::Operation => sample.operation == value,
        Tag::Phase => sample.phase == Some(value),
    })
}

fn of_failures<'a>(
    samples: impl Iterator<Item = Sample<'a>>,
    aggregation: Aggregation,
) -> Option<f64> {
    let counted = samples
        .fold((0u64, 0u64), |(all, failed), sample| (all + 1, failed + u64::from(sample.failed)));
    match (counted, aggregation) {
        ((0, _), _) => None,
        ((_, failed), Aggregation::Count) => Some(failed as f64),
        ((all, failed), _) => Some(failed as f64 / all as f64),
    }
}

fn of_durations(mut millis: Vec<f64>, aggregation: Aggregation) -> Option<f64> {
    if millis.is_empty() {
        return None;
    }
    millis.sort_by(f64::total_cmp);
    let count = millis.len() as f64;
    match aggregation {
        Aggregation::Mean => Some(millis.iter().sum::<f64>() / count),
        Aggregation::Min => percentile(&millis, 0.0),
        Aggregation::Median => percentile(&millis, 50.0),
        Aggregation::Max => percentile(&millis, 100.0),
        Aggregation::Percentile(percent) => percentile(&millis, percent),
        Aggregation::Count | Aggregation::Rate => Some(count),
    }
}

/// Linear between the two nearest ranks, as in k6. The values are sorted.
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = percent / 100.0 * last as f64;
    #[expect(clippy::cast_sign_loss, reason = "a percentage is not negative")]
    let below = (rank.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (rank - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn sample(operation: &str, millis: u64, failed: bool) -> Sample<'_> {
        Sample {
            operation,
            phase: Some("impact"),
            duration: Some(Duration::from_millis(millis)),
            failed,
        }
    }

    fn check(threshold: &str, samples: &[Sample<'_>], observed: Option<f64>, holds: bool) {
        let parsed: Threshold = threshold.parse().expect(threshold);
        let found = parsed.evaluate(samples.iter().copied());
        let is_near = match (found.observed, observed) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
            (found, expected) => found == expected,
        };
        assert!(is_near && found.holds == holds, "{threshold}: {found:?}");
    }

    #[test]
    fn durations_are_compared_in_milliseconds() {
        let samples = [10, 20, 30, 40].map(|millis| sample("ping", millis, false));
        for (threshold, observed, holds) in [
            ("avg<=25", 25.0, true),
            ("avg<25", 25.0, false),
            ("min>9", 10.0, true),
            ("max==40", 40.0, true),
            ("med<25", 25.0, false),
            ("p(50)>=25", 25.0, true),
            ("p(90)<37", 37.0, false),
            ("p(100)<41", 40.0, true),
            ("count>3", 4.0, true),
        ] {
            check(threshold, &samples, Some(observed), holds);
        }
    }

    #[test]
    fn failures_are_a_share_of_all() {
        let samples = [false, false, false, true].map(|failed| sample("ping", 1, failed));
        check("rate<0.01", &samples, Some(0.25), false);
        check("operation_failed: rate<=0.25", &samples, Some(0.25), true);
        check("operation_failed: count<2", &samples, Some(1.0), true);
    }

    #[test]
    fn tags_choose_the_samples() {
        let samples = [sample("ping", 10, false), sample("tools/list", 90, true)];
        let of = |tags: &str, rest: &str| format!("operation_duration{{{tags}}}: {rest}");
        check(&of("operation:ping", "max<11"), &samples, Some(10.0), true);
        check(&of("phase:impact", "count==2"), &samples, Some(2.0), true);
        check(&of("phase:recovery", "max<11"), &samples, None, false);
    }

    #[test]
    fn without_samples_nothing_holds() {
        for threshold in ["p(95)<500", "rate<0.01", "count>=0", "max>=0"] {
            check(threshold, &[], None, false);
        }
    }

    #[test]
    fn what_was_never_sent_has_no_duration_and_still_failed() {
        let unsent = Sample { duration: None, ..sample("ping", 0, true) };
        check("avg<1", &[unsent], None, false);
        check("rate<1", &[unsent], Some(1.0), false);
    }
}
