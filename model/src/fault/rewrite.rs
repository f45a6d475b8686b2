//! Rewrite: fields of a message are set or removed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Act;
use crate::chance::Draw;
use crate::scope::Subject;
use crate::verdict::{Alteration, MessageVerdict, Moment, PointerEdit, Verdict};

/// Sets and removes fields of a message on its way to the client, or, with `direction: request`, of what
/// the client sends: a result, an error, the parameters of a notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Unchecked")]
#[schemars(!try_from, deny_unknown_fields)]
pub struct Rewrite {
    /// What is set, by RFC 6901 pointer: `/result/content/0/text: "nonsense"`. What holds it has to be
    /// there already.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub set: BTreeMap<String, Value>,
    /// What is removed, by RFC 6901 pointer: `/result/structuredContent`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub remove: Vec<String>,
}

impl Act for Rewrite {
    fn moment(&self) -> Moment {
        Moment::Message
    }

    fn is_one_way(&self) -> bool {
        false
    }

    fn applies_to(&self, subject: &Subject<'_>) -> bool {
        !subject.messages.is_empty()
    }

    fn decide(&self, _: &mut Draw) -> Verdict {
        let set = self.set.iter().map(|(pointer, value)| (pointer, Some(value.clone())));
        let remove = self.remove.iter().map(|pointer| (pointer, None));
        let edit = |(pointer, value): (&String, _)| PointerEdit { pointer: pointer.clone(), value };
        let edits = set.chain(remove).map(edit).collect();
        Verdict::Message(MessageVerdict::Alter(Alteration::Edit(edits)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
}

/// A rewriting that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum BadRewrite {
    /// Nothing is said.
    #[error("there is nothing to rewrite: `set` or `remove` was expected")]
    Nothing,
    /// Not a pointer.
    #[error("`{0}` is not a pointer into a message: /result/… was expected (RFC 6901)")]
    NotAPointer(String),
}

impl TryFrom<Unchecked> for Rewrite {
    type Error = BadRewrite;

    fn try_from(Unchecked { set, remove }: Unchecked) -> Result<Self, Self::Error> {
        if set.is_empty() && remove.is_empty() {
            return Err(BadRewrite::Nothing);
        }
        match set.keys().chain(&remove).find(|pointer| !pointer.starts_with('/')) {
            Some(pointer) => Err(BadRewrite::NotAPointer(pointer.clone())),
            None => Ok(Self { set, remove }),
        }
    }
}
