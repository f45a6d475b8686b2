//! False accept: a request is answered 202, as if it were a notification.

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::{Direction, Subject};
use crate::verdict::{ExchangeVerdict, Moment, Reply, ReplyBody, Verdict};

/// Answers a request with 202 and no body, which is for notifications and responses alone
/// (basic/transports, sending messages to the server): its answer never comes. The server has executed
/// it, unless `direction: request` says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FalseAccept {}

impl Act for FalseAccept {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn direction(&self) -> Direction {
        Direction::Response
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has_request()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Reply(Reply {
            status: StatusCode::ACCEPTED,
            headers: Vec::new(),
            body: ReplyBody::Text(String::new()),
        }))
    }
}
