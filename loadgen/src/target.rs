//! Where the load goes: the URL of an MCP endpoint, parsed.

use std::fmt;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use squall_model::mcp::ENDPOINT;

/// An MCP endpoint that is reached over plain HTTP: `http://host[:port][/path]`.
///
/// The port is 80 and the path `/mcp` where the URL names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: Authority,
    path: PathAndQuery,
}

/// A text that is no target.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// TLS is not spoken yet.
    #[error("`{0}` wants TLS, which comes later: give an http:// URL")]
    Tls(String),
    /// Not an http URL at all.
    #[error("`{0}` is not a target: http://HOST[:PORT][/PATH] was expected")]
    NotHttp(String),
    /// Not a URL.
    #[error("`{url}` is not a URL: http://HOST[:PORT][/PATH] was expected")]
    NotAUrl {
        /// What was given.
        url: String,
        /// Why.
        #[source]
        source: http::uri::InvalidUri,
    },
}

impl Target {
    /// Host and port, as the `Host` header has them.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    /// The port, 80 where the URL names none.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(80)
    }

    /// The request line's target: path and query.
    pub(crate) fn uri(&self) -> Uri {
        self.path.clone().into()
    }

    /// The `Host` header.
    pub(crate) fn host_header(&self) -> HeaderValue {
        // An authority has no byte that a header's value could not have.
        HeaderValue::from_str(self.authority()).unwrap_or(HeaderValue::from_static(""))
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let named = || url.chars().take(200).collect::<String>();
        let uri: Uri = url.parse().map_err(|source| BadTarget::NotAUrl { url: named(), source })?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => return Err(BadTarget::Tls(named())),
            Some(scheme) if *scheme == Scheme::HTTP => {}
            _ => return Err(BadTarget::NotHttp(named())),
        }
        let parts = uri.into_parts();
        let authority = parts.authority.filter(is_reachable);
        let authority = authority.ok_or_else(|| BadTarget::NotHttp(named()))?;
        let says_path = url.trim_start_matches("http://").contains(['/', '?']);
        let path = parts.path_and_query.filter(|_| says_path);
        Ok(Self { authority, path: path.unwrap_or_else(|| PathAndQuery::from_static(ENDPOINT)) })
    }
}

/// User names have no place in a `Host` header, and a port that is written must be one.
fn is_reachable(authority: &Authority) -> bool {
    let bracket = authority.as_str().rfind(']').unwrap_or(0);
    let says_port = authority.as_str()[bracket..].contains(':');
    let port_is_sound = !says_port || authority.port_u16().is_some_and(|port| port > 0);
    !authority.host().is_empty() && !authority.as_str().contains('@') && port_is_sound
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_path() {
        for (url, host, port, path) in [
            ("http://localhost:8080/mcp", "localhost", 8080, "/mcp"),
            ("http://[::1]:81/a?b=c", "::1", 81, "/a?b=c"),
            ("http://example.org", "example.org", 80, "/mcp"),
            ("http://example.org/", "example.org", 80, "/"),
        ] {
            let target: Target = url.parse().expect(url);
            let found = (target.host(), target.port(), target.path());
            assert_eq!(found, (host, port, path), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused_with_advice() {
        for (url, says) in [
            ("https://example.org/mcp", "TLS, which comes later"),
            ("ftp://example.org", "http://HOST"),
            ("localhost:8080", "http://HOST"),
            ("/mcp", "http://HOST"),
            ("http://a:99999/", "http://HOST"),
            ("http://user@a/", "http://HOST"),
            ("http://", "http://HOST"),
            ("", "http://HOST"),
        ] {
            let error = url.parse::<Target>().expect_err(url).to_string();
            assert!(error.contains(says), "{url}: {error}");
        }
    }
}
