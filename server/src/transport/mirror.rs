//! Headers that say what the body says, too (2026-07-28, basic/transports/streamable-http, request
//! metadata), and are held against it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::header::{METHOD, NAME, PROTOCOL_VERSION};

use crate::fixtures::FixtureTool;
use crate::methods::clip;

/// A header that does not say what the body says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("the header {0} is missing: the body says `{1}`")]
    Missing(String, String),
    #[error("the header {0} is there more than once: send it once")]
    Repeated(String),
    #[error(
        "the header {0} holds what no header may: visible ASCII, or UTF-8 as =?base64?...?=, was \
         expected"
    )]
    Unreadable(String),
    #[error(
        "the header {header} says `{found}`, and the body `{expected}`: both must say the same"
    )]
    Differs { header: String, found: String, expected: String },
}

/// The version that the header names, if there is one.
pub(super) fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get(PROTOCOL_VERSION)?.to_str().ok()
}

/// Holds `MCP-Protocol-Version` against what the body says.
pub(super) fn check_version(headers: &HeaderMap, body: &str) -> Result<(), Mismatch> {
    expect(headers, &PROTOCOL_VERSION, body, literal)
}

/// Holds the other headers of a request against its body.
pub(super) fn check(headers: &HeaderMap, message: &Message<'_>) -> Result<(), Mismatch> {
    let method = message.method.as_deref().unwrap_or_default();
    expect(headers, &METHOD, method, literal)?;
    if !matches!(method, "tools/call" | "prompts/get" | "resources/read") {
        return Ok(());
    }
    // Without a name, the body is wrong, which its receiver says.
    let Some(name) = message.name.as_deref() else { return Ok(()) };
    expect(headers, &NAME, name, decode)?;
    match FixtureTool::named(name).filter(|_| method == "tools/call") {
        Some(tool) => check_parameter(headers, tool, message.params),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    arguments: Value,
}

fn check_parameter(
    headers: &HeaderMap,
    tool: FixtureTool,
    params: Option<&RawValue>,
) -> Result<(), Mismatch> {
    let Some((argument, header)) = tool.mirrored() else { return Ok(()) };
    let params: Option<Params> = params.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let value = params.map(|params| params.arguments[argument].clone()).unwrap_or_default();
    let header = HeaderName::from_static(header);
    match value {
        Value::String(text) => expect(headers, &header, &text, decode),
        _ => Ok(()),
    }
}

fn expect(
    headers: &HeaderMap,
    name: &HeaderName,
    body: &str,
    read: fn(&HeaderValue) -> Option<Cow<'_, str>>,
) -> Result<(), Mismatch> {
    let mut values = headers.get_all(name).into_iter();
    let Some(value) = values.next() else {
        return Err(Mismatch::Missing(name.to_string(), clip(body)));
    };
    if values.next().is_some() {
        return Err(Mismatch::Repeated(name.to_string()));
    }
    let found = read(value).ok_or_else(|| Mismatch::Unreadable(name.to_string()))?;
    if found == body {
        return Ok(());
    }
    let (found, expected) = (clip(&found), clip(body));
    Err(Mismatch::Differs { header: name.to_string(), found, expected })
}

fn literal(value: &HeaderValue) -> Option<Cow<'_, str>> {
    value.to_str().ok().map(Cow::Borrowed)
}

/// A value as it was before it was made fit for a header (value encoding).
fn decode(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = value.to_str().ok()?;
    let encoded = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Option<String> {
        let value = HeaderValue::from_bytes(text.as_bytes()).expect(text);
        decode(&value).map(Cow::into_owned)
    }

    #[test]
    fn values_are_decoded_where_they_are_encoded_and_taken_as_they_are_where_not() {
        for (text, expected) in [
            ("us-west1", Some("us-west1")),
            ("=?base64?SGVsbG8=?=", Some("Hello")),
            ("=?base64?SGVsbG8sIOS4lueVjA==?=", Some("Hello, \u{4e16}\u{754c}")),
            ("=?base64?SGVsbG8=", Some("=?base64?SGVsbG8=")),
            ("SGVsbG8=", Some("SGVsbG8=")),
            ("=?BASE64?SGVsbG8=?=", Some("=?BASE64?SGVsbG8=?=")),
            ("=?base64?SGVsbG8?=", None),
            ("=?base64?SGVs!!!bG8=?=", None),
            ("=?base64?/w==?=", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
