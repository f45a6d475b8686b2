//! How types that serde reads from texts look in a JSON Schema.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A length of time: `200ms`, `1m 30s`.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "duration",
        "pattern": TIME,
        "examples": ["200ms", "30s", "1m 30s"],
    })
}

/// A length of time, or none.
pub(crate) fn optional_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "null"],
        "format": "duration",
        "pattern": TIME,
        "examples": ["200ms", "30s", "1m 30s"],
    })
}

/// A number and its unit, once or several times.
const TIME: &str = r"^(\s*\d+\s*[a-zA-Zµ]+)+\s*$";
