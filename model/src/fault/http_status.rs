//! HTTP status: the client gets a status of our choice instead of the server's answer.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::HeaderKey;
use crate::verdict::{ExchangeVerdict, HeaderEdit, Moment, Reply, ReplyBody, Verdict};

/// Answers with an HTTP status. With `direction: response` the server has executed the request, and
/// its answer is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpStatus {
    /// 200 to 599.
    pub status: Status,
    /// Headers to send, such as `retry-after: "1"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<HeaderKey, HeaderText>,
    /// The body, empty by default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

impl Act for HttpStatus {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let headers = self.headers.iter();
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.0,
            headers: headers.map(|(key, text)| (key.as_str().to_owned(), text.0.clone())).collect(),
            body: ReplyBody::Text(self.body.clone()),
        }))
    }
}

/// A final HTTP status, 200 to 599 (RFC 9110, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(extend("minimum" = 200, "maximum" = 599))]
pub struct Status(StatusCode);

impl Status {
    /// A status that is known to be final.
    pub(super) const fn known(code: StatusCode) -> Self {
        Self(code)
    }

    /// The status as the field knows it.
    pub fn code(self) -> StatusCode {
        self.0
    }
}

/// A number that is not a final HTTP status.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a final HTTP status: 200 to 599 was expected")]
pub struct NotAStatus(u16);

impl TryFrom<u16> for Status {
    type Error = NotAStatus;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        match StatusCode::from_u16(number) {
            Ok(status) if (200..600).contains(&number) => Ok(Self(status)),
            _ => Err(NotAStatus(number)),
        }
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> Self {
        status.0.as_u16()
    }
}

/// A header's value: visible ASCII, spaces and tabs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderText(pub(super) String);

/// A text that is not a header value.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a header value (RFC 9110, section 5.5)")]
pub struct NotAHeaderValue(String);

impl TryFrom<String> for HeaderText {
    type Error = NotAHeaderValue;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match HeaderValue::from_str(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(NotAHeaderValue(text)),
        }
    }
}

impl HeaderText {
    /// Sets the header to the text, or removes it where there is none.
    pub(super) fn edit(name: HeaderName, text: Option<&Self>) -> HeaderEdit {
        let value = text.and_then(|text| HeaderValue::from_str(&text.0).ok());
        value.map_or(HeaderEdit::Remove(name.clone()), |value| HeaderEdit::Set(name, value))
    }
}

impl From<HeaderText> for String {
    fn from(text: HeaderText) -> Self {
        text.0
    }
}
