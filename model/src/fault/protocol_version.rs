//! Protocol version: `MCP-Protocol-Version` is missing, or wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::HeaderText;
use crate::chance::Draw;
use crate::mcp::header;
use crate::verdict::{ExchangeVerdict, Moment, Verdict};

/// Removes the `MCP-Protocol-Version` of a request, or sets another (basic/transports, protocol version
/// header).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtocolVersion {
    /// What it says instead; by default it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<HeaderText>,
}

impl Act for ProtocolVersion {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let edit = HeaderText::edit(header::PROTOCOL_VERSION, self.value.as_ref());
        Verdict::Exchange(ExchangeVerdict::EditHeaders(vec![edit]))
    }
}
