//! Session id: `Mcp-Session-Id` is missing, or names another session.

use http::HeaderValue;
use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Act;
use crate::chance::Draw;
use crate::mcp::header;
use crate::scope::{Direction, Subject};
use crate::verdict::{ExchangeVerdict, HeaderEdit, Moment, Verdict};

/// Changes the `Mcp-Session-Id` of a request, or, with `direction: response`, of the answer that names
/// the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionId {
    /// What is wrong with it.
    #[serde(default)]
    pub how: WrongSession,
}

impl Act for SessionId {
    fn moment(&self) -> Moment {
        Moment::Exchange
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        subject.direction == Direction::Response || subject.session.is_some()
    }

    fn decide(&self, draw: &mut Draw) -> Verdict {
        let edit = match self.how {
            WrongSession::Strip => HeaderEdit::Remove(header::SESSION_ID),
            WrongSession::Swap => HeaderEdit::SwapSession,
            WrongSession::Alter => {
                let text = format!("squall-{:032x}", draw.random::<u128>());
                let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("x"));
                HeaderEdit::Set(header::SESSION_ID, value)
            }
        };
        Verdict::Exchange(ExchangeVerdict::EditHeaders(vec![edit]))
    }
}

/// What is wrong with a session's id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WrongSession {
    /// It is missing.
    #[default]
    Strip,
    /// It is that of another session, which is alive; without another one it is left alone.
    Swap,
    /// It is one that nobody knows.
    Alter,
}
