//! TLS on either side. Certificates and keys are read once, before any traffic.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{HttpVersion, Identity, ListenerTls, UpstreamPolicy};

/// Application protocols as they are negotiated (RFC 7301; RFC 9113, section 3.2).
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM, or holds something else.
    #[error("{} holds no {expected}: a PEM file was expected", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// A certificate and its key cannot be used together, or at all.
    #[error("{} cannot be used with {}: {source}", .certificate.display(), .key.display())]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// Certificates that nobody can be checked against.
    #[error("{from} cannot be used as roots: {why}")]
    Roots {
        /// Where they came from.
        from: String,
        /// What is wrong with them.
        why: String,
    },
}

/// What answers clients who speak TLS.
pub(crate) fn acceptor(tls: &ListenerTls) -> Result<TlsAcceptor, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| tls.identity.error(source))?;
    let builder = match &tls.client_roots {
        Some(path) => {
            let roots = Arc::new(roots_of(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let error = |error: rustls::server::VerifierBuilderError| TlsError::Roots {
                from: path.display().to_string(),
                why: error.to_string(),
            };
            builder.with_client_cert_verifier(verifier.map_err(error)?)
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = tls.identity.read()?;
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|source| tls.identity.error(source))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What speaks TLS to upstreams.
pub(crate) fn connector(policy: &UpstreamPolicy) -> Result<TlsConnector, TlsError> {
    let (roots, from) = match &policy.roots {
        Some(path) => (roots_of(path)?, path.display().to_string()),
        None => (system_roots()?, SYSTEM.to_owned()),
    };
    let error = |why: String| TlsError::Roots { from: from.clone(), why };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build().map_err(|source| error(source.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| error(source.to_string()))?
        .with_webpki_verifier(verifier);
    let mut config = match &policy.identity {
        Some(identity) => {
            let (chain, key) = identity.read()?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|source| identity.error(source))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match policy.http {
        HttpVersion::Auto => vec![H2.to_vec(), HTTP_1_1.to_vec()],
        HttpVersion::Http1 => vec![HTTP_1_1.to_vec()],
        HttpVersion::Http2 => vec![H2.to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether HTTP/2 was negotiated.
pub(crate) fn is_http2(negotiated: Option<&[u8]>) -> bool {
    negotiated == Some(H2)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

const SYSTEM: &str = "the system's certificates";

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
    Err(TlsError::Roots {
        from: SYSTEM.to_owned(),
        why: format!("{why}; name a file of roots with --upstream-ca"),
    })
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Roots {
            from: path.display().to_string(),
            why: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsError::Empty { path: path.to_owned(), expected: "certificate" })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::Empty { path: self.key.clone(), expected: "private key" })?;
        Ok((chain, key))
    }

    fn error(&self, source: rustls::Error) -> TlsError {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        TlsError::Identity { certificate, key, source }
    }
}
