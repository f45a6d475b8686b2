//! Bearer tokens (basic/authorization): who has none, a wrong one or one that has expired gets 401, and where to
//! find out what is needed.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use ring::hmac;
use serde_json::{Value, json};
use squall_model::mcp::ENDPOINT;
use tokio::time::Instant;

use super::refusal::Refusal;
use crate::server::Server;

/// Where the server describes itself as a protected resource (RFC 9728, section 3.1).
pub(super) const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

/// Why a request is not let in (RFC 6750, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Missing,
    Invalid,
    Expired,
}

/// Lets a request in, if the server needs no token or it has a good one.
pub(super) fn check(server: &Server, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = &server.config.token else { return Ok(()) };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let denied = match given {
        None => Denied::Missing,
        Some(given) if !is_same(given, token) => Denied::Invalid,
        Some(_) if has_expired(server) => Denied::Expired,
        Some(_) => return Ok(()),
    };
    Err(Refusal::Denied { why: denied, resource: resource(headers) })
}

/// In a time that says nothing about where they differ.
fn is_same(given: &str, wanted: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, wanted.as_bytes());
    let tag = hmac::sign(&key, wanted.as_bytes());
    hmac::verify(&key, given.as_bytes(), tag.as_ref()).is_ok()
}

fn has_expired(server: &Server) -> bool {
    let lives = server.config.token_ttl;
    lives.is_some_and(|lives| Instant::now().saturating_duration_since(server.started) >= lives)
}

/// The URL of this server, as its client calls it.
fn resource(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte);
    let host = if host.bytes().all(is_plain) { host } else { "localhost" };
    format!("http://{host}")
}

/// The metadata of a protected resource (RFC 9728, section 2).
pub(super) fn metadata(server: &Server, headers: &HeaderMap) -> Value {
    json!({
        "resource": format!("{}{ENDPOINT}", resource(headers)),
        "authorization_servers": server.config.authorization_servers,
        "bearer_methods_supported": ["header"],
        "resource_name": "squall server",
    })
}

impl Denied {
    /// The challenge (RFC 6750, section 3; RFC 9728, section 5.1).
    pub(super) fn challenge(self, resource: &str) -> String {
        let metadata = format!(r#"Bearer resource_metadata="{resource}{METADATA}""#);
        match self {
            Self::Missing => metadata,
            Self::Invalid => {
                format!(r#"{metadata}, error="invalid_token", error_description="unknown token""#)
            }
            Self::Expired => {
                format!(r#"{metadata}, error="invalid_token", error_description="expired token""#)
            }
        }
    }
}
