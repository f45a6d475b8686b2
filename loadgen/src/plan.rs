//! What a load is to be: where it goes, how many sessions, how often, what they do.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use squall_model::chance::Seed;
use squall_model::mcp::era::ProtocolVersion;

use crate::target::Target;
use crate::workload::Mix;

/// A load, described. Every field is valid by its type.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it goes.
    pub target: Target,
    /// How many sessions.
    pub sessions: Sessions,
    /// When operations are due.
    pub arrivals: Arrivals,
    /// When arrivals end by themselves.
    pub extent: Extent,
    /// What the operations do.
    pub mix: Mix,
    /// What is drawn from: kinds, arguments, think times, operation ids.
    pub seed: Seed,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// How long all the first handshakes together may take.
    pub ready_timeout: Duration,
    /// How long, when arrivals have ended, what is still in flight may take.
    pub grace: Duration,
    /// The protocol version that `initialize` asks for.
    pub version: ProtocolVersion,
    /// The client's name, in `initialize` and in `User-Agent`.
    pub client: ClientName,
    /// How many first handshakes run at a time. One keeps the order of the sessions, so that a
    /// proxy places them the same in every run.
    pub connect_concurrency: NonZeroU32,
    /// Whether the sessions are ended with DELETE when the load stops.
    pub end_sessions: bool,
}

impl Plan {
    /// Ten sessions, ten operations a second in all, the seed's mix, until it is stopped.
    pub fn new(target: Target, seed: Seed) -> Self {
        Self {
            target,
            sessions: Sessions(10),
            arrivals: Arrivals::Open { rate: Rate(10.0) },
            extent: Extent::UntilStopped,
            mix: Mix::default(),
            seed,
            timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            version: ProtocolVersion::LATEST,
            client: ClientName::default(),
            connect_concurrency: NonZeroU32::MIN,
            end_sessions: true,
        }
    }
}

/// When operations are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Open model: at a fixed rate, whether or not earlier ones were answered. Operation k (from 0)
    /// is due k / rate after the start and goes to session k mod N. Latency counts from there.
    Open {
        /// All sessions together.
        rate: Rate,
    },
    /// Closed model: each session waits for its answer, thinks, and goes on.
    Closed {
        /// The mean time that a session thinks; each time is drawn from half of it to one and a half.
        think: Duration,
    },
}

/// When arrivals end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Never: only `stop` ends them.
    UntilStopped,
    /// So long after the first arrival.
    For(Duration),
    /// After so many operations, over all sessions.
    Operations(u64),
}

/// How many sessions: 1 to 100 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions(u32);

/// Operations a second: over 0, up to 1 000 000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// What a client calls itself: 1 to 64 characters of a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

/// A value that no plan can have.
#[derive(Debug, thiserror::Error)]
pub enum BadPlan {
    /// Too few or too many sessions.
    #[error("`{0}` is not a number of sessions: 1 to 100000 was expected")]
    Sessions(String),
    /// Not a rate.
    #[error(
        "`{0}` is not a rate: a number over 0, up to 1000000 operations a second, was expected"
    )]
    Rate(String),
    /// Not a name.
    #[error("`{0}` is not a client name: 1 to 64 printable ASCII characters were expected")]
    ClientName(String),
}

impl Sessions {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Sessions {
    type Error = BadPlan;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            1..=100_000 => Ok(Self(number)),
            _ => Err(BadPlan::Sessions(number.to_string())),
        }
    }
}

impl FromStr for Sessions {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: u32 = text.parse().map_err(|_| BadPlan::Sessions(text.into()))?;
        number.try_into()
    }
}

impl Rate {
    /// Operations a second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = BadPlan;

    fn try_from(rate: f64) -> Result<Self, Self::Error> {
        if (1e-6..=1e6).contains(&rate) {
            Ok(Self(rate))
        } else {
            Err(BadPlan::Rate(rate.to_string()))
        }
    }
}

impl FromStr for Rate {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate: f64 = text.parse().map_err(|_| BadPlan::Rate(text.into()))?;
        rate.try_into()
    }
}

impl ClientName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientName {
    /// The `User-Agent` header.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("squall"))
    }
}

impl Default for ClientName {
    fn default() -> Self {
        Self("squall".to_owned())
    }
}

impl FromStr for ClientName {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let padded = text.trim() != text;
        if printable && !padded && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPlan::ClientName(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_and_the_range_is_named() {
        for bad in ["0", "100001", "-1", "ten", ""] {
            let error = bad.parse::<Sessions>().expect_err(bad).to_string();
            assert!(error.contains("1 to 100000"), "{error}");
        }
        for bad in ["0", "-3", "NaN", "inf", "2e6", "fast"] {
            let error = bad.parse::<Rate>().expect_err(bad).to_string();
            assert!(error.contains("up to 1000000"), "{error}");
        }
        assert_eq!("5000".parse::<Sessions>().expect("in range").get(), 5000);
        assert!("0.5".parse::<Rate>().is_ok());
    }

    #[test]
    fn a_client_name_fits_a_header() {
        assert!("squall drill".parse::<ClientName>().is_ok());
        for bad in ["", " a", "a\n", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<ClientName>().is_err(), "{bad:?}");
        }
    }
}
