//! The two halves of an exchange, request and answer, whether hyper brought them or they came the short way.

use http::header::{COOKIE, HeaderValue};
use http::{Extensions, HeaderMap, Method, Response, StatusCode, Uri, Version};

use crate::headers::Headers;
use crate::stream::{Body, Incoming};

/// A client's request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: Headers,
    /// What hyper tells nobody but itself, such as how the names of headers were spelt.
    pub(crate) extensions: Extensions,
    pub(crate) body: Incoming,
}

/// An answer: an upstream's as it comes, or the client's as it goes out.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    pub(crate) status: StatusCode,
    pub(crate) headers: Headers,
    /// The reason, where it is not the usual one, and what hyper tells itself.
    pub(crate) extensions: Extensions,
    pub(crate) body: B,
}

impl<B> Answer<B> {
    /// The same with another body.
    pub(crate) fn with<C>(self, make: impl FnOnce(B) -> C) -> Answer<C> {
        let Self { status, headers, extensions, body } = self;
        Answer { status, headers, extensions, body: make(body) }
    }
}

impl From<http::Request<hyper::body::Incoming>> for Request {
    fn from(request: http::Request<hyper::body::Incoming>) -> Self {
        let (mut parts, body) = request.into_parts();
        if parts.version == Version::HTTP_2 {
            join_cookies(&mut parts.headers);
        }
        Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: Headers::received(parts.headers),
            extensions: parts.extensions,
            body: Incoming::Hyper(body),
        }
    }
}

impl From<Response<hyper::body::Incoming>> for Answer<Incoming> {
    fn from(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: Headers::received(parts.headers),
            extensions: parts.extensions,
            body: Incoming::Hyper(body),
        }
    }
}

/// One that the proxy has made.
impl From<Response<Body>> for Answer<Body> {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let headers = Headers::own(parts.headers);
        Self { status: parts.status, headers, extensions: parts.extensions, body }
    }
}

/// What hyper sends. The version is each connection's own (RFC 9110, section 2.5).
impl From<Answer<Body>> for Response<Body> {
    fn from(mut answer: Answer<Body>) -> Self {
        let headers = std::mem::take(answer.headers.edit());
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = headers;
        *response.extensions_mut() = answer.extensions;
        response
    }
}

/// HTTP/2 lets a client split `Cookie`, which others would take for several (RFC 9113, section
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}
