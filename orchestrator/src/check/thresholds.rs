//! Thresholds: did the drill's own limits hold?

use super::words::count;
use super::{Checker, Finding, Judgement};
use crate::evidence::ThresholdResult;

/// Broken where a threshold does not hold, unknown where one had nothing to measure.
pub(crate) fn check(thresholds: &[ThresholdResult]) -> Finding {
    let found = |verdict, summary: String| Finding::new(Checker::Thresholds, verdict, summary);
    let broken = say_all(thresholds, |t| !t.holds && t.samples > 0);
    let unmeasured = say_all(thresholds, |t| t.samples == 0);
    let finding = if !broken.is_empty() {
        found(Judgement::Broken, format!("Did not hold: {}.", broken.join("; ")))
    } else if !unmeasured.is_empty() {
        let said = unmeasured.join("; ");
        found(Judgement::Unknown, format!("Nothing was measured for {said}."))
    } else if thresholds.is_empty() {
        found(Judgement::Held, "The drill sets no thresholds.".to_owned())
    } else {
        let number = count(thresholds.len() as u64, "threshold");
        found(Judgement::Held, format!("{number} held."))
    };
    finding.with_details(say_all(thresholds, |_| true))
}

fn say_all(
    thresholds: &[ThresholdResult],
    wanted: impl Fn(&ThresholdResult) -> bool,
) -> Vec<String> {
    thresholds.iter().filter(|t| wanted(t)).map(say).collect()
}

fn say(threshold: &ThresholdResult) -> String {
    let ThresholdResult { metric, expression, observed, .. } = threshold;
    match observed {
        Some(observed) => format!("{metric} {expression} (observed {})", rounded(*observed)),
        None => format!("{metric} {expression}"),
    }
}

/// Three decimals at most, and none where they say nothing.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold(observed: Option<f64>, holds: bool, samples: u64) -> ThresholdResult {
        ThresholdResult {
            metric: "latency".to_owned(),
            expression: "p(95)<500".to_owned(),
            observed,
            holds,
            samples,
        }
    }

    #[test]
    fn a_threshold_that_does_not_hold_is_broken_and_one_without_samples_unknown() {
        let good = threshold(Some(12.0), true, 9);
        let bad = threshold(Some(612.34567), false, 9);
        let none = threshold(None, true, 0);
        for (thresholds, expected) in [
            (vec![], Judgement::Held),
            (vec![good.clone()], Judgement::Held),
            (vec![good.clone(), bad.clone()], Judgement::Broken),
            (vec![good.clone(), none.clone()], Judgement::Unknown),
            (vec![threshold(None, false, 0)], Judgement::Unknown),
            (vec![none, bad.clone()], Judgement::Broken),
        ] {
            assert_eq!(check(&thresholds).verdict, expected, "{thresholds:?}");
        }
        let summary = check(&[good, bad]).summary;
        assert_eq!(summary, "Did not hold: latency p(95)<500 (observed 612.346).");
    }
}
