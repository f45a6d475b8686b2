//! A request as it goes to an upstream.

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Extensions, HeaderMap, Method, Request, Uri};

use crate::classify::Exchange;
use crate::hop_by_hop;
use crate::plain::RawHead;
use crate::stream::Held;

/// The request of an exchange on its way to an upstream, which has a head of its own only where that has to
/// be another than the client's.
#[derive(Debug)]
pub(crate) struct Outgoing<'e> {
    exchange: &'e Exchange,
    own: Option<Box<OwnHead>>,
    /// What hyper tells nobody but itself: how the client spelt the names of headers.
    extensions: Extensions,
    pub(crate) body: Held,
}

#[derive(Clone, Debug)]
struct OwnHead {
    uri: Uri,
    headers: HeaderMap,
}

impl<'e> Outgoing<'e> {
    pub(crate) fn new(exchange: &'e Exchange, extensions: Extensions, body: Held) -> Self {
        Self { exchange, own: None, extensions, body }
    }

    /// The same with a second body, if that was held from beginning to end.
    pub(crate) fn copy(&self) -> Option<Self> {
        let body = self.body.copy()?;
        let (own, extensions) = (self.own.clone(), self.extensions.clone());
        Some(Self { own, extensions, body, ..*self })
    }

    pub(crate) fn method(&self) -> &'e Method {
        &self.exchange.method
    }

    pub(crate) fn uri(&self) -> &Uri {
        self.own.as_ref().map_or(&self.exchange.uri, |own| &own.uri)
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.own.as_ref().map_or_else(|| self.exchange.headers.map(), |own| &own.headers)
    }

    /// Its head as the client wrote it, if it came the short way.
    pub(crate) fn raw(&self) -> Option<&'e RawHead> {
        self.exchange.headers.raw()
    }

    /// The same, if it can go on so.
    pub(crate) fn as_it_came(&self) -> Option<&'e RawHead> {
        self.exchange.headers.as_they_came().filter(|_| self.own.is_none())
    }

    /// The name that it calls the upstream by.
    pub(super) fn host(&self) -> Option<HeaderValue> {
        match &self.own {
            Some(own) => own.headers.get(HOST).cloned(),
            None => self.exchange.headers.value(&HOST),
        }
    }

    /// Whether it calls the upstream by this name.
    pub(super) fn calls(&self, name: &HeaderValue) -> bool {
        match &self.own {
            Some(own) => own.headers.get(HOST) == Some(name),
            None => self.exchange.headers.get(&HOST) == Some(name.as_bytes()),
        }
    }

    /// The headers, to be changed.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.own().headers
    }

    /// Says something else; a length that was declared is corrected.
    pub(crate) fn say(&mut self, words: Bytes) {
        let body = std::mem::take(&mut self.body);
        self.body = body.says(words, self.headers_mut());
    }

    /// Gives it the head that it goes out with, on another connection.
    pub(crate) fn settle(&mut self) {
        if self.as_it_came().is_none() {
            self.own();
        }
    }

    fn own(&mut self) -> &mut OwnHead {
        self.own.get_or_insert_with(|| {
            let Exchange { uri, headers, .. } = self.exchange;
            let mut own = OwnHead { uri: uri.clone(), headers: headers.map().clone() };
            hop_by_hop::strip(&mut own.headers);
            own.make_origin_form();
            Box::new(own)
        })
    }

    /// The same for hyper, which gives it back with [`Self::back`].
    pub(super) fn into_request(mut self) -> Request<Held> {
        let (uri, headers) = {
            let own = self.own();
            (std::mem::take(&mut own.uri), std::mem::take(&mut own.headers))
        };
        let mut request = Request::new(self.body);
        *request.method_mut() = self.exchange.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        *request.extensions_mut() = self.extensions;
        request
    }

    /// A request of this exchange of which nothing has gone out.
    pub(super) fn back(exchange: &'e Exchange, request: Request<Held>) -> Self {
        let (parts, body) = request.into_parts();
        let own = Some(Box::new(OwnHead { uri: parts.uri, headers: parts.headers }));
        Self { exchange, own, extensions: parts.extensions, body }
    }

    pub(super) fn exchange(&self) -> &'e Exchange {
        self.exchange
    }
}

impl OwnHead {
    /// An absolute target, as clients send it to proxies, or HTTP/2 has it always, becomes a path: the
    /// upstream is the origin. Its authority outranks `Host` (RFC 9112, section 3.2.2).
    fn make_origin_form(&mut self) {
        let Some(authority) = self.uri.authority() else { return };
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(host) {
            self.headers.insert(HOST, host);
        }
        if let Some(path) = self.uri.path_and_query() {
            self.uri = Uri::from(path.clone());
        }
    }
}
