//! Who may speak to the admin API: checked before anything else is read.
//!
//! A browser page anywhere can send requests to loopback, so `Host` and `Origin` are checked even
//! there: the one defeats DNS rebinding, the other forged requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Refusal, page};
use crate::config::AdminConfig;

/// The rules of one listener.
#[derive(Debug)]
pub(crate) struct Guard {
    address: SocketAddr,
    token: Option<String>,
    open: bool,
}

impl Guard {
    pub(crate) fn new(address: SocketAddr, config: AdminConfig) -> Self {
        Self { address, token: config.token, open: config.open }
    }

    /// The page's own files need no token: it asks for one.
    fn admit(&self, headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
        let host = only(headers, &HOST).unwrap_or_default();
        if !self.is_own(host) {
            let error =
                format!("`Host: {host}` is not this listener's: {} was expected", self.address);
            return Err(Refusal::new(StatusCode::FORBIDDEN, error));
        }
        if headers.contains_key(ORIGIN) && only(headers, &ORIGIN) != Some(&format!("http://{host}"))
        {
            let error = "requests of other origins are refused; call without `Origin`";
            return Err(Refusal::new(StatusCode::FORBIDDEN, error));
        }
        if !page::is_file(path) && !self.has_token(headers) {
            let error =
                "a token is needed: `Authorization: Bearer TOKEN` as given to --admin-token";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, error));
        }
        Ok(())
    }

    /// On loopback only loopback's names are ours. Elsewhere we cannot know all of our names, so
    /// any will do, and the token decides.
    fn is_own(&self, host: &str) -> bool {
        if !self.address.ip().is_loopback() {
            return self.open || self.token.is_some();
        }
        let Ok(authority) = host.parse::<http::uri::Authority>() else {
            return false;
        };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        is_loopback && authority.port_u16().unwrap_or(80) == self.address.port()
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = only(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '));
        given.is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case("bearer") && same(given.trim(), token)
        })
    }
}

/// Lets a request through, or answers it.
pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.admit(request.headers(), request.uri().path()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The header's value, if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Compares in a time that does not tell where the difference is.
fn same(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(guard: &Guard, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        guard.admit(&map, "/faults").err().map_or(200, |refusal| refusal.status.as_u16())
    }

    #[test]
    fn on_loopback_only_loopback_names_and_origins_are_ours() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8474));
        let guard = Guard { address, token: None, open: false };
        for (headers, status) in [
            (&[("host", "127.0.0.1:8474")][..], 200),
            (&[("host", "localhost:8474")], 200),
            (&[("host", "[::1]:8474")], 200),
            (&[("host", "localhost:8474"), ("origin", "http://localhost:8474")], 200),
            (&[], 403),
            (&[("host", "evil.example:8474")], 403),
            (&[("host", "localhost:1")], 403),
            (&[("host", "localhost:8474"), ("host", "localhost:8474")], 403),
            (&[("host", "localhost:8474"), ("origin", "http://evil.example")], 403),
            (&[("host", "localhost:8474"), ("origin", "null")], 403),
        ] {
            assert_eq!(admitted(&guard, headers), status, "{headers:?}");
        }
    }

    #[test]
    fn where_there_is_a_token_nobody_gets_in_without_it() {
        let address = SocketAddr::from(([10, 0, 0, 1], 8474));
        let guard = Guard { address, token: Some("s3cret".into()), open: false };
        for (value, status) in [
            ("Bearer s3cret", 200),
            ("bearer s3cret", 200),
            ("Bearer s3cre", 401),
            ("Bearer s3crets", 401),
            ("Basic s3cret", 401),
            ("s3cret", 401),
        ] {
            let headers = [("host", "proxy.internal"), ("authorization", value)];
            assert_eq!(admitted(&guard, &headers), status, "{value}");
        }
        assert_eq!(admitted(&guard, &[("host", "proxy.internal")]), 401);
    }
}
