//! JSON-RPC error: the request is answered with an error of our choice, under its own id.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers requests with a JSON-RPC error (HTTP 200). Notifications are left alone. With
/// `direction: response` the server has executed the request, and its answer is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonrpcError {
    /// JSON-RPC 2.0, section 5.1: -32768 to -32000 are reserved.
    pub code: i64,
    /// One sentence for people.
    #[serde(default = "injected")]
    pub message: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

fn injected() -> String {
    "injected by squall".to_owned()
}

impl Act for JsonrpcError {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has_request()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: StatusCode::OK,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: ReplyBody::JsonRpcError {
                code: self.code,
                message: self.message.clone(),
                data: self.data.clone(),
            },
        }))
    }
}
