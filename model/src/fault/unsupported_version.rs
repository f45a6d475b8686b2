//! Unsupported version: the server seems not to speak the version of the protocol.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers a request with 400 and -32022 (MCP 2026-07-28, basic/versioning): a client tries again with a
/// version that it has in common with the list, or gives up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsupportedVersion {
    /// What the server claims to speak.
    #[serde(default = "older")]
    pub supported: Vec<String>,
}

impl Act for UnsupportedVersion {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has_request()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: StatusCode::BAD_REQUEST,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: ReplyBody::UnsupportedVersion { supported: self.supported.clone() },
        }))
    }
}

fn older() -> Vec<String> {
    vec!["2025-11-25".to_owned()]
}
