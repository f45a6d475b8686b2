//! Protocol versions and the two eras they fall into.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A published version of the protocol that Squall speaks, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// Streamable HTTP, batches.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// The `MCP-Protocol-Version` header; batches are gone.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// Priming events, streams that the server closes for polling.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
}

/// The version of the stateless era that Squall speaks.
pub const STATELESS: &str = "2026-07-28";

/// How sessions work in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Era {
    /// `initialize` and `Mcp-Session-Id`; 404 means: start a new session.
    Session,
    /// No handshake and no session header (from 2026-07-28).
    Stateless,
}

impl ProtocolVersion {
    /// All, oldest first.
    pub const ALL: [Self; 3] = [Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];
    /// The newest.
    pub const LATEST: Self = Self::V2025_11_25;
    /// What a request without `MCP-Protocol-Version` speaks (basic/transports, protocol version
    /// header).
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// The version as the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// What a server answers to a client that asks for `requested`: the same where it is known, the
    /// newest where not (basic/lifecycle, version negotiation).
    pub fn negotiate(requested: &str) -> Self {
        requested.parse().unwrap_or(Self::LATEST)
    }
}

impl Era {
    /// The era of a version by its date, known to Squall or not. Dates sort as text.
    pub fn of(version: &str) -> Self {
        if version < STATELESS { Self::Session } else { Self::Stateless }
    }
}

/// A version that Squall does not speak.
#[derive(Debug, thiserror::Error)]
#[error("protocol version `{0}` is not known: 2025-03-26, 2025-06-18 or 2025-11-25 was expected")]
pub struct UnknownVersion(String);

impl FromStr for ProtocolVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|version| version.as_str() == text);
        known.ok_or_else(|| UnknownVersion(text.chars().take(40).collect()))
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_version_is_kept_and_any_other_becomes_the_newest() {
        assert_eq!(ProtocolVersion::negotiate("2025-03-26"), ProtocolVersion::V2025_03_26);
        assert_eq!(ProtocolVersion::negotiate("1999-01-01"), ProtocolVersion::LATEST);
    }

    #[test]
    fn the_stateless_era_begins_with_2026_07_28() {
        assert_eq!(Era::of("2025-11-25"), Era::Session);
        assert_eq!(Era::of("2026-07-28"), Era::Stateless);
    }
}
