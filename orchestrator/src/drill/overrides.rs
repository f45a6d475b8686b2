//! `--set KEY=VALUE`: single values of a drill, replaced for one run.

use std::str::FromStr;

use serde_json::Value;

use super::runbook::Runbook;
use super::{Ask, Drill, DrillError};

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
/// with its variant and the overrides. Changes are judged together: one may need the other.
pub(super) fn apply(book: &Runbook<'_>, ask: &Ask) -> Result<Drill, DrillError> {
    let at = |error: serde_saphyr::Error| DrillError::at(&book.path, book.lines_before, &error);
    let drill: Drill = serde_saphyr::from_str(book.block).map_err(at)?;
    let variant = variant_of(&drill, ask, book)?;
    if variant.is_empty() && ask.overrides.is_empty() {
        return Ok(drill);
    }
    let written: Value = serde_saphyr::from_str(book.block).map_err(at)?;
    let in_variant = |Misfit { key, what }| DrillError::Variant {
        path: book.path.clone(),
        variant: ask.variant.clone().unwrap_or_default(),
        key,
        what,
    };
    let (written, drill) = changed(written, drill, &variant).map_err(in_variant)?;
    let misfit = |Misfit { key, what }| DrillError::Override { key, what };
    changed(written, drill, &ask.overrides).map(|(_, drill)| drill).map_err(misfit)
}

/// A change that does not fit.
struct Misfit {
    key: String,
    what: String,
}

/// The drill with all these changes.
fn changed(written: Value, drill: Drill, changes: &[Override]) -> Result<(Value, Drill), Misfit> {
    let Some(last) = changes.last() else { return Ok((written, drill)) };
    let with = |changes: &[Override]| {
        let mut written = written.clone();
        for change in changes {
            let misfit = |what| Misfit { key: change.key.clone(), what };
            *place(&mut written, &change.key).map_err(misfit)? = change.value.clone();
        }
        let read = serde_json::from_value(written.clone());
        let misfit =
            |error: serde_json::Error| Misfit { key: last.key.clone(), what: error.to_string() };
        read.map(|drill| (written, drill)).map_err(misfit)
    };
    with(changes).map_err(|whole| {
        // The first that brings the same complaint is the one to be named.
        let culprit = (1..changes.len()).find(|number| {
            with(&changes[..*number]).is_err_and(|misfit| misfit.what == whole.what)
        });
        let key = culprit.map_or(whole.key, |number| changes[number - 1].key.clone());
        Misfit { key, what: whole.what }
    })
}

/// What the variant that is asked for says otherwise.
fn variant_of(drill: &Drill, ask: &Ask, book: &Runbook<'_>) -> Result<Vec<Override>, DrillError> {
    let Some(asked) = &ask.variant else { return Ok(Vec::new()) };
    let found = drill.variants.iter().find(|(name, _)| name.as_str() == asked);
    let (_, variant) = found.ok_or_else(|| DrillError::NoVariant {
        path: book.path.clone(),
        asked: asked.clone(),
        known: drill.variants.keys().map(|name| name.as_str().to_owned()).collect(),
    })?;
    let change =
        |(key, value): (&String, &Value)| Override { key: key.clone(), value: value.clone() };
    Ok(variant.iter().map(change).collect())
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
