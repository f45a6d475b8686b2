//! Redirect: the client is sent elsewhere.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::HeaderText;
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
    #[serde(default)]
    pub status: Redirection,
}

/// The status of a redirection, 300 to 399 (RFC 9110, section 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(extend("minimum" = 300, "maximum" = 399))]
pub struct Redirection(StatusCode);

/// 307 keeps the method and the body (RFC 9110, section 15.4.8).
impl Default for Redirection {
    fn default() -> Self {
        Self(StatusCode::TEMPORARY_REDIRECT)
    }
}

/// A number that is not the status of a redirection.
#[derive(Debug, thiserror::Error)]
#[error("{0} does not send anybody elsewhere: 300 to 399 was expected, such as 307")]
pub struct NotARedirection(u16);

impl TryFrom<u16> for Redirection {
    type Error = NotARedirection;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        match StatusCode::from_u16(number) {
            Ok(status) if status.is_redirection() => Ok(Self(status)),
            _ => Err(NotARedirection(number)),
        }
    }
}

impl From<Redirection> for u16 {
    fn from(status: Redirection) -> Self {
        status.0.as_u16()
    }
}

impl Act for Redirect {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.0,
            headers: vec![("location".to_owned(), self.location.0.clone())],
            body: ReplyBody::Text(String::new()),
        }))
    }
}
