//! Gone status: a session that is gone is answered with another status than 404.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use super::http_status::Status;
use crate::chance::Draw;
use crate::scope::{Direction, Subject};
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Replaces the 404 of a server that has terminated a session (basic/transports, session management): a
/// client that takes it for anything else never starts anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoneStatus {
    /// What it says instead: 400, 500 or 503, say.
    pub status: Status,
}

impl Act for GoneStatus {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn direction(&self) -> Direction {
        Direction::Response
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.session.is_some() && subject.status == Some(StatusCode::NOT_FOUND)
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: self.status.code(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: ReplyBody::JsonRpcError {
                code: -32000,
                message: "Bad Request: No valid session ID provided".to_owned(),
                data: None,
            },
        }))
    }
}
