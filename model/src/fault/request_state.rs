//! Request state: the state that a client has to echo is altered, replayed, or never ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::Subject;
use crate::verdict::{self, Alteration, MessageVerdict, Moment, Verdict};

/// Changes the `requestState` of `input_required` results (MCP 2026-07-28, basic/patterns/mrtr).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestState {
    /// What is wrong with it.
    #[serde(default)]
    pub how: verdict::RequestState,
}

impl Act for RequestState {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.messages.iter().any(|message| message.kind == Kind::Response)
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(Alteration::RequestState(self.how)))
    }
}
