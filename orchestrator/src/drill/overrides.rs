//! `--set KEY=VALUE`: single values of a drill, replaced for one run.

use std::str::FromStr;

use serde_json::Value;

use super::runbook::Runbook;
use super::{Drill, DrillError};

/// One override: a dotted path, where numbers are places in a list, and a value in YAML.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    key: String,
    value: Value,
}

/// A text that is no override.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an override: KEY=VALUE was expected, such as load.sessions=500")]
pub(crate) struct BadOverride(String);

impl FromStr for Override {
    type Err = BadOverride;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadOverride(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(bad());
        }
        let value = serde_saphyr::from_str(value).map_err(|_| bad())?;
        Ok(Self { key: key.to_owned(), value })
    }
}

/// Reads the drill, first as it is written, so that errors have their place in the file, and then
/// with the overrides.
pub(super) fn apply(book: &Runbook<'_>, overrides: &[Override]) -> Result<Drill, DrillError> {
    let at = |error: serde_saphyr::Error| DrillError::at(&book.path, book.lines_before, &error);
    let drill: Drill = serde_saphyr::from_str(book.block).map_err(at)?;
    if overrides.is_empty() {
        return Ok(drill);
    }
    let mut written: Value = serde_saphyr::from_str(book.block).map_err(at)?;
    let mut drill = drill;
    for change in overrides {
        let error = |what: String| DrillError::Override { key: change.key.clone(), what };
        *place(&mut written, &change.key).map_err(error)? = change.value.clone();
        drill = serde_json::from_value(written.clone()).map_err(|e| error(e.to_string()))?;
    }
    Ok(drill)
}

fn place<'a>(root: &'a mut Value, key: &str) -> Result<&'a mut Value, String> {
    key.split('.').try_fold(root, |value, part| match value {
        Value::Object(object) => Ok(object.entry(part).or_insert(Value::Null)),
        Value::Array(list) => {
            let length = list.len();
            let place = part.parse().ok().and_then(|place: usize| list.get_mut(place));
            place.ok_or_else(|| {
                format!(
                    "there is no `{part}` in this list: 0 to {} were expected",
                    length.saturating_sub(1)
                )
            })
        }
        Value::Null => {
            *value = Value::Object(serde_json::Map::new());
            match value {
                Value::Object(object) => Ok(object.entry(part).or_insert(Value::Null)),
                _ => Err(format!("`{part}` cannot be set here")),
            }
        }
        _ => Err(format!("`{part}` cannot be set: what stands before it is a single value")),
    })
}
