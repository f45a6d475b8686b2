//! A number of bytes, as people write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A number of bytes: `65536`, `64KiB` or `100 KB`. Written as a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Whether it is none.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The number.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A text that is not a number of bytes.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a size: a number of bytes was expected, such as 65536, 64KiB or 10MB")]
pub struct NotASize(String);

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = text.parse::<ByteSize>();
        size.map(|size| Self(size.as_u64())).map_err(|_| NotASize(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, such as 65536, 64KiB or 10MB")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
        u64::try_from(bytes)
            .map(Size)
            .map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: 65536, \"64KiB\" or \"10MB\".",
            "type": ["integer", "string"],
            "minimum": 0,
            "examples": ["64KiB"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_or_a_number_with_a_unit() {
        for (text, bytes) in
            [("7", 7), ("\"7\"", 7), ("\"64KiB\"", 65536), ("\"10 MB\"", 10_000_000)]
        {
            let size: Size = serde_json::from_str(text).expect(text);
            assert_eq!(size.bytes(), bytes);
        }
        for bad in ["-1", "\"-1\"", "\"a lot\"", "1.5", "null"] {
            let error = serde_json::from_str::<Size>(bad).expect_err(bad).to_string();
            assert!(error.contains("64KiB"), "{error}");
        }
    }
}
