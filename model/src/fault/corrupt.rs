//! Corrupt: a message arrives damaged.

use std::num::NonZeroU32;

use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, Verdict};

/// Damages a JSON-RPC message: an answer or an event on its way to the client, or, with
/// `direction: request`, what the client sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Corrupt {
    /// How it is damaged.
    #[serde(default)]
    pub what: Damage,
    /// How many bytes differ, with `bytes`.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub count: NonZeroU32,
}

impl Act for Corrupt {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn is_one_way(&self) -> bool {
        false
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        !subject.messages.is_empty()
    }

    fn decide(&self, draw: &mut Draw) -> Verdict {
        Verdict::Message(MessageVerdict::Alter(match self.what {
            Damage::Bytes => Alteration::FlipBytes(self.count.get(), draw.random()),
            Damage::Json => Alteration::BreakJson,
        }))
    }
}

/// What damage is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Some bytes are others.
    #[default]
    Bytes,
    /// Half of it is missing: it is no JSON.
    Json,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}
