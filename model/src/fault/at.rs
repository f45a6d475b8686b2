//! The moment an effect acts at, where it can act at several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verdict::Moment;

/// Where an effect that knows all three moments acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The whole connection, open ones too.
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
