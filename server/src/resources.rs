//! THE list of resources (server/resources): three, and a template for any number more.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::content::Contents;
use crate::fixtures;
use crate::server::Server;

/// A resource of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Static,
    Dynamic,
    Large,
}

/// Bytes of `app://large-data`.
const LARGE: usize = 100 * 1024;
/// The template, and what stands before its one variable.
pub(crate) const ITEM_TEMPLATE: &str = "app://items/{id}";
const ITEM_PREFIX: &str = "app://items/";
/// Characters of an item's id.
const LONGEST_ID: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_template: Option<&'static str>,
    name: &'static str,
    description: &'static str,
    mime_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
}

impl Resource {
    pub(crate) const ALL: [Self; 3] = [Self::Static, Self::Dynamic, Self::Large];

    pub(crate) fn uri(self) -> &'static str {
        match self {
            Self::Static => "app://static-data",
            Self::Dynamic => "app://dynamic-data",
            Self::Large => "app://large-data",
        }
    }

    fn definition(self) -> Definition {
        let (name, description, size) = match self {
            Self::Static => ("static-data", "Says the same whenever it is read", None),
            Self::Dynamic => ("dynamic-data", "Says something else whenever it is read", None),
            Self::Large => ("large-data", "100 KB of text", Some(LARGE)),
        };
        Definition {
            uri: Some(self.uri()),
            uri_template: None,
            name,
            description,
            mime_type: self.mime_type(),
            size,
        }
    }

    fn mime_type(self) -> &'static str {
        match self {
            Self::Static | Self::Dynamic => "application/json",
            Self::Large => "text/plain",
        }
    }

    fn read(self, server: &Server) -> Contents {
        let text = match self {
            Self::Static => json!({ "kind": "static", "version": 1 }).to_string(),
            Self::Dynamic => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                json!({
                    "kind": "dynamic",
                    "server_id": server.config.id,
                    "time_ms": since_epoch.as_millis() as u64,
                    "requests": server.stats.requests.value(),
                })
                .to_string()
            }
            Self::Large => {
                "0123456789abcdefghijklmnopqrstuvwxyz\n".chars().cycle().take(LARGE).collect()
            }
        };
        Contents::text(self.uri(), self.mime_type(), text)
    }
}

/// The resources as `resources/list` shows them.
pub(crate) fn definitions() -> Vec<Box<RawValue>> {
    let raw = |resource: Resource| to_raw_value(&resource.definition()).unwrap_or_default();
    Resource::ALL.into_iter().map(raw).collect()
}

/// The templates as `resources/templates/list` shows them.
pub(crate) fn templates() -> Vec<Box<RawValue>> {
    let item = Definition {
        uri: None,
        uri_template: Some(ITEM_TEMPLATE),
        name: "item",
        description: "An item of any id: letters, digits, `-` and `_`",
        mime_type: "application/json",
        size: None,
    };
    vec![to_raw_value(&item).unwrap_or_default()]
}

/// What the resource of that URI holds, if there is one.
pub(crate) fn read(server: &Server, uri: &str) -> Option<Contents> {
    if let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.uri() == uri) {
        return Some(resource.read(server));
    }
    if let Some(id) = item(uri) {
        let text = json!({ "kind": "item", "id": id }).to_string();
        return Some(Contents::text(uri, "application/json", text));
    }
    server.config.fixtures.then(|| fixtures::read(uri)).flatten()
}

/// Whether there is such a resource to subscribe to.
pub(crate) fn exists(server: &Server, uri: &str) -> bool {
    Resource::ALL.into_iter().any(|resource| resource.uri() == uri)
        || item(uri).is_some()
        || (server.config.fixtures && fixtures::exists(uri))
}

fn item(uri: &str) -> Option<&str> {
    let id = uri.strip_prefix(ITEM_PREFIX)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_a_plain_id() {
        for (uri, id) in [
            ("app://items/7", Some("7")),
            ("app://items/a-B_9", Some("a-B_9")),
            ("app://items/", None),
            ("app://items/a/b", None),
            ("app://items/%41", None),
            ("app://item/7", None),
        ] {
            assert_eq!(item(uri), id, "{uri}");
        }
        assert_eq!(item(&format!("app://items/{}", "x".repeat(65))), None);
    }
}
