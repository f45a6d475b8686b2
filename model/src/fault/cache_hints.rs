//! Cache hints: the client is told to keep results too long, or to share them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Act;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, PointerEdit, Verdict};

/// Sets `ttlMs` and `cacheScope` of the results that carry them (MCP 2026-07-28,
/// server/utilities/caching).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheHints {
    /// Milliseconds that the result counts as fresh; may be negative, which servers must not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<i64>,
    /// Who may keep it: `public` or `private`, or a word that nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_scope: Option<String>,
}

impl Act for CacheHints {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        CACHEABLE.iter().any(|method| subject.has(Kind::Response, method))
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let ttl = self.ttl_ms.map(|ttl| edit("/result/ttlMs", ttl.into()));
        let scope = self.cache_scope.clone().map(|scope| edit("/result/cacheScope", scope.into()));
        Verdict::Message(MessageVerdict::Alter(Alteration::Edit(
            ttl.into_iter().chain(scope).collect(),
        )))
    }
}

/// The methods whose results carry the hints.
const CACHEABLE: &[&str] = &[
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

fn edit(pointer: &str, value: Value) -> PointerEdit {
    PointerEdit { pointer: pointer.to_owned(), value: Some(value) }
}
