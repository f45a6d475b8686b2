//! Mirror header: a header that repeats the body is missing, or says something else.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::HeaderText;
use crate::chance::Draw;
use crate::scope::HeaderKey;
use crate::verdict::{ExchangeVerdict, Moment, Verdict};

/// Removes a header of the stateless era that has to agree with the body, or sets another: `Mcp-Method`,
/// `Mcp-Name` or an `Mcp-Param-*` (MCP 2026-07-28, basic/transports/streamable-http, request metadata). A
/// server answers 400 with -32020.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorHeader {
    /// Which header.
    pub header: HeaderKey,
    /// What it says instead; by default it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<HeaderText>,
}

impl Act for MirrorHeader {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let Ok(name) = HeaderName::from_bytes(self.header.as_str().as_bytes()) else {
            return Verdict::Exchange(ExchangeVerdict::EditHeaders(Vec::new()));
        };
        let edit = HeaderText::edit(name, self.value.as_ref());
        Verdict::Exchange(ExchangeVerdict::EditHeaders(vec![edit]))
    }
}
