//! Acknowledge: the acknowledgement of a subscription is late, missing, or wrong.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::mcp::envelope::Kind;
use crate::scope::Subject;
use crate::verdict::{Acknowledgement, Alteration, MessageVerdict, Moment, Verdict};

/// Acts on `notifications/subscriptions/acknowledged`, with which a server has to begin the stream of a
/// `subscriptions/listen` (MCP 2026-07-28, basic/patterns/subscriptions).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// What is wrong with it.
    pub how: WrongAcknowledgement,
    /// How late it is, with `late`; at most `1h`. What is behind it on the stream waits, too.
    #[serde(default = "late", with = "super::time")]
    #[schemars(schema_with = "crate::schema::time")]
    pub delay: Duration,
}

/// What is wrong with an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WrongAcknowledgement {
    /// It comes late.
    Late,
    /// It never comes; what is behind it does.
    Never,
    /// It names another subscription.
    WrongId,
    /// It agrees to nothing of what was asked for.
    Shrunk,
}

fn late() -> Duration {
    Duration::from_secs(10)
}

impl Act for Acknowledge {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.has(Kind::Notification, "notifications/subscriptions/acknowledged")
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let alter = |how| MessageVerdict::Alter(Alteration::Acknowledgement(how));
        Verdict::Message(match self.how {
            WrongAcknowledgement::Late => MessageVerdict::Delay(self.delay),
            WrongAcknowledgement::Never => MessageVerdict::Drop,
            WrongAcknowledgement::WrongId => alter(Acknowledgement::WrongId),
            WrongAcknowledgement::Shrunk => alter(Acknowledgement::Shrunk),
        })
    }
}
