//! What a proxy needs to know before it can run.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use squall_model::chance::Seed;
use squall_model::fault::Fault;

/// What peers are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much of a JSON body is held back until it is classified, in bytes.
    pub classify: usize,
    /// How long the head of a request may take to come, once it has begun; a TLS handshake, too.
    pub head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { classify: 64 * 1024, head: Duration::from_secs(30) }
    }
}

/// A proxy, ready to be bound.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS for those who connect there; without it they speak it not at all.
    pub tls: Option<ListenerTls>,
    /// The replicas behind it. Without one it does not listen there, and has TCP routes at most.
    pub upstreams: Vec<UpstreamAddress>,
    /// How they are spoken to.
    pub policy: UpstreamPolicy,
    /// What peers are held to.
    pub limits: Limits,
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

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// TLS on the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Who the proxy is.
    pub identity: Identity,
    /// Where clients have to have their certificates from, if they need one.
    pub client_roots: Option<PathBuf>,
}

/// How upstreams are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamPolicy {
    /// The only roots that their certificates may have; the system's otherwise.
    pub roots: Option<PathBuf>,
    /// The certificate that the proxy shows them, if they ask.
    pub identity: Option<Identity>,
    /// The version of HTTP.
    pub http: HttpVersion,
    /// Whose name they are called by.
    pub host: HostHeader,
}

/// The version of HTTP that upstreams are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// What TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, also without TLS (RFC 9113, section 3.3).
    Http2,
}

/// What `Host`, or `:authority`, says to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client says, to an `http://` upstream; the upstream's own name, to an `https://` one,
    /// which would not know itself by another.
    #[default]
    Auto,
    /// What the client says.
    Client,
    /// The upstream's own name.
    Upstream,
}

/// Where a replica listens: the scheme, host and port of an `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    is_tls: bool,
    host: String,
    port: u16,
}

impl UpstreamAddress {
    /// Whether it is spoken to in TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The same without the port that is the scheme's own, as a `Host` header has it (RFC 9110,
    /// section 4.2.3).
    pub fn name(&self) -> String {
        let authority = self.authority();
        let own = if self.is_tls { ":443" } else { ":80" };
        authority.strip_suffix(own).map(str::to_owned).unwrap_or(authority)
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
#[error("`{found}` is not an upstream: {why}; http://HOST:PORT or https://HOST:PORT was expected")]
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
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("it does not begin with http:// or https://")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("it has a path, and paths are passed on as the client sends them"));
        }
        let port = port(&uri, if is_tls { 443 } else { 80 })
            .ok_or_else(|| bad("its port is not 1 to 65535"))?;
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_tls, host, port })
    }
}

/// The port, the scheme's own where none is given; `None` where it is not one.
fn port(uri: &http::Uri, own: u16) -> Option<u16> {
    let authority = uri.authority()?;
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port { authority.port_u16().filter(|port| *port > 0) } else { Some(own) }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
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
            ("https://mcp.example", "mcp.example", 443),
        ] {
            let address: UpstreamAddress = text.parse().expect(text);
            assert_eq!((address.host(), address.port()), (host, port));
        }
    }

    #[test]
    fn an_upstream_is_called_by_its_name_without_the_port_that_is_the_schemes_own() {
        for (text, name) in [
            ("http://a", "a"),
            ("http://a:443", "a:443"),
            ("https://a:443", "a"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(text.parse::<UpstreamAddress>().expect(text).name(), name);
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
            ("ftp://a:1", "https://"),
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
