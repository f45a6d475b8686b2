//! Refuse initialize: new sessions are refused, so that a herd meets a closed door.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::Status;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::Subject;
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers `initialize` with a status that says "not now".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefuseInitialize {
    /// What it says.
    #[serde(default = "unavailable")]
    pub status: Status,
    /// `Retry-After`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

impl Act for RefuseInitialize {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has(Kind::Request, "initialize")
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let wait = self.retry_after.map(|wait| ("retry-after".to_owned(), wait.to_string()));
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.code(),
            headers: wait.into_iter().collect(),
            body: ReplyBody::Text(String::new()),
        }))
    }
}

fn unavailable() -> Status {
    Status::known(StatusCode::SERVICE_UNAVAILABLE)
}
