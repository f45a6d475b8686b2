//! The moment an effect acts at, where it can act at several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verdict::Moment;

/// Where an effect that knows all three moments acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The whole connection, open ones too, once.
    Connection,
    /// One HTTP request, or its answer.
    #[default]
    Exchange,
    /// Each JSON-RPC message to the client.
    Message,
}

impl At {
    /// The same as a [`Moment`].
    pub fn moment(self) -> Moment {
        match self {
            Self::Connection => Moment::Connection,
            Self::Exchange => Moment::Exchange,
            Self::Message => Moment::Message,
        }
    }
}

/// Where an effect acts that has nothing to do with a connection as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Within {
    /// One HTTP request, or its answer.
    #[default]
    Exchange,
    /// Each JSON-RPC message to the client.
    Message,
}

impl Within {
    /// The same as a [`Moment`].
    pub fn moment(self) -> Moment {
        match self {
            Self::Exchange => Moment::Exchange,
            Self::Message => Moment::Message,
        }
    }
}

/// Where a latency acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyAt {
    /// The whole connection, once: when it is made, or when the fault is added.
    Connection,
    /// Everything that a connection carries: each chunk, in both directions or one.
    Wire,
    /// One HTTP request, or its answer.
    #[default]
    Exchange,
    /// Each JSON-RPC message to the client.
    Message,
}

/// Which way bytes flow over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
    /// Both ways.
    #[default]
    Both,
}

impl Flow {
    /// Whether it goes up, or both ways.
    pub fn is_up(self) -> bool {
        self != Self::Down
    }

    /// Whether it goes down, or both ways.
    pub fn is_down(self) -> bool {
        self != Self::Up
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(super) fn is_both(&self) -> bool {
        *self == Self::Both
    }
}
