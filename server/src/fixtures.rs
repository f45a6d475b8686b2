//! What the public conformance suite expects of a server (npm, `@modelcontextprotocol/conformance`): tools,
//! resources and prompts of fixed names and outputs. They are there with `--fixtures` only, beside the
//! server's own.

mod prompts;
mod tools;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::content::{Body, Contents};
use crate::server::Catalog;

pub(crate) use prompts::{Filling, FixturePrompt};
pub(crate) use tools::FixtureTool;

/// One red pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// Two samples of silence.
const WAV: &str = "UklGRigAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQQAAAAAAAAA";

const STATIC_TEXT: &str = "test://static-text";
const STATIC_BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
const TEMPLATE: &str = "test://template/{id}/data";

/// Adds what there is to what the lists show. The tools come first, because the suite calls the first of
/// them without arguments.
pub(crate) fn add_to(catalog: &mut Catalog) {
    let tools = FixtureTool::ALL.into_iter().map(|tool| raw(&tool.definition()));
    catalog.tools.splice(..0, tools);
    let prompts = FixturePrompt::ALL.into_iter();
    catalog
        .prompts
        .extend(prompts.map(|prompt| to_raw_value(&prompt.definition()).unwrap_or_default()));
    let resources = [
        (STATIC_TEXT, "static-text", "A text that never changes", "text/plain"),
        (STATIC_BINARY, "static-binary", "A picture that never changes", "image/png"),
        (WATCHED, "watched-resource", "A resource to subscribe to", "text/plain"),
    ];
    catalog.resources.extend(resources.map(|(uri, name, description, mime_type)| {
        raw(&json!({ "uri": uri, "name": name, "description": description, "mimeType": mime_type }))
    }));
    catalog.templates.push(raw(&json!({
        "uriTemplate": TEMPLATE,
        "name": "template",
        "description": "Data of any id",
        "mimeType": "application/json",
    })));
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_default()
}

/// What the resource of that URI holds, if there is one.
pub(crate) fn read(uri: &str) -> Option<Contents> {
    match uri {
        STATIC_TEXT => {
            let text = "This is the content of the static text resource.";
            Some(Contents::text(uri, "text/plain", text))
        }
        STATIC_BINARY => {
            Some(Contents { uri: uri.to_owned(), mime_type: "image/png", body: Body::Blob(PNG) })
        }
        WATCHED => Some(Contents::text(uri, "text/plain", "Watched resource content.")),
        _ => {
            let id = id_of(uri)?;
            let text = json!({
                "id": id,
                "templateTest": true,
                "data": format!("Data for ID: {id}"),
            });
            Some(Contents::text(uri, "application/json", text.to_string()))
        }
    }
}

pub(crate) fn exists(uri: &str) -> bool {
    read(uri).is_some()
}

/// Whether that is the template, and that its variable.
pub(crate) fn has_variable(uri: &str, argument: &str) -> bool {
    uri == TEMPLATE && argument == "id"
}

fn id_of(uri: &str) -> Option<&str> {
    let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
    (!id.is_empty() && id.len() <= 64 && !id.contains('/')).then_some(id)
}
