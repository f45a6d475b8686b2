//! Resume: a stream that is resumed replays nothing, or what belongs to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::mcp::header;
use crate::scope::Subject;
use crate::verdict::{self, ExchangeVerdict, Moment, Verdict};

/// Changes the `Last-Event-ID` of a GET that resumes a stream (basic/transports, resumability and
/// redelivery).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// What is replayed.
    #[serde(default)]
    pub how: verdict::Resume,
}

impl Act for Resume {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn is_one_way(&self) -> bool {
        true
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.http_method == "GET" && subject.headers.map().contains_key(header::LAST_EVENT_ID)
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        Verdict::Exchange(ExchangeVerdict::Resume(self.how))
    }
}
