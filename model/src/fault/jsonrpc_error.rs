//! JSON-RPC error: the request is answered with an error of our choice, under its own id.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::verdict::{ExchangeVerdict, Reply, ReplyBody, Verdict};

/// Answers requests with a JSON-RPC error (HTTP 200). Notifications are left alone. With
/// `direction: response` the server has executed the request, and its answer is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl JsonrpcError {
    pub(super) fn decide(&self) -> Verdict {
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
