//! How `squall proxy` speaks with clients and with upstreams.

use std::path::PathBuf;

use squall_proxy::config::{HostHeader, HttpVersion, Identity, ListenerTls, UpstreamPolicy};

/// TLS for clients. They may speak HTTP/1.1 or HTTP/2, with or without it.
#[derive(clap::Args)]
pub(super) struct Tls {
    /// Speak TLS to clients, with this certificate chain (PEM)
    #[arg(long = "tls-cert", id = "tls-cert", requires = "tls-key", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "tls-key", id = "tls-key", requires = "tls-cert", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Let in only clients with a certificate from one of these roots (PEM)
    #[arg(
        long = "tls-client-ca",
        id = "tls-client-ca",
        requires = "tls-cert",
        value_name = "FILE"
    )]
    client_ca: Option<PathBuf>,
}

impl Tls {
    pub(super) fn config(self) -> Option<ListenerTls> {
        let identity = identity(self.cert, self.key)?;
        Some(ListenerTls { identity, client_roots: self.client_ca })
    }
}

/// How upstreams are spoken to.
#[derive(clap::Args)]
pub(super) struct Policy {
    /// Trust these roots (PEM) for https:// upstreams, and no longer the system's
    #[arg(long = "upstream-ca", id = "upstream-ca", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Show upstreams this certificate chain (PEM) if they ask for one
    #[arg(
        long = "upstream-cert",
        id = "upstream-cert",
        requires = "upstream-key",
        value_name = "FILE"
    )]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(
        long = "upstream-key",
        id = "upstream-key",
        requires = "upstream-cert",
        value_name = "FILE"
    )]
    key: Option<PathBuf>,
    /// The version of HTTP for upstreams; auto: as TLS agrees, 1 without TLS
    #[arg(
        long = "upstream-http",
        id = "upstream-http",
        value_enum,
        default_value = "auto",
        value_name = "VERSION"
    )]
    http: Version,
    /// Whose name upstreams hear in Host; auto: their own for https://, else the client's word
    #[arg(
        long = "upstream-host",
        id = "upstream-host",
        value_enum,
        default_value = "auto",
        value_name = "WHOSE"
    )]
    host: Whose,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Version {
    Auto,
    #[value(name = "1")]
    Http1,
    #[value(name = "2")]
    Http2,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Whose {
    Auto,
    Client,
    Upstream,
}

impl Policy {
    pub(super) fn config(self) -> UpstreamPolicy {
        UpstreamPolicy {
            roots: self.ca,
            identity: identity(self.cert, self.key),
            http: match self.http {
                Version::Auto => HttpVersion::Auto,
                Version::Http1 => HttpVersion::Http1,
                Version::Http2 => HttpVersion::Http2,
            },
            host: match self.host {
                Whose::Auto => HostHeader::Auto,
                Whose::Client => HostHeader::Client,
                Whose::Upstream => HostHeader::Upstream,
            },
        }
    }
}

fn identity(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<Identity> {
    Some(Identity { certificate: certificate?, key: key? })
}
