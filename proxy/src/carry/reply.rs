//! The answers that the proxy makes itself.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;
use squall_model::mcp::header;
use squall_model::verdict::{Reply, ReplyBody};

use crate::classify::Exchange;
use crate::stream::Body;

/// What a server answers that does not know a session
/// (MCP 2025-11-25, basic/transports, session management); with another status than 404, what one
/// answers that does not know better.
pub(crate) fn session_not_found(exchange: &Exchange, status: StatusCode) -> Response<Body> {
    let message = "Session not found: start a new one with initialize";
    let mut response = Response::new(Body::from(jsonrpc_error(exchange, -32001, message, None)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(header::JSON));
    response
}

/// The answer that a fault makes.
pub(super) fn reply(reply: &Reply, exchange: &Exchange) -> Response<Body> {
    let body = match &reply.body {
        ReplyBody::Text(text) => text.clone(),
        ReplyBody::JsonRpcError { code, message, data } => {
            jsonrpc_error(exchange, *code, message, data.as_ref())
        }
        ReplyBody::UnsupportedVersion { supported } => {
            let mut data = json!({ "supported": supported });
            if let Some(asked) = exchange.headers.text(&header::PROTOCOL_VERSION) {
                data["requested"] = asked.into();
            }
            jsonrpc_error(exchange, -32022, "Unsupported protocol version", Some(&data))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = reply.status;
    for (name, value) in &reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A JSON-RPC error for each request of the exchange, with the ids as they were written.
fn jsonrpc_error(
    exchange: &Exchange,
    code: i64,
    message: &str,
    data: Option<&serde_json::Value>,
) -> String {
    let error = |id: Option<&str>| {
        let mut error = json!({ "code": code, "message": message });
        if let Some(data) = data {
            error["data"] = data.clone();
        }
        let id = id.unwrap_or("null");
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    };
    if exchange.is_batch {
        let errors: Vec<_> = exchange.ids.iter().map(|id| error(Some(id))).collect();
        format!("[{}]", errors.join(","))
    } else {
        error(exchange.ids.first().map(AsRef::as_ref))
    }
}
