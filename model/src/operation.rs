//! The stable name of one operation: the join key between client, proxy and server records.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::seed::Seed;

/// Names one operation of the load generator, the same in every run with the same seed.
///
/// It is the trace id of a W3C Trace Context `traceparent` (16 bytes, 32 hexadecimal digits):
/// eight bytes made from the seed, four of the session's number, four of the operation's number.
/// A trace id that somebody else chose is carried as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u128);

impl OperationId {
    /// The id of operation `number` (from 1) of session `session` (from 1) under `seed`.
    pub fn new(seed: Seed, session: u32, number: u32) -> Self {
        let family = u128::from(seed.mixed());
        Self(family << 64 | u128::from(session) << 32 | u128::from(number))
    }

    /// The session's number, for an id made by [`OperationId::new`].
    pub fn session(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The operation's number in its session, for an id made by [`OperationId::new`].
    pub fn number(self) -> u32 {
        self.0 as u32
    }

    /// The id as a number, to draw from.
    pub(crate) fn bits(self) -> u128 {
        self.0
    }

    /// The `traceparent` header value: version 00, this trace id, the low half as parent id, sampled.
    pub fn traceparent(self) -> String {
        let parent = match self.0 as u64 {
            0 => 1, // an all-zero parent id is invalid
            low => low,
        };
        format!("00-{:032x}-{parent:016x}-01", self.0)
    }

    /// Reads the trace id of a `traceparent` value (W3C Trace Context, section 3.2.2).
    /// `None` if it is not one, or is the invalid all-zero id.
    pub fn from_traceparent(value: &str) -> Option<Self> {
        let mut parts = value.trim().split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (parent, flags) = (parts.next()?, parts.next()?);
        let well_formed = version.len() == 2
            && version != "ff"
            && parent.len() == 16
            && flags.len() == 2
            && (version != "00" || parts.next().is_none())
            && [version, parent, flags].iter().all(|part| is_lower_hex(part));
        if !well_formed {
            return None;
        }
        trace.parse().ok()
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A text that is not an operation id.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an operation id: 32 lower-case hexadecimal digits, not all zero, were expected"
)]
pub struct ParseOperationId(String);

impl FromStr for OperationId {
    type Err = ParseOperationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseOperationId(text.chars().take(64).collect());
        if text.len() != 32 || !is_lower_hex(text) {
            return Err(bad());
        }
        match u128::from_str_radix(text, 16) {
            Ok(0) | Err(_) => Err(bad()),
            Ok(bits) => Ok(Self(bits)),
        }
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for OperationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_journey_through_a_traceparent() {
        let id = OperationId::new(Seed::new(7), 12, 345);
        let back = OperationId::from_traceparent(&id.traceparent());
        assert_eq!(back, Some(id));
        assert_eq!((id.session(), id.number()), (12, 345));
    }

    #[test]
    fn another_seed_gives_another_id() {
        let ids = [7, 8].map(|seed| OperationId::new(Seed::new(seed), 1, 1));
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn what_is_not_a_traceparent_gives_no_id() {
        let zero = format!("00-{:032x}-{:016x}-01", 0, 1);
        let upper = format!("00-{}-{:016x}-01", "A".repeat(32), 1);
        let trailing = format!("00-{:032x}-{:016x}-01-more", 5, 1);
        for bad in ["", "00", "00-xyz-1-01", "ff-1-1-1", &zero, &upper, &trailing] {
            assert_eq!(OperationId::from_traceparent(bad), None, "{bad:?}");
        }
    }
}
