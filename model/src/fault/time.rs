//! Times that an effect may wait: an hour at most, since nothing waits longer for a fault that nobody
//! removes.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::latency::LONGEST;

pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    humantime_serde::serialize(time, serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(raw: D) -> Result<Duration, D::Error> {
    raw.deserialize_any(Time)
}

struct Time;

impl Visitor<'_> for Time {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time with its unit, such as 200ms or 30s")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let time = humantime::parse_duration(text)
            .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
        if time > LONGEST {
            return Err(E::custom(format!("{text} is too long: at most 1h was expected")));
        }
        Ok(time)
    }
}

/// The same, or none.
pub(super) mod option {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::LONGEST;

    #[expect(clippy::ref_option, reason = "serde hands a reference")]
    pub(in crate::fault) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        humantime_serde::option::serialize(time, serializer)
    }

    pub(in crate::fault) fn deserialize<'de, D: Deserializer<'de>>(
        raw: D,
    ) -> Result<Option<Duration>, D::Error> {
        let time: Option<Duration> = humantime_serde::option::deserialize(raw)?;
        match time.filter(|time| *time > LONGEST) {
            Some(time) => {
                Err(D::Error::custom(format!("{time:?} is too long: at most 1h was expected")))
            }
            None => Ok(time),
        }
    }
}
