//! JSON-RPC answers: written once, with the id exactly as it came.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// JSON-RPC 2.0, section 5.1: the body is not JSON.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// The body is JSON and no valid message.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// No such method.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// A method's parameters are wrong.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// The server failed by itself.
pub(crate) const INTERNAL_ERROR: i32 = -32603;
/// A resource that does not exist (server/resources, error handling).
pub(crate) const RESOURCE_NOT_FOUND: i32 = -32002;
/// A header that says something else than the body (2026-07-28, schema, `HeaderMismatchError`).
pub(crate) const HEADER_MISMATCH: i32 = -32020;
/// The client would have to be able to do something first (2026-07-28, schema).
pub(crate) const MISSING_CAPABILITY: i32 = -32021;
/// Another version of the protocol (2026-07-28, schema).
pub(crate) const UNSUPPORTED_VERSION: i32 = -32022;
/// The server's own: refused for what stands outside the message.
pub(crate) const SERVER_ERROR: i32 = -32000;
/// The server's own: the session is not known, as the TypeScript SDK numbers it.
pub(crate) const SESSION_NOT_FOUND: i32 = -32001;

/// The error of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, data: None }
    }

    /// With data for programs.
    pub(crate) fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }
}

#[derive(Serialize)]
struct Answer<'a, R> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

#[derive(Serialize)]
struct Notification<'a, P> {
    jsonrpc: &'static str,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a P>,
}

/// An answer to the request of that id.
pub(crate) fn answer<R: Serialize>(id: &RawValue, outcome: &Result<R, RpcError>) -> Bytes {
    write(&Answer {
        jsonrpc: "2.0",
        id: Some(id),
        result: outcome.as_ref().ok(),
        error: outcome.as_ref().err(),
    })
}

/// An error that answers the request of that id, or, with `null`, none that could be told.
pub(crate) fn error(id: Option<&RawValue>, error: &RpcError) -> Bytes {
    write(&Answer::<()> { jsonrpc: "2.0", id, result: None, error: Some(error) })
}

/// A message from the server that wants no answer.
pub(crate) fn notification<P: Serialize>(method: &'static str, params: &P) -> Bytes {
    write(&Notification { jsonrpc: "2.0", method, params: Some(params) })
}

/// The same, as a part of something larger, and with parameters or without.
pub(crate) fn raw_notification<P: Serialize>(
    method: &'static str,
    params: Option<&P>,
) -> Box<RawValue> {
    to_raw_value(&Notification { jsonrpc: "2.0", method, params }).unwrap_or_default()
}

/// A request from the server.
pub(crate) fn raw_request<P: Serialize>(id: &str, method: &str, params: &P) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Request<'a, P> {
        jsonrpc: &'static str,
        id: &'a str,
        method: &'a str,
        params: &'a P,
    }
    to_raw_value(&Request { jsonrpc: "2.0", id, method, params }).unwrap_or_default()
}

fn write<T: Serialize>(message: &T) -> Bytes {
    const UNWRITABLE: &[u8] =
        br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"unwritable answer"}}"#;
    let mut out = Vec::with_capacity(256);
    match serde_json::to_writer(&mut out, message) {
        Ok(()) => out.into(),
        Err(_) => Bytes::from_static(UNWRITABLE),
    }
}

/// Whether a request may carry this id: a string or a number (basic, requests: it is never null).
pub(crate) fn is_valid_id(id: &RawValue) -> bool {
    let first = id.get().bytes().next();
    first.is_some_and(|byte| byte == b'"' || byte == b'-' || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect(text)
    }

    #[test]
    fn an_answer_carries_the_id_as_it_was_written() {
        for id in ["7", "7.0", "\"\\u0037\"", "-1e3"] {
            let written = answer(&raw(id), &Ok([1]));
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":[1]}}"#);
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn an_error_without_a_request_answers_null() {
        let written = error(None, &RpcError::new(PARSE_ERROR, "x"));
        assert_eq!(written, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#);
    }

    #[test]
    fn ids_are_strings_or_numbers() {
        for (id, valid) in [
            ("1", true),
            ("\"\"", true),
            ("-1.5", true),
            ("null", false),
            ("true", false),
            ("[1]", false),
            ("{}", false),
        ] {
            assert_eq!(is_valid_id(&raw(id)), valid, "{id}");
        }
    }
}
