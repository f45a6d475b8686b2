//! Result type: a result is of a type that nobody knows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, PointerEdit, Verdict};

/// Sets the `resultType` of results, of which a client that does not know it must not make a success (MCP
/// 2026-07-28, basic, responses).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultType {
    /// What it says.
    #[serde(default = "unknown")]
    pub value: String,
}

impl Act for ResultType {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.messages.iter().any(|message| message.kind == Kind::Response)
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::Edit(vec![PointerEdit {
            pointer: "/result/resultType".to_owned(),
            value: Some(self.value.clone().into()),
        }])))
    }
}

fn unknown() -> String {
    "squall-unknown".to_owned()
}
