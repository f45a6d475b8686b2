//! Redirect: the client is sent elsewhere.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::{HeaderText, Status};
use crate::chance::Draw;
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers with a redirection (RFC 9110, section 15.4). The server does not see the request, unless
/// `direction: response` says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Where to.
    pub location: HeaderText,
    /// 300 to 399.
    #[serde(default = "temporary")]
    pub status: Status,
}

impl Act for Redirect {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.code(),
            headers: vec![("location".to_owned(), self.location.0.clone())],
            body: ReplyBody::Text(String::new()),
        }))
    }
}

/// 307 keeps the method and the body (RFC 9110, section 15.4.8).
fn temporary() -> Status {
    Status::known(StatusCode::TEMPORARY_REDIRECT)
}
