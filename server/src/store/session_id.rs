//! A session's name, in the one shape that this server gives out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many digits a name has.
const DIGITS: usize = 32;

/// A session's name: 128 random bits in lower hexadecimal, which is visible ASCII
/// (basic/transports, session management). A text of any other shape names no session of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SessionId(u128);

/// A text that this server never gave out as a session's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no session id of this server: {DIGITS} lower hexadecimal digits were expected")]
pub(crate) struct ForeignId;

impl SessionId {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; DIGITS / 2];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    #[cfg(test)]
    pub(crate) const fn of(number: u128) -> Self {
        Self(number)
    }
}

impl FromStr for SessionId {
    type Err = ForeignId;

    fn from_str(text: &str) -> Result<Self, ForeignId> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(ForeignId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ForeignId)
    }
}

impl TryFrom<String> for SessionId {
    type Error = ForeignId;

    fn try_from(text: String) -> Result<Self, ForeignId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_out_is_read_back() {
        for id in [SessionId::random().expect("random"), SessionId::of(0), SessionId::of(7)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn nothing_else_is_a_session_id() {
        let upper = "0123456789ABCDEF0123456789ABCDEF";
        let signed = format!("+{}", "0".repeat(31));
        let (short, long) = ("0".repeat(31), "0".repeat(33));
        for text in ["", "*", "gone", upper, &signed, &short, &long, &"\u{e9}".repeat(16)] {
            assert_eq!(text.parse::<SessionId>(), Err(ForeignId), "{text}");
        }
    }
}
