//! Tools drift: the list of tools has changed: one is gone, or takes other arguments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Act;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::{Glob, Subject};
use crate::verdict::{Alteration, MessageVerdict, Moment, Verdict};

/// Changes the answers to `tools/list`, as a deployment does behind a client's back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Unchecked")]
#[schemars(!try_from, deny_unknown_fields)]
pub struct ToolsDrift {
    /// Tools that are gone, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vanish: Option<Glob>,
    /// Tools whose `inputSchema` asks for an argument more, `squall_drift`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Glob>,
}

impl Act for ToolsDrift {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has(Kind::Response, "tools/list")
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::Tools(self.clone())))
    }
}

impl ToolsDrift {
    /// Changes a list of tools. Says whether anything was changed.
    pub(crate) fn change(&self, tools: &mut Vec<Value>) -> bool {
        let before = tools.len();
        tools.retain(|tool| !names(self.vanish.as_ref(), tool));
        let mut changed = tools.len() < before;
        for tool in tools.iter_mut().filter(|tool| names(self.schema.as_ref(), tool)) {
            changed |= ask_for_more(tool);
        }
        changed
    }
}

fn names(glob: Option<&Glob>, tool: &Value) -> bool {
    glob.is_some_and(|glob| tool["name"].as_str().is_some_and(|name| glob.matches(name)))
}

const NEW: &str = "squall_drift";

fn ask_for_more(tool: &mut Value) -> bool {
    let Some(schema) = tool.get_mut("inputSchema").and_then(Value::as_object_mut) else {
        return false;
    };
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(NEW.to_owned(), json!({ "type": "string" }));
    }
    let required = schema.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.push(json!(NEW));
    }
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(default)]
    vanish: Option<Glob>,
    #[serde(default)]
    schema: Option<Glob>,
}

/// A drift of nothing.
#[derive(Debug, thiserror::Error)]
#[error("no tool drifts: `vanish` or `schema` was expected, such as `vanish: \"fast-*\"`")]
pub struct NoDrift;

impl TryFrom<Unchecked> for ToolsDrift {
    type Error = NoDrift;

    fn try_from(Unchecked { vanish, schema }: Unchecked) -> Result<Self, Self::Error> {
        if vanish.is_none() && schema.is_none() {
            Err(NoDrift)
        } else {
            Ok(Self { vanish, schema })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tool_vanishes_and_another_asks_for_more() {
        let drift: ToolsDrift =
            serde_json::from_str(r#"{"vanish":"a*","schema":"b"}"#).expect("a drift");
        let mut tools = vec![
            json!({ "name": "a1", "inputSchema": {} }),
            json!({ "name": "b", "inputSchema": { "required": ["x"] } }),
            json!({ "name": "c", "inputSchema": {} }),
        ];
        assert!(drift.change(&mut tools));
        let names: Vec<_> = tools.iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(tools[0]["inputSchema"]["required"], json!(["x", NEW]));
        assert!(!drift.change(&mut vec![json!({ "name": "c" })]));
    }
}
