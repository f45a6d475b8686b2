//! JSON read as a type, or the place where it is not of that type.

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// What is not of the type that was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at `{path}`: {reason}")]
pub(crate) struct Mistyped {
    /// The place that is wrong, as `items[0].name`; `.` is the whole.
    pub(crate) path: String,
    reason: String,
}

impl Mistyped {
    /// The whole, which is something else.
    pub(crate) fn whole(reason: &str) -> Self {
        Self { path: ".".to_owned(), reason: reason.to_owned() }
    }
}

/// Reads a value.
pub(crate) fn read<'de, T, D>(json: D) -> Result<T, Mistyped>
where
    T: DeserializeOwned,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(json).map_err(|error| {
        let reason = error.inner().to_string();
        // Lines and columns would be those of a part of what the peer has sent.
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        Mistyped { path: place(error.path(), &reason), reason }
    })
}

/// A field that is missing, is there twice, or does not go with the others, is reported at the object that
/// has it: the reason begins with its name.
fn place(path: &Path, reason: &str) -> String {
    let last = match path.iter().next_back() {
        Some(Segment::Map { key }) => Some(key.as_str()),
        _ => None,
    };
    let field = field(reason).filter(|field| last != Some(field));
    match (field, path.iter().len()) {
        (None, _) => path.to_string(),
        (Some(field), 0) => field.to_owned(),
        (Some(field), _) => format!("{path}.{field}"),
    }
}

/// The field that a reason is about, if it says so.
fn field(reason: &str) -> Option<&str> {
    let kinds = ["missing field ", "duplicate field ", ""];
    let named = kinds.iter().find_map(|kind| reason.strip_prefix(kind)?.strip_prefix('`'))?;
    named.split_once('`').map(|(field, _)| field)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(rename = "items")]
        _items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Unchecked")]
    struct Item;

    #[derive(Deserialize)]
    struct Unchecked {
        size: u8,
        #[serde(default)]
        colour: Option<String>,
    }

    impl TryFrom<Unchecked> for Item {
        type Error = &'static str;

        fn try_from(item: Unchecked) -> Result<Self, Self::Error> {
            match (item.size, item.colour) {
                (0, Some(_)) => Err("`colour` goes with a size"),
                _ => Ok(Self),
            }
        }
    }

    fn fault(json: &str) -> String {
        let mut json = serde_json::Deserializer::from_str(json);
        read::<Order, _>(&mut json).expect_err("mistyped").to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, expected) in [
            ("{}", "at `items`: missing field `items`"),
            (r#"{"items":[],"items":[]}"#, "at `items`: duplicate field `items`"),
            (r#"{"items":[],"tip":1}"#, "at `tip`: unknown field `tip`, expected `items`"),
            (r#"{"items":[{"size":1},{}]}"#, "at `items[1].size`: missing field `size`"),
            (
                r#"{"items":[{"size":-1}]}"#,
                "at `items[0].size`: invalid value: integer `-1`, expected u8",
            ),
            (
                r#"{"items":[{"size":0,"colour":""}]}"#,
                "at `items[0].colour`: `colour` goes with a size",
            ),
            ("[]", "at `.`: "),
        ] {
            let found = fault(json);
            assert!(found.starts_with(expected), "{json}: {found}");
        }
    }
}
