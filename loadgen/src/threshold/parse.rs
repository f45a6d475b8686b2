//! From text to a threshold, with errors that say what was probably meant.

use super::{Aggregation, Metric, Operator, Tag, Threshold};
use squall_model::nearest::nearest;

/// A text that is no threshold.
#[derive(Debug, thiserror::Error)]
pub enum BadThreshold {
    /// No comparison in it.
    #[error("`{0}` compares nothing: AGGREGATION OPERATOR VALUE was expected, as in `p(95)<500`")]
    NoComparison(String),
    /// A metric that is not measured.
    #[error("`{found}` is not a metric{}: operation_duration or operation_failed was expected", meant(*.nearest))]
    Metric {
        /// What was given.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A tag that operations do not have.
    #[error("`{found}` is not a tag{}: operation:NAME or phase:NAME was expected", meant(*.nearest))]
    Tag {
        /// What was given.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A brace without its other half.
    #[error("`{0}` has an unmatched brace: METRIC{{TAG:VALUE}} was expected")]
    Brace(String),
    /// An aggregation that is not known.
    #[error("`{found}` is not an aggregation{}: avg, min, med, max, p(N), rate or count was expected", meant(*.nearest))]
    Aggregation {
        /// What was given.
        found: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A percentile outside of 0 to 100.
    #[error("`{0}` is not a percentile: p(N) with N from 0 to 100 was expected")]
    Percentile(String),
    /// An aggregation that the metric does not have.
    #[error("`{aggregation}` cannot be asked of {metric}: {expected} was expected")]
    Mismatch {
        /// What was asked.
        aggregation: Aggregation,
        /// Of which metric.
        metric: &'static str,
        /// What can be asked of it.
        expected: &'static str,
    },
    /// A right-hand side that is not a number.
    #[error(
        "`{0}` is not a number to compare with: milliseconds without a unit, a share or a count was expected"
    )]
    Value(String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// `METRIC{TAGS}: EXPRESSION`, or the expression alone.
pub(super) fn whole(text: &str) -> Result<Threshold, BadThreshold> {
    let tags_end = text.rfind('}').map_or(0, |brace| brace + 1);
    match text[tags_end..].find(':') {
        Some(colon) => both(&text[..tags_end + colon], &text[tags_end + colon + 1..]),
        None if text.contains(['{', '}']) => Err(BadThreshold::Brace(shown(text))),
        None => {
            let comparison = comparison(text)?;
            let metric = match comparison.0 {
                Aggregation::Rate => Metric::OperationFailed,
                _ => Metric::OperationDuration,
            };
            build(metric, Vec::new(), comparison)
        }
    }
}

pub(super) fn both(metric: &str, expression: &str) -> Result<Threshold, BadThreshold> {
    let (name, tags) = match metric.split_once('{') {
        None if metric.contains('}') => return Err(BadThreshold::Brace(shown(metric))),
        None => (metric, ""),
        Some((name, rest)) => {
            let inner = rest.trim().strip_suffix('}');
            let inner = inner.filter(|inner| !inner.contains(['{', '}']));
            (name, inner.ok_or_else(|| BadThreshold::Brace(shown(metric)))?)
        }
    };
    build(metric_of(name.trim())?, tags_of(tags)?, comparison(expression)?)
}

type Comparison = (Aggregation, Operator, f64);

fn build(
    metric: Metric,
    tags: Vec<(Tag, String)>,
    (aggregation, operator, value): Comparison,
) -> Result<Threshold, BadThreshold> {
    if !metric.allows(aggregation) {
        return Err(BadThreshold::Mismatch {
            aggregation,
            metric: metric.as_str(),
            expected: match metric {
                Metric::OperationDuration => "avg, min, med, max, p(N) or count",
                Metric::OperationFailed => "rate or count",
            },
        });
    }
    Ok(Threshold { metric, tags, aggregation, operator, value })
}

fn metric_of(name: &str) -> Result<Metric, BadThreshold> {
    let known = Metric::ALL.into_iter().find(|metric| metric.as_str() == name);
    known.ok_or_else(|| BadThreshold::Metric {
        found: shown(name),
        nearest: nearest(name, Metric::ALL.map(Metric::as_str)),
    })
}

fn tags_of(text: &str) -> Result<Vec<(Tag, String)>, BadThreshold> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(tag_of).collect()
}

fn tag_of(part: &str) -> Result<(Tag, String), BadThreshold> {
    let (name, value) = part.split_once(':').unwrap_or((part, ""));
    let (name, value) = (name.trim(), value.trim());
    let known = Tag::ALL.into_iter().find(|tag| tag.as_str() == name);
    match known {
        Some(tag) if !value.is_empty() => Ok((tag, value.to_owned())),
        _ => Err(BadThreshold::Tag {
            found: shown(part),
            nearest: nearest(name, Tag::ALL.map(Tag::as_str)).filter(|_| known.is_none()),
        }),
    }
}

fn comparison(text: &str) -> Result<Comparison, BadThreshold> {
    let split = |operator: Operator| {
        let (left, right) = text.split_once(operator.as_str())?;
        Some((left.trim(), operator, right.trim()))
    };
    let found = Operator::ALL.into_iter().find_map(split);
    let (left, operator, right) = found.ok_or_else(|| BadThreshold::NoComparison(shown(text)))?;
    let value: Option<f64> = right.parse().ok().filter(|value: &f64| value.is_finite());
    let value = value.ok_or_else(|| BadThreshold::Value(shown(right)))?;
    Ok((aggregation_of(left)?, operator, value))
}

fn aggregation_of(text: &str) -> Result<Aggregation, BadThreshold> {
    if let Some(percent) = text.strip_prefix("p(") {
        let percent = percent.strip_suffix(')').map(str::trim);
        let percent: Option<f64> = percent.and_then(|percent| percent.parse().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        return percent
            .map(Aggregation::Percentile)
            .ok_or_else(|| BadThreshold::Percentile(shown(text)));
    }
    let mut named = Aggregation::NAMED.into_iter();
    named.find(|known| known.to_string() == text).ok_or_else(|| {
        let names = ["avg", "min", "med", "max", "rate", "count"];
        let percentile = text.starts_with('p').then_some("p(95)");
        BadThreshold::Aggregation {
            found: shown(text),
            nearest: percentile.or_else(|| nearest(text, names)),
        }
    })
}

fn shown(text: &str) -> String {
    text.trim().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_threshold_is_written_as_in_k6() {
        for (text, expected) in [
            ("p(95)<500", "operation_duration: p(95)<500"),
            (" p( 99.9 ) <= 1.5 ", "operation_duration: p(99.9)<=1.5"),
            ("rate<0.01", "operation_failed: rate<0.01"),
            ("operation_failed:count==0", "operation_failed: count==0"),
            (
                "operation_duration{operation:tools/call fast-echo, phase:recovery}: med >= 2",
                "operation_duration{operation:tools/call fast-echo,phase:recovery}: med>=2",
            ),
            (
                "operation_duration{operation:resources/read app://static-data}: max<9",
                "operation_duration{operation:resources/read app://static-data}: max<9",
            ),
        ] {
            let threshold: Threshold = text.parse().expect(text);
            assert_eq!(threshold.to_string(), expected);
            assert_eq!(expected.parse::<Threshold>().expect(expected), threshold);
        }
        let halves = Threshold::new("operation_duration{phase:impact}", "avg<3").expect("halves");
        let whole = "operation_duration{phase:impact}: avg<3".parse::<Threshold>();
        assert_eq!(halves, whole.expect("whole"));
    }

    #[test]
    fn an_error_says_what_was_probably_meant() {
        for (text, says) in [
            ("", "as in `p(95)<500`"),
            ("p(95)", "as in `p(95)<500`"),
            ("p95<500", "did you mean `p(95)`"),
            ("p(101)<5", "0 to 100"),
            ("p(95<5", "0 to 100"),
            ("mead<5", "did you mean `med`"),
            ("avg<fast", "`fast` is not a number"),
            ("avg<500ms", "without a unit"),
            ("avg<NaN", "not a number"),
            ("operation_durations: avg<5", "did you mean `operation_duration`"),
            ("http_req_failed: rate<0.1", "operation_failed was expected"),
            ("operation_duration{phse:x}: avg<5", "did you mean `phase`"),
            ("operation_duration{phase}: avg<5", "phase:NAME"),
            ("operation_duration{phase:x: avg<5", "unmatched brace"),
            ("operation_duration{phase:x} avg<5", "unmatched brace"),
            ("operation_duration: rate<5", "p(N) or count"),
            ("operation_failed: avg<5", "rate or count"),
        ] {
            let error = text.parse::<Threshold>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "[a-z_{}:,()<>=0-9. é]{0,40}") {
            let _ = text.parse::<Threshold>();
        }
    }
}
