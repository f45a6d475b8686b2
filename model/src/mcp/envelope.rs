//! The JSON-RPC envelope, peeked at and never re-serialised.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::operation::OperationId;

/// What a JSON-RPC message is (JSON-RPC 2.0, sections 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Has a method and an id: wants an answer.
    Request,
    /// Has a method and no id: wants none.
    Notification,
    /// Answers with a result.
    Response,
    /// Answers with an error.
    Error,
}

/// One message, as far as anyone but its receiver looks at it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// The id exactly as it was written: `7`, `"7"` and `7.0` differ.
    pub id: Option<&'a RawValue>,
    /// The method, of a request or a notification.
    pub method: Option<Cow<'a, str>>,
    /// The parameters as they were written, for their receiver.
    pub params: Option<&'a RawValue>,
    /// `params.name`, or else `params.uri`: the tool, prompt or resource.
    pub name: Option<Cow<'a, str>>,
    /// `params.protocolVersion`: what `initialize` asks for.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `params._meta["io.modelcontextprotocol/protocolVersion"]`: what a request of the stateless era
    /// speaks.
    pub meta_version: Option<Cow<'a, str>>,
    /// What the client says of itself: `params.clientInfo` of an `initialize`, or
    /// `params._meta["io.modelcontextprotocol/clientInfo"]` of any request of the stateless era. See
    /// [`Message::client`].
    pub client_info: Option<&'a RawValue>,
    /// The trace id of `params._meta.traceparent`.
    pub operation: Option<OperationId>,
    /// The result of a response, or the object of an error, as it was written.
    pub answer: Option<&'a RawValue>,
    /// The error's code, of an error.
    pub error_code: Option<i64>,
}

/// A body of one message, or a batch of several (2025-03-26 only).
#[derive(Clone, Debug)]
pub enum Envelope<'a> {
    /// One message.
    Single(Message<'a>),
    /// Several messages, or none at all, which is invalid.
    Batch(Vec<Message<'a>>),
}

/// A body that is not JSON-RPC.
#[derive(Debug, thiserror::Error)]
pub enum PeekError {
    /// Not even JSON: JSON-RPC code -32700.
    #[error("the body is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but no message: JSON-RPC code -32600.
    #[error("the body is not a JSON-RPC message")]
    NotJsonRpc(#[source] serde_json::Error),
    /// An object that is no kind of message: JSON-RPC code -32600.
    #[error("the message has neither a method nor a result nor an error, or has more than one")]
    NoKind,
    /// Another version: JSON-RPC code -32600.
    #[error("`jsonrpc` must be \"2.0\"")]
    NotVersion2,
}

impl<'a> Envelope<'a> {
    /// Reads the outline of a body. Nesting depth and keys in any order are no matter; time and
    /// memory are linear in the body.
    pub fn peek(body: &'a [u8]) -> Result<Self, PeekError> {
        let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if is_batch {
            let raw: Vec<&RawValue> = serde_json::from_slice(body).map_err(PeekError::NotJson)?;
            raw.into_iter().map(Message::peek).collect::<Result<_, _>>().map(Self::Batch)
        } else {
            let outline = serde_json::from_slice(body);
            let outline = outline.map_err(|error| PeekError::of(body, error))?;
            Message::outlined(outline).map(Self::Single)
        }
    }

    /// The messages, however many.
    pub fn messages(&self) -> &[Message<'a>] {
        match self {
            Self::Single(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }
}

impl PeekError {
    /// Tells what is no JSON from what is no message, also where it is neither.
    fn of(body: &[u8], error: serde_json::Error) -> Self {
        match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => Self::NotJsonRpc(error),
            Err(error) => Self::NotJson(error),
        }
    }
}

/// A text, borrowed where nothing in it is escaped. (An `Option<Cow<str>>` is never borrowed.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Text<'a> {
    fn of(text: Option<Self>) -> Option<Cow<'a, str>> {
        text.map(|Self(text)| text)
    }
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absent: `"result": null` is a result.
fn present<'de, D: serde::Deserializer<'de>>(raw: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(raw).map(Some)
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    uri: Option<Text<'a>>,
    #[serde(borrow, default, rename = "protocolVersion")]
    protocol_version: Option<Text<'a>>,
    #[serde(borrow, default, rename = "clientInfo")]
    client_info: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    traceparent: Option<Text<'a>>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<Text<'a>>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    client_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Implementation<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ErrorOutline {
    code: i64,
}

impl<'a> Message<'a> {
    /// Name and version of the client, where it says them.
    pub fn client(&self) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
        let Implementation { name, version } =
            serde_json::from_str(self.client_info?.get()).ok()?;
        Some((name, version))
    }

    /// Reads the outline of one message.
    pub fn peek(raw: &'a RawValue) -> Result<Self, PeekError> {
        Self::outlined(serde_json::from_str(raw.get()).map_err(PeekError::NotJsonRpc)?)
    }

    fn outlined(outline: Outline<'a>) -> Result<Self, PeekError> {
        if outline.jsonrpc.is_none_or(|version| version.0 != "2.0") {
            return Err(PeekError::NotVersion2);
        }
        let kind = match (&outline.method, outline.result, outline.error) {
            (Some(_), None, None) if outline.id.is_some() => Kind::Request,
            (Some(_), None, None) => Kind::Notification,
            (None, Some(_), None) => Kind::Response,
            (None, None, Some(_)) => Kind::Error,
            _ => return Err(PeekError::NoKind),
        };
        // Parameters of another shape are the receiver's business, not ours.
        let params: Params<'a> =
            outline.params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let meta: Option<Meta<'a>> =
            params.meta.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let (traceparent, meta_version, meta_client) = meta.map_or((None, None, None), |meta| {
            (meta.traceparent, Text::of(meta.protocol_version), meta.client_info)
        });
        let error: Option<ErrorOutline> =
            outline.error.and_then(|raw| serde_json::from_str(raw.get()).ok());
        Ok(Self {
            kind,
            id: outline.id,
            method: Text::of(outline.method),
            params: outline.params,
            name: Text::of(params.name.or(params.uri)),
            protocol_version: Text::of(params.protocol_version),
            meta_version,
            client_info: params.client_info.or(meta_client),
            operation: traceparent.and_then(|text| OperationId::from_traceparent(&text.0)),
            answer: outline.result.or(outline.error),
            error_code: error.map(|error| error.code),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(body: &str) -> Message<'_> {
        match Envelope::peek(body.as_bytes()).expect(body) {
            Envelope::Single(message) => message,
            Envelope::Batch(_) => panic!("a batch: {body}"),
        }
    }

    #[test]
    fn the_four_kinds_are_told_apart() {
        for (body, kind) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Kind::Request),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Kind::Notification),
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, Kind::Response),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":""}}"#, Kind::Error),
        ] {
            assert_eq!(peek(body).kind, kind, "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_no_message() {
        for body in ["", "{", r#"{"jsonrpc":5,"#, r#"{"jsonrpc":"2.0"} x"#, "\u{0}"] {
            let error = Envelope::peek(body.as_bytes()).expect_err(body);
            assert!(matches!(error, PeekError::NotJson(_)), "{body}: {error:?}");
        }
        for body in ["7", "null", r#"{"jsonrpc":5}"#, r#"[{"method":[]}]"#] {
            let error = Envelope::peek(body.as_bytes()).expect_err(body);
            assert!(matches!(error, PeekError::NotJsonRpc(_)), "{body}: {error:?}");
        }
    }

    #[test]
    fn keys_come_in_any_order_and_the_id_is_kept_as_written() {
        let body = r#"{"params":{"arguments":{"name":"no"},"name":"fast-echo"},"method":"tools\/call","id":"7","jsonrpc":"2.0"}"#;
        let message = peek(body);
        assert_eq!(message.method.as_deref(), Some("tools/call"));
        assert_eq!(message.name.as_deref(), Some("fast-echo"));
        assert_eq!(message.id.map(RawValue::get), Some("\"7\""));
        let params = r#"{"arguments":{"name":"no"},"name":"fast-echo"}"#;
        assert_eq!(message.params.map(RawValue::get), Some(params));
    }

    #[test]
    fn the_operation_id_is_read_from_meta() {
        let trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{{"traceparent":"{trace}"}}}}}}"#
        );
        let id = peek(&body).operation.map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn the_version_of_the_stateless_era_is_read_from_meta() {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(peek(body).meta_version.as_deref(), Some("2026-07-28"));
    }

    #[test]
    fn the_client_is_read_from_initialize_and_from_meta() {
        let info = r#"{"name":"inspector","title":"x","version":"1.2"}"#;
        for params in [
            format!(r#"{{"clientInfo":{info}}}"#),
            format!(r#"{{"_meta":{{"io.modelcontextprotocol/clientInfo":{info}}}}}"#),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{params}}}"#);
            let client = peek(&body).client();
            assert_eq!(client, Some(("inspector".into(), "1.2".into())), "{body}");
        }
    }

    #[test]
    fn parameters_of_an_unexpected_shape_do_not_matter() {
        for params in
            ["[1,2]", "null", "7", r#"{"name":7}"#, r#"{"_meta":"x"}"#, r#"{"clientInfo":7}"#]
        {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{params}}}"#);
            assert_eq!(peek(&body).kind, Kind::Request, "{body}");
        }
    }

    #[test]
    fn a_batch_is_read_message_by_message() {
        let body = br#" [{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]"#;
        let envelope = Envelope::peek(body).expect("a batch");
        let kinds: Vec<_> = envelope.messages().iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [Kind::Request, Kind::Notification]);
    }

    #[test]
    fn what_is_not_json_rpc_is_refused() {
        for body in [
            "",
            "{",
            "nonsense",
            "7",
            "{}",
            r#"{"id":1,"method":"x"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#,
            "[1]",
            "\u{feff}{}",
        ] {
            assert!(Envelope::peek(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Envelope::peek(b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_hundred_thousand_levels_of_nesting_do_no_harm() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"{{"jsonrpc":"2.0","id":{deep},"method":"x","params":{deep}}}"#);
        assert_eq!(peek(&body).kind, Kind::Request);
        assert!(Envelope::peek(deep.as_bytes()).is_err());
    }
}
