//! What a load must keep to, in k6's notation: `operation_duration{phase:recovery}: p(95)<500`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_model::history::Operation;

mod evaluate;
mod parse;

pub use parse::BadThreshold;

/// One condition. In text: `METRIC{TAG:VALUE,…}: AGGREGATION OPERATOR VALUE`.
///
/// The metric can be left out: `rate` is of `operation_failed`, all others are of
/// `operation_duration`, in milliseconds, as in k6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Threshold {
    /// What is measured.
    pub metric: Metric,
    /// Which operations count; all tags must fit.
    pub tags: Vec<(Tag, String)>,
    /// What is made of the measurements.
    pub aggregation: Aggregation,
    /// How it is compared.
    pub operator: Operator,
    /// With what: milliseconds, a share from 0 to 1, or a number of operations.
    pub value: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `operation_duration`: from due to completed, of the operations that were sent, well or not.
    OperationDuration,
    /// `operation_failed`: whether an operation did not end well. An unknown outcome did not.
    OperationFailed,
}

/// What operations are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `operation`: its name, such as `tools/call fast-echo`.
    Operation,
    /// `phase`: of the drill.
    Phase,
}

/// What is made of the measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregation {
    /// `avg`
    Mean,
    /// `min`
    Min,
    /// `med`
    Median,
    /// `max`
    Max,
    /// `p(N)`, N from 0 to 100, interpolated between neighbours as k6 does.
    Percentile(f64),
    /// `rate`: the share that failed.
    Rate,
    /// `count`: durations that were measured, or operations that failed.
    Count,
}

/// How an observation is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
}

/// One operation, as thresholds see it.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Its name.
    pub operation: &'a str,
    /// The phase it was due in, where there are phases.
    pub phase: Option<&'a str>,
    /// From due to completed; `None` if it was never sent.
    pub duration: Option<Duration>,
    /// Whether it did not end well.
    pub failed: bool,
}

impl<'a> Sample<'a> {
    /// An operation, in a phase where there are phases.
    pub fn of(operation: &'a Operation, phase: Option<&'a str>) -> Self {
        Self {
            operation: &operation.name,
            phase,
            duration: operation.sent.map(|_| operation.latency()),
            failed: !operation.outcome.is_ok(),
        }
    }
}

/// What a threshold found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What was observed; `None` where there was nothing to observe.
    pub observed: Option<f64>,
    /// Whether the threshold holds. Without an observation it does not.
    pub holds: bool,
}

impl Threshold {
    /// What a load keeps to unless it is told otherwise: less than 1 % failed.
    pub fn standard() -> Self {
        Self {
            metric: Metric::OperationFailed,
            tags: Vec::new(),
            aggregation: Aggregation::Rate,
            operator: Operator::Less,
            value: 0.01,
        }
    }

    /// A threshold from its two halves, as k6's options have them: `operation_duration{…}` and
    /// `p(95)<500`.
    pub fn new(metric: &str, expression: &str) -> Result<Self, BadThreshold> {
        parse::both(metric, expression)
    }

    /// Whether the sample is one that it is about.
    pub fn selects(&self, sample: &Sample<'_>) -> bool {
        evaluate::fits(self, sample)
    }

    /// Holds the samples against it.
    pub fn evaluate<'a>(&self, samples: impl IntoIterator<Item = Sample<'a>>) -> Verdict {
        evaluate::evaluate(self, samples)
    }
}

impl FromStr for Threshold {
    type Err = BadThreshold;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::whole(text)
    }
}

impl TryFrom<String> for Threshold {
    type Error = BadThreshold;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> Self {
        threshold.to_string()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric.as_str())?;
        for (position, (tag, value)) in self.tags.iter().enumerate() {
            let open = if position == 0 { "{" } else { "," };
            write!(f, "{open}{}:{value}", tag.as_str())?;
        }
        if !self.tags.is_empty() {
            f.write_str("}")?;
        }
        let (aggregation, operator) = (self.aggregation, self.operator.as_str());
        write!(f, ": {aggregation}{operator}{}", self.value)
    }
}

impl Metric {
    const ALL: [Self; 2] = [Self::OperationDuration, Self::OperationFailed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OperationDuration => "operation_duration",
            Self::OperationFailed => "operation_failed",
        }
    }

    fn allows(self, aggregation: Aggregation) -> bool {
        match self {
            Self::OperationDuration => aggregation != Aggregation::Rate,
            Self::OperationFailed => {
                matches!(aggregation, Aggregation::Rate | Aggregation::Count)
            }
        }
    }
}

impl Tag {
    const ALL: [Self; 2] = [Self::Operation, Self::Phase];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Phase => "phase",
        }
    }
}

impl Aggregation {
    const NAMED: [Self; 6] =
        [Self::Mean, Self::Min, Self::Median, Self::Max, Self::Rate, Self::Count];
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("avg"),
            Self::Min => f.write_str("min"),
            Self::Median => f.write_str("med"),
            Self::Max => f.write_str("max"),
            Self::Percentile(percent) => write!(f, "p({percent})"),
            Self::Rate => f.write_str("rate"),
            Self::Count => f.write_str("count"),
        }
    }
}

impl Operator {
    /// In the order in which they are looked for: the longer ones first.
    const ALL: [Self; 5] =
        [Self::LessOrEqual, Self::GreaterOrEqual, Self::Equal, Self::Less, Self::Greater];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
        }
    }

    #[expect(clippy::float_cmp, reason = "== means what it says, as in k6")]
    fn holds(self, observed: f64, value: f64) -> bool {
        match self {
            Self::Less => observed < value,
            Self::LessOrEqual => observed <= value,
            Self::Greater => observed > value,
            Self::GreaterOrEqual => observed >= value,
            Self::Equal => observed == value,
        }
    }
}
