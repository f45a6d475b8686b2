//! Latency: traffic arrives later, by a fixed time or one drawn from a distribution.

use std::time::Duration;

use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Flow, LatencyAt};
use crate::chance::Draw;
use crate::verdict::{
    ConnectionVerdict, ExchangeVerdict, MessageVerdict, Moment, Shaping, Verdict,
};

/// The longest time that an effect may wait.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// Holds traffic back for `delay`, give or take `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Unchecked")]
#[schemars(!from, deny_unknown_fields)]
pub struct Latency {
    /// The time, such as `200ms`; at most `1h`.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "crate::schema::time")]
    pub delay: Duration,
    /// How far the time strays; what that means is up to the distribution.
    #[serde(with = "humantime_serde", skip_serializing_if = "Duration::is_zero")]
    #[schemars(default, schema_with = "crate::schema::time")]
    pub jitter: Duration,
    /// How it strays.
    #[schemars(default)]
    pub distribution: Distribution,
    /// What is held back.
    #[schemars(default)]
    pub at: LatencyAt,
    /// Which way, at the wire.
    #[serde(skip_serializing_if = "Flow::is_both")]
    #[schemars(default)]
    pub flow: Flow,
}

/// How a latency strays from its `delay`. No draw is below zero or above an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Anything from `delay - jitter` to `delay + jitter`, equally likely.
    #[default]
    Uniform,
    /// A bell with `delay` as its mean and `jitter` as its standard deviation.
    Normal,
    /// Never less than `delay`, on average `jitter` more, with a long tail (Pareto, shape 3).
    Pareto,
}

impl Act for Latency {
    fn moment(&self) -> Moment {
        match self.at {
            LatencyAt::Connection | LatencyAt::Wire => Moment::Connection,
            LatencyAt::Exchange => Moment::Exchange,
            LatencyAt::Message => Moment::Message,
        }
    }

    fn decide(&self, draw: &mut Draw) -> Verdict {
        if self.at == LatencyAt::Wire {
            let delay = Shaping::Delay(self.clone(), draw.random());
            return Verdict::Connection(ConnectionVerdict::Shape(self.flow, delay));
        }
        let wait = self.time(draw);
        match self.at {
            LatencyAt::Exchange => Verdict::Exchange(ExchangeVerdict::Wait(wait)),
            LatencyAt::Message => Verdict::Message(MessageVerdict::Delay(wait)),
            LatencyAt::Connection | LatencyAt::Wire => {
                Verdict::Connection(ConnectionVerdict::Wait(wait))
            }
        }
    }
}

impl Latency {
    /// One draw of the time.
    pub fn time(&self, draw: &mut Draw) -> Duration {
        if self.jitter.is_zero() {
            return self.delay;
        }
        let (delay, jitter) = (self.delay.as_secs_f64(), self.jitter.as_secs_f64());
        let seconds = match self.distribution {
            Distribution::Uniform => delay + jitter * draw.random_range(-1.0..=1.0),
            Distribution::Normal => delay + jitter * standard_normal(draw),
            Distribution::Pareto => delay + jitter * pareto_excess(draw),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()))
    }
}

/// A standard normal number (Box and Muller, 1958).
fn standard_normal(draw: &mut Draw) -> f64 {
    let radius = (-2.0 * (1.0 - draw.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * draw.random::<f64>()).cos()
}

/// The excess over the minimum of a Pareto distribution with shape 3, scaled to a mean of 1.
fn pareto_excess(draw: &mut Draw) -> f64 {
    2.0 * ((1.0 - draw.random::<f64>()).powf(-1.0 / 3.0) - 1.0)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(deserialize_with = "super::time::deserialize")]
    delay: Duration,
    #[serde(default, deserialize_with = "super::time::deserialize")]
    jitter: Duration,
    #[serde(default)]
    distribution: Distribution,
    #[serde(default)]
    at: LatencyAt,
    #[serde(default)]
    flow: Flow,
}

impl From<Unchecked> for Latency {
    fn from(Unchecked { delay, jitter, distribution, at, flow }: Unchecked) -> Self {
        Self { delay, jitter, distribution, at, flow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{DrawKey, Seed};

    fn draws(distribution: Distribution) -> Vec<f64> {
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(20));
        let latency =
            Latency { delay, jitter, distribution, at: LatencyAt::Exchange, flow: Flow::Both };
        let time = |n| latency.time(&mut Seed::new(1).draw("l", DrawKey::Arrival(n)));
        (0..10_000).map(|n| time(n).as_secs_f64() * 1000.0).collect()
    }

    fn mean(numbers: &[f64]) -> f64 {
        numbers.iter().sum::<f64>() / numbers.len() as f64
    }

    #[test]
    fn without_jitter_the_delay_is_exact() {
        let raw = r#"{"delay":"50ms"}"#;
        let latency: Latency = serde_json::from_str(raw).expect("a latency");
        let mut draw = Seed::new(1).draw("l", DrawKey::Arrival(1));
        assert_eq!(latency.time(&mut draw), Duration::from_millis(50));
    }

    #[test]
    fn uniform_stays_within_the_jitter() {
        let times = draws(Distribution::Uniform);
        assert!(times.iter().all(|time| (80.0..=120.0).contains(time)));
        assert!((mean(&times) - 100.0).abs() < 1.0);
    }

    #[test]
    fn normal_has_the_mean_and_the_deviation() {
        let times = draws(Distribution::Normal);
        let mean = mean(&times);
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / times.len() as f64;
        assert!((mean - 100.0).abs() < 1.0 && (variance.sqrt() - 20.0).abs() < 1.0);
    }

    #[test]
    fn pareto_never_undercuts_the_delay_and_has_a_tail() {
        let times = draws(Distribution::Pareto);
        assert!(times.iter().all(|time| *time >= 100.0));
        assert!((mean(&times) - 120.0).abs() < 2.0);
        assert!(times.iter().any(|time| *time > 200.0));
    }
}
