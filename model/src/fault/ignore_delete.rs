//! Ignore delete: the end of a session does not reach the server.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::Status;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers a DELETE as if the session had ended, and does not tell the server, which keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IgnoreDelete {
    /// What the client is told.
    #[serde(default = "no_content")]
    pub status: Status,
}

impl Act for IgnoreDelete {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.http_method == "DELETE"
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.code(),
            headers: Vec::new(),
            body: ReplyBody::Text(String::new()),
        }))
    }
}

fn no_content() -> Status {
    Status::known(StatusCode::NO_CONTENT)
}
