//! What a proxy needs to know before it can run.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use squall_model::chance::Seed;
use squall_model::fault::Fault;

/// How much of a JSON body is held back until it is classified, in bytes.
pub const CLASSIFY_LIMIT: usize = 64 * 1024;

/// A proxy, ready to be bound.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The replicas behind it. Without one it does not listen there, and has TCP routes at most.
    pub upstreams: Vec<UpstreamAddress>,
    /// TCP routes that are there from the start.
    pub tcp: Vec<TcpRoute>,
    /// The admin API, if any.
    pub admin: Option<AdminConfig>,
    /// Faults that are live from the start.
    pub faults: Vec<Fault>,
    /// What all decisions are drawn from.
    pub seed: Seed,
    /// How many threads carry traffic, each with its own runtime and listener.
    pub threads: usize,
    /// Where the faults are kept, so that they survive a restart.
    pub state: Option<PathBuf>,
    /// Where every injection is appended, as history records.
    pub history: Option<PathBuf>,
}

/// The admin API's listener and who may speak to it.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token that every request must carry, if any.
    pub token: Option<String>,
    /// Whether an address beyond loopback is allowed without a token.
    pub open: bool,
}

/// Where a replica listens: the host and port of an `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    host: String,
    port: u16,
}

impl UpstreamAddress {
    /// Host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A route for what is not HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRoute {
    name: String,
    listen: String,
    upstream: String,
    enabled: bool,
}

impl TcpRoute {
    /// A route of this name, from `HOST:PORT` to `HOST:PORT`; port 0 takes a free one to listen on.
    pub fn new(name: &str, listen: &str, upstream: &str, enabled: bool) -> Result<Self, BadRoute> {
        let is_name = (1..=200).contains(&name.len()) && !name.chars().any(char::is_control);
        if !is_name {
            return Err(BadRoute::Name(name.chars().take(80).collect()));
        }
        for address in [listen, upstream] {
            let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(_))) {
                return Err(BadRoute::Address(address.chars().take(80).collect()));
            }
        }
        let owned = str::to_owned;
        Ok(Self { name: owned(name), listen: owned(listen), upstream: owned(upstream), enabled })
    }

    /// Its name, which faults match.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// What is behind it.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Whether it listens from the start.
    pub fn enabled(&self) -> bool {
        self.enabled
    }
}

/// What is no route.
#[derive(Debug, thiserror::Error)]
pub enum BadRoute {
    /// Its name cannot be one.
    #[error("`{0}` cannot name a route: 1 to 200 bytes without control characters were expected")]
    Name(String),
    /// It leads from or to nowhere.
    #[error("`{0}` is no address: HOST:PORT was expected")]
    Address(String),
    /// It is not written as one.
    #[error(
        "`{0}` is no route: NAME=HOST:PORT/HOST:PORT was expected, such as redis=127.0.0.1:6380/127.0.0.1:6379"
    )]
    Form(String),
}

impl FromStr for TcpRoute {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadRoute::Form(text.chars().take(80).collect());
        let (name, way) = text.split_once('=').ok_or_else(bad)?;
        let (listen, upstream) = way.split_once('/').ok_or_else(bad)?;
        Self::new(name, listen, upstream, true)
    }
}

/// A text that is no upstream.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not an upstream: {why}; http://HOST:PORT was expected")]
pub struct BadUpstream {
    found: String,
    why: &'static str,
}

impl BadUpstream {
    /// What is wrong with it, without the text itself.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl FromStr for UpstreamAddress {
    type Err = BadUpstream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why| BadUpstream { found: text.to_owned(), why };
        let uri: http::Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(bad("TLS is not spoken to upstreams yet")),
            _ => return Err(bad("it does not begin with http://")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("it has a path, and paths are passed on as the client sends them"));
        }
        let port = port(&uri).ok_or_else(|| bad("its port is not 1 to 65535"))?;
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port })
    }
}

/// The port, 80 where none is given; `None` where it is not one.
fn port(uri: &http::Uri) -> Option<u16> {
    let authority = uri.authority()?;
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port { authority.port_u16().filter(|port| *port > 0) } else { Some(80) }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_the_host_and_port_of_an_http_url() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://server-1", "server-1", 80),
            ("http://[::1]:9/", "::1", 9),
        ] {
            let address: UpstreamAddress = text.parse().expect(text);
            assert_eq!((address.host(), address.port()), (host, port));
        }
    }

    #[test]
    fn a_tcp_route_is_a_name_and_two_addresses() {
        let route: TcpRoute = "redis=127.0.0.1:0/redis:6379".parse().expect("a route");
        assert_eq!((route.name(), route.listen()), ("redis", "127.0.0.1:0"));
        assert_eq!(route.upstream(), "redis:6379");
        for bad in ["", "redis", "redis=1:1", "=a:1/b:1", "x=a/b:1", "x=a:1/b", "x=a:1/b:99999"] {
            assert!(bad.parse::<TcpRoute>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_upstream_is_refused_with_a_reason() {
        for (text, why) in [
            ("127.0.0.1:3000", "http://"),
            ("https://a:1", "TLS"),
            ("http://a:1/mcp", "path"),
            ("", "URL"),
            ("http://a:99999", "65535"),
            ("http://a:0", "65535"),
        ] {
            let error = text.parse::<UpstreamAddress>().expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
