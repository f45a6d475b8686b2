//! The state of a request that asks its client something: it travels through the client, who must not be
//! able to change it, keep it for long, or use it elsewhere (2026-07-28, basic/patterns/mrtr, server
//! requirements).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a client may take to come back.
const VALID_FOR: Duration = Duration::from_secs(10 * 60);
/// Bytes of a state; a longer one is not ours.
const LONGEST: usize = 64 * 1024;

/// Seals states with a key that all replicas share.
pub(crate) struct Seal {
    key: hmac::Key,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// The request that it belongs to.
    request: String,
    /// Seconds since the epoch.
    expires: u64,
    state: Value,
}

/// A state that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error(
        "`requestState` is not one that this server gave out, or was altered: repeat it exactly"
    )]
    Broken,
    #[error("`requestState` belongs to another request: repeat the one that it was given for")]
    Elsewhere,
    #[error("`requestState` has expired: begin anew, without it")]
    Expired,
}

impl Seal {
    /// With the key that this secret gives.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let key = digest::digest(&digest::SHA256, secret);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()) }
    }

    /// Seals a state that belongs to the request of that digest.
    pub(crate) fn close(&self, request: &str, state: &Value) -> String {
        self.close_at(request, state, now())
    }

    /// Opens a seal, if it is unbroken and belongs to that request.
    pub(crate) fn open(&self, request: &str, sealed: &str) -> Result<Value, SealError> {
        self.open_at(request, sealed, now())
    }

    fn close_at(&self, request: &str, state: &Value, now: u64) -> String {
        let request = request.to_owned();
        let sealed = Sealed { request, expires: now + VALID_FOR.as_secs(), state: state.clone() };
        let payload = serde_json::to_vec(&sealed).unwrap_or_default();
        let tag = hmac::sign(&self.key, &payload);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&payload), URL_SAFE_NO_PAD.encode(tag))
    }

    fn open_at(&self, request: &str, text: &str, now: u64) -> Result<Value, SealError> {
        let (payload, tag) = split(text).ok_or(SealError::Broken)?;
        hmac::verify(&self.key, &payload, &tag).map_err(|_| SealError::Broken)?;
        let sealed: Sealed = serde_json::from_slice(&payload).map_err(|_| SealError::Broken)?;
        match sealed {
            Sealed { request: own, .. } if own != request => Err(SealError::Elsewhere),
            Sealed { expires, .. } if expires <= now => Err(SealError::Expired),
            Sealed { state, .. } => Ok(state),
        }
    }
}

fn split(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (payload, tag) = text.split_once('.').filter(|_| text.len() <= LONGEST)?;
    Some((URL_SAFE_NO_PAD.decode(payload).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?))
}

/// What tells a request from others: its method, and what it is called with.
pub(crate) fn digest_of(method: &str, name: &str, arguments: &Value) -> String {
    let text = serde_json::json!([method, name, arguments]).to_string();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_comes_back_as_it_was_from_any_server_of_one_key() {
        let state = json!({ "step": 2 });
        let sealed = Seal::new(b"key").close("request", &state);
        assert_eq!(Seal::new(b"key").open("request", &sealed), Ok(state));
        assert_eq!(Seal::new(b"other").open("request", &sealed), Err(SealError::Broken));
    }

    #[test]
    fn whatever_is_altered_of_a_state_breaks_its_seal() {
        let seal = Seal::new(b"key");
        let sealed = seal.close("request", &json!({ "step": 2 }));
        for index in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("ASCII");
            // The last character of Base64 may have bits that say nothing.
            let outcome = seal.open("request", &altered);
            assert!(outcome.is_err() || outcome == Ok(json!({ "step": 2 })), "{altered}");
        }
        for text in ["", ".", "a.b", &"x".repeat(LONGEST + 1)] {
            assert_eq!(seal.open("request", text), Err(SealError::Broken), "{text}");
        }
    }

    #[test]
    fn a_state_is_of_no_use_elsewhere_or_too_late() {
        let seal = Seal::new(b"key");
        let sealed = seal.close_at("request", &Value::Null, 0);
        assert_eq!(seal.open_at("another", &sealed, 0), Err(SealError::Elsewhere));
        let last = VALID_FOR.as_secs() - 1;
        assert_eq!(seal.open_at("request", &sealed, last), Ok(Value::Null));
        assert_eq!(seal.open_at("request", &sealed, last + 1), Err(SealError::Expired));
    }

    #[test]
    fn requests_that_differ_have_other_digests() {
        let of = |name, arguments| digest_of("tools/call", name, &arguments);
        assert_eq!(of("a", json!({ "x": 1, "y": 2 })), of("a", json!({ "y": 2, "x": 1 })));
        assert_ne!(of("a", json!({ "x": 1 })), of("a", json!({ "x": 2 })));
        assert_ne!(of("a", json!({})), of("b", json!({})));
    }
}
