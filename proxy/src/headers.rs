//! The headers of a message on its way through.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use squall_model::scope::RequestHeaders;

use crate::hop_by_hop;
use crate::plain::RawHead;

/// Headers that were received. Those that came the short way stay in the head that they came in for as long
/// as nobody wants more of them than a look.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    raw: Option<RawHead>,
    received: OnceLock<Box<HeaderMap>>,
    /// In the place of what was received.
    own: Option<Box<HeaderMap>>,
}

impl Headers {
    /// Headers that came by way of hyper.
    pub(crate) fn received(map: HeaderMap) -> Self {
        Self { received: Box::new(map).into(), ..Self::default() }
    }

    /// Headers that came the short way.
    pub(crate) fn came(raw: RawHead) -> Self {
        Self { raw: Some(raw), ..Self::default() }
    }

    /// Headers of the proxy's own.
    pub(crate) fn own(map: HeaderMap) -> Self {
        Self { own: Some(Box::new(map)), ..Self::default() }
    }

    /// The first value of that name.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        match self.unread() {
            Some(raw) => raw.values(name).next(),
            None => self.map().get(name).map(HeaderValue::as_bytes),
        }
    }

    /// The first value of that name, if it is text.
    pub(crate) fn text(&self, name: &HeaderName) -> Option<&str> {
        self.get(name).and_then(text)
    }

    /// The value of that name, if it is text, and there is no other.
    pub(crate) fn only_text(&self, name: &HeaderName) -> Option<&str> {
        let only = match self.unread() {
            Some(raw) => only(raw.values(name)),
            None => only(self.map().get_all(name).iter().map(HeaderValue::as_bytes)),
        };
        only.and_then(text)
    }

    /// The first value of that name, to be kept.
    pub(crate) fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        match self.unread() {
            Some(raw) => raw.value(name),
            None => self.map().get(name).cloned(),
        }
    }

    /// Whether there is one of that name.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// All of them.
    pub(crate) fn map(&self) -> &HeaderMap {
        match &self.own {
            Some(own) => own,
            None => self.received.get_or_init(|| Box::new(read(self.raw.as_ref()))),
        }
    }

    /// All of them, to be changed. Those of one connection alone are left out.
    pub(crate) fn edit(&mut self) -> &mut HeaderMap {
        let received = self.received.take();
        self.own.get_or_insert_with(|| {
            let mut map = received.unwrap_or_else(|| Box::new(read(self.raw.as_ref())));
            hop_by_hop::strip(&mut map);
            map
        })
    }

    /// Makes them such as can go on, on another connection.
    pub(crate) fn settle(&mut self) {
        if self.as_they_came().is_none() {
            self.edit();
        }
    }

    /// The head that they came in, if they came the short way.
    pub(crate) fn raw(&self) -> Option<&RawHead> {
        self.raw.as_ref()
    }

    /// The same, if it can go on as it is, but for the lines of its connection.
    pub(crate) fn as_they_came(&self) -> Option<&RawHead> {
        self.raw.as_ref().filter(|raw| self.own.is_none() && raw.can_go_on())
    }

    /// The head, where nobody has asked for a map yet.
    fn unread(&self) -> Option<&RawHead> {
        let is_read = self.own.is_some() || self.received.get().is_some();
        self.raw.as_ref().filter(|_| !is_read)
    }
}

impl RequestHeaders for Headers {
    fn map(&self) -> &HeaderMap {
        Self::map(self)
    }
}

/// The map of a head.
fn read(raw: Option<&RawHead>) -> HeaderMap {
    raw.map(RawHead::to_map).unwrap_or_default()
}

/// The value that is there, as often as it may be.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// As `HeaderValue::to_str` has it: a value has no control characters as it is.
fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii())
}
