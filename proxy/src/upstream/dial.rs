//! One connection to an upstream: made, and spoken on in the version of HTTP that both can.

use std::time::Duration;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::UpstreamError;
use crate::config::{HttpVersion, UpstreamAddress, UpstreamPolicy};
use crate::plain;
use crate::stream::Held;
use crate::tls::{self, TlsError};

/// How long a connection may take to be made, and again for TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of an HTTP/2 stream may be under way, in bytes, and of all streams of a connection.
pub(crate) const STREAM_WINDOW: u32 = 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    tls: Option<TlsConnector>,
    http: HttpVersion,
}

/// A connection on which requests go out.
#[derive(Debug)]
pub(super) enum Sender {
    /// One request at a time, that came the short way.
    Plain(plain::Sender),
    Hyper(HyperSender),
}

/// A connection that hyper speaks on.
#[derive(Debug)]
pub(super) enum HyperSender {
    /// One request at a time.
    Http1(http1::SendRequest<Held>),
    /// Any number, each a stream of its own.
    Http2(http2::SendRequest<Held>, Scheme),
}

impl Dialer {
    /// Reads the certificates, if any of the upstreams speaks TLS.
    pub(super) fn new(
        addresses: &[UpstreamAddress],
        policy: &UpstreamPolicy,
    ) -> Result<Self, TlsError> {
        let needs_tls = addresses.iter().any(UpstreamAddress::is_tls);
        let tls = needs_tls.then(|| tls::connector(policy)).transpose()?;
        Ok(Self { tls, http: policy.http })
    }

    /// Whether it may turn out that one connection carries all.
    pub(super) fn may_share(&self, address: &UpstreamAddress) -> bool {
        match self.http {
            HttpVersion::Auto => address.is_tls(),
            HttpVersion::Http1 => false,
            HttpVersion::Http2 => true,
        }
    }

    /// Whether it can be spoken to plainly: in HTTP/1.1, without TLS.
    pub(super) fn is_plain(&self, address: &UpstreamAddress) -> bool {
        self.http != HttpVersion::Http2 && !address.is_tls()
    }

    pub(super) async fn dial(
        &self,
        address: &UpstreamAddress,
        is_plain: bool,
    ) -> Result<Sender, UpstreamError> {
        let stream = TcpStream::connect((address.host(), address.port()));
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, stream).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(UpstreamError::Refused),
            Err(_) => return Err(UpstreamError::ConnectTimeout),
        };
        // Without it, small messages wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        if is_plain && self.is_plain(address) {
            return Ok(Sender::Plain(plain::Sender::new(stream)));
        }
        let wants_http2 = self.http == HttpVersion::Http2;
        let Some(tls) = self.tls.as_ref().filter(|_| address.is_tls()) else {
            return handshake(stream, wants_http2, Scheme::HTTP).await;
        };
        let name = ServerName::try_from(address.host().to_owned());
        let stream = tls.connect(name.map_err(|_| UpstreamError::Tls)?, stream);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, stream).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::warn!(upstream = %address, %error, "TLS could not be agreed on");
                return Err(UpstreamError::Tls);
            }
            Err(_) => return Err(UpstreamError::ConnectTimeout),
        };
        let is_http2 = wants_http2 || tls::is_http2(stream.get_ref().1.alpn_protocol());
        handshake(stream, is_http2, Scheme::HTTPS).await
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("http", &self.http).finish_non_exhaustive()
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_http2: bool,
    scheme: Scheme,
) -> Result<Sender, UpstreamError> {
    let io = TokioIo::new(stream);
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let handshake = builder.handshake(io).await;
        let (sender, connection) = handshake.map_err(|_| UpstreamError::Closed)?;
        tokio::spawn(finish(connection));
        return Ok(Sender::Hyper(HyperSender::Http2(sender, scheme)));
    }
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true);
    let (sender, connection) = builder.handshake(io).await.map_err(|_| UpstreamError::Closed)?;
    tokio::spawn(finish(connection));
    Ok(Sender::Hyper(HyperSender::Http1(sender)))
}

async fn finish(connection: impl Future<Output = Result<(), hyper::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an upstream connection ended early");
    }
}

impl Sender {
    /// Whether it takes requests that came the short way, and no others.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Plain(sender) => !sender.is_fresh(),
            Self::Hyper(HyperSender::Http1(sender)) => sender.is_closed(),
            Self::Hyper(HyperSender::Http2(sender, _)) => sender.is_closed(),
        }
    }

    /// Another one on the same connection, if it can be shared.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Hyper(HyperSender::Http2(sender, scheme)) => {
                Some(Self::Hyper(HyperSender::Http2(sender.clone(), scheme.clone())))
            }
            Self::Plain(_) | Self::Hyper(HyperSender::Http1(_)) => None,
        }
    }

    /// Ready at once, unless the last answer's body is still being read, or the peer has gone.
    pub(super) async fn ready(&mut self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Hyper(HyperSender::Http1(sender)) => sender.ready().await.is_ok(),
            Self::Hyper(HyperSender::Http2(sender, _)) => sender.ready().await.is_ok(),
        }
    }
}

impl HyperSender {
    /// Sends a request, which the error gives back if nothing of it went out.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Held>,
    ) -> Result<Response<hyper::body::Incoming>, TrySendError<Request<Held>>> {
        match self {
            Self::Http1(sender) => {
                to_http1(&mut request);
                sender.try_send_request(request).await
            }
            Self::Http2(sender, scheme) => {
                to_http2(&mut request, scheme);
                sender.try_send_request(request).await
            }
        }
    }
}

/// The origin form, with a `Host` (RFC 9112, section 3.2.1).
fn to_http1(request: &mut Request<Held>) {
    *request.version_mut() = Version::HTTP_11;
    // It was meant for another upstream, which spoke HTTP/2.
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str());
        let path = request.uri().path_and_query().cloned();
        request.headers_mut().extend(host.ok().map(|host| (HOST, host)));
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    // hyper takes it that a GET without a length has no body.
    let body = request.body();
    let is_unframed = body.size_hint().exact().is_none() && !body.is_end_stream();
    if is_unframed && matches!(*request.method(), Method::GET | Method::HEAD) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Pseudo-header fields in the place of `Host` (RFC 9113, section 8.3.1).
fn to_http2(request: &mut Request<Held>, scheme: &Scheme) {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(TRANSFER_ENCODING);
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| Authority::from_maybe_shared(host).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(scheme.clone());
    parts.authority = authority.or(parts.authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}
