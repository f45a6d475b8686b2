//! The `external` world: a URL, and no more. Faults on the wire and load, no restarts.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use squall_model::mcp;
use squall_proxy::config::{BadUpstream, UpstreamAddress};

use super::{Front, WorldError};

/// What the external world is made of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalConfig {
    /// The MCP endpoint, such as `http://127.0.0.1:3000/mcp`.
    #[serde(deserialize_with = "crate::scalar::text")]
    pub(crate) url: Endpoint,
}

/// An endpoint: what a proxy can stand in front of, and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    upstream: UpstreamAddress,
    path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "`{text}` is no MCP endpoint that can be drilled: {why}; http://HOST:PORT/mcp or https://HOST:PORT/mcp was expected"
            )
        };
        let uri: http::Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it has a user in it"));
        }
        let scheme = uri.scheme_str().unwrap_or_default();
        let upstream = format!("{scheme}://{authority}").parse();
        let upstream = upstream.map_err(|error: BadUpstream| bad(error.why()))?;
        let path = match uri.path() {
            "" | "/" => mcp::ENDPOINT,
            path => path,
        };
        Ok(Self { upstream, path: path.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.upstream, self.path)
    }
}

/// A server of somebody else's.
#[derive(Debug)]
pub struct ExternalWorld(Endpoint);

impl ExternalWorld {
    pub(crate) fn new(config: &ExternalConfig) -> Self {
        Self(config.url.clone())
    }

    pub(super) fn front(&self) -> Front {
        Front {
            upstreams: vec![self.0.upstream.to_string()],
            replicas: Vec::new(),
            path: self.0.path.clone(),
        }
    }

    pub(super) fn cannot(&self, what: &'static str) -> WorldError {
        WorldError::Cannot { world: "external", what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_whose_path_is_mcp_where_it_names_none() {
        for (text, shown) in [
            ("http://127.0.0.1:3000/mcp", "http://127.0.0.1:3000/mcp"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/mcp"),
            ("http://tools.example/v1/mcp", "http://tools.example:80/v1/mcp"),
            ("https://tools.example/mcp", "https://tools.example:443/mcp"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn what_cannot_be_drilled_is_refused_with_a_reason() {
        for (text, why) in [
            ("ftp://tools.example/mcp", "https://"),
            ("127.0.0.1:3000", "http://"),
            ("http://a:b@tools.example/mcp", "user"),
            ("http://tools.example/mcp?x=1", "query"),
            ("", "URL"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
