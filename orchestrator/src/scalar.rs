//! Single values of a drill that are written as a text or as a number.

use serde::Deserializer;

/// Times as drills write them, `200ms` or `3s`: a week at most, so that sums of them are moments, too.
pub(crate) mod time {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    const MOST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let time: Duration = humantime_serde::deserialize(from)?;
        if time > MOST {
            return Err(serde::de::Error::custom(format!(
                "{} is too long: a week at most was expected",
                humantime::format_duration(time)
            )));
        }
        Ok(time)
    }

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(time, to)
    }
}

/// Reads a scalar, be it a text or a number, by its `FromStr`.
pub(crate) fn text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    struct Scalar;
    impl serde::de::Visitor<'_> for Scalar {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a number")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E>(self, number: f64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    let text = deserializer.deserialize_any(Scalar)?;
    text.parse().map_err(serde::de::Error::custom)
}
