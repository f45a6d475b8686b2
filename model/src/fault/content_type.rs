//! Content type: the answer says that it is something else.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::HeaderText;
use crate::chance::Draw;
use crate::scope::Direction;
use crate::verdict::{ExchangeVerdict, HeaderEdit, Moment, Verdict};

/// Replaces the `Content-Type` of the server's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentType {
    /// What it says instead, such as `text/html`.
    pub value: HeaderText,
}

impl Act for ContentType {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn direction(&self) -> Direction {
        Direction::Response
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let value = HeaderValue::from_str(&self.value.0).unwrap_or(HeaderValue::from_static(""));
        Verdict::Exchange(ExchangeVerdict::EditHeaders(vec![HeaderEdit::Set(CONTENT_TYPE, value)]))
    }
}
