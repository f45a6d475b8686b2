//! Peers that speak TLS and HTTP/2: an authority of the tests' own, clients and upstreams.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use squall_proxy::config::{Identity, ListenerTls};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fixture::any;

/// A root that nobody else knows, and what it has signed, as files.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
    signed: AtomicUsize,
}

impl Authority {
    pub fn new() -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(root, key).expect("a root");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("root.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer, signed: AtomicUsize::new(0) }
    }

    /// The root's certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A certificate for loopback, good for either side.
    pub fn sign(&self) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
        let signed = params.expect("names").signed_by(&key, &self.issuer).expect("a certificate");
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let path = |kind: &str| self.folder.path().join(format!("{number}-{kind}.pem"));
        std::fs::write(path("cert"), signed.pem()).expect("a file");
        std::fs::write(path("key"), key.serialize_pem()).expect("a file");
        Identity { certificate: path("cert"), key: path("key") }
    }

    pub fn listener(&self) -> ListenerTls {
        ListenerTls { identity: self.sign(), client_roots: None }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.root()).expect("a root");
        roots.add(root).expect("a root");
        roots
    }

    /// What a client needs to trust this authority.
    pub fn connector(&self, identity: Option<&Identity>, protocol: &str) -> TlsConnector {
        let config = ClientConfig::builder().with_root_certificates(self.roots());
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = read(identity);
                config.with_client_auth_cert(chain, key).expect("a certificate")
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    fn acceptor(&self, asks_clients: bool, protocols: &[&str]) -> TlsAcceptor {
        let config = ServerConfig::builder();
        let config = if asks_clients {
            let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build();
            config.with_client_cert_verifier(verifier.expect("roots"))
        } else {
            config.with_no_client_auth()
        };
        let (chain, key) = read(&self.sign());
        let mut config = config.with_single_cert(chain, key).expect("a certificate");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn read(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    (chain.map(|found| found.expect("PEM")).collect(), key)
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// An upstream that speaks HTTP/1.1 and HTTP/2, with TLS where it is given an authority.
pub struct Secure {
    pub url: String,
    connections: Arc<AtomicUsize>,
}

pub struct Offer<'a> {
    pub authority: Option<&'a Authority>,
    pub asks_clients: bool,
    pub protocols: &'a [&'a str],
}

impl Secure {
    pub async fn answering<F: Future<Output = Answer> + Send + 'static>(
        offer: Offer<'_>,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(any()).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tls = offer.authority.map(|it| it.acceptor(offer.asks_clients, offer.protocols));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, answer) = (tls.clone(), answer.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    match tls {
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                        }
                        None => {
                            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                        }
                    }
                });
            }
        });
        Self { url: format!("{scheme}://{address}"), connections }
    }

    /// One that says how it was asked: version, host, path.
    pub async fn telling(offer: Offer<'_>) -> Self {
        Self::answering(offer, |request| async move {
            let host = request.uri().authority().map(ToString::to_string);
            let header = request.headers().get("host").and_then(|host| host.to_str().ok());
            let host = host.or(header.map(str::to_owned)).unwrap_or_default();
            let path = request.uri().path();
            let cookie = request.headers().get_all("cookie").iter().collect::<Vec<_>>();
            let text = format!("{:?} {host} {path} {cookie:?}", request.version());
            let _ = request.into_body().collect().await;
            Response::new(said(&text))
        })
        .await
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub fn said(text: &str) -> BoxBody<Bytes, std::io::Error> {
    Full::from(text.to_owned()).map_err(|never| match never {}).boxed()
}

/// A client of HTTP/2 on one connection.
#[derive(Clone)]
pub struct Http2(http2::SendRequest<Full<Bytes>>);

impl Http2 {
    /// Without TLS, by prior knowledge.
    pub async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        Self::over(stream).await
    }

    pub async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    pub async fn get(&mut self, path: &str) -> (u16, String) {
        let request = Request::get(format!("http://proxy.test{path}"));
        self.ask(request.body(Full::default()).expect("a request")).await
    }

    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> (u16, String) {
        let answer = self.send(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }
}

/// A request whose body is a call of this tool.
pub fn call(tool: &str) -> Request<Full<Bytes>> {
    Request::post("http://proxy.test/mcp")
        .header("content-type", "application/json")
        .body(Full::from(crate::wire::call(1, tool)))
        .expect("a request")
}

/// Speaks TLS to the proxy, in this protocol; fails where the proxy says no.
pub async fn secured(
    address: SocketAddr,
    connector: TlsConnector,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, stream).await
}

/// One request over HTTP/1.1, which may fail.
pub async fn get_http1(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> Result<(u16, String), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/a").header("host", "proxy.test").body(Full::<Bytes>::default());
    let answer = sender.send_request(request.expect("a request")).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).expect("text")))
}
