//! `fast-echo`: says back what it was told; the floor of what a call costs.

use serde::Deserialize;
use serde_json::{Value, json};

use super::ToolResult;

pub(super) const DESCRIPTION: &str = "Returns the message as it came, at once";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    message: String,
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": { "type": "string", "description": "What to say back" }
        },
        "required": ["message"],
        "additionalProperties": false
    })
}

pub(super) fn run(arguments: Arguments) -> ToolResult {
    ToolResult::text(arguments.message)
}
