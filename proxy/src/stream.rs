//! Bodies on their way through: passed on as they come, or, for SSE, event by event where a fault
//! acts on messages.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use squall_model::verdict::Cut;

use crate::board::Fired;
use crate::link::{Link, UnderWay};
use crate::plain;
use crate::upstream::is_reset;

mod cut;
mod events;
mod late;

use cut::CutBody;
use late::Late;

pub(crate) use events::{EventStream, EventStreamContext};

/// A peer's body, as it comes.
#[derive(Debug)]
pub(crate) enum Incoming {
    Plain(plain::Body),
    Hyper(hyper::body::Incoming),
}

/// Why it broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error(transparent)]
    Plain(#[from] io::Error),
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
}

impl Incoming {
    /// All of it, if nothing has to be waited for.
    pub(crate) fn is_here(&self) -> Option<&Bytes> {
        match self {
            Self::Plain(body) => body.is_here(),
            Self::Hyper(_) => None,
        }
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = PeerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PeerError>>> {
        match self.get_mut() {
            Self::Plain(body) => body.poll_frame(context).map_err(PeerError::Plain),
            Self::Hyper(body) => Pin::new(body).poll_frame(context).map_err(PeerError::Hyper),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Hyper(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Hyper(body) => body.size_hint(),
        }
    }
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the peer's body could not be read")]
    Peer(#[from] PeerError),
    #[error("the connection was reset by a fault")]
    Reset,
    #[error("the body was cut by a fault")]
    Cut,
}

impl BodyError {
    /// Lets the client's connection, or its stream, end as the server's did: a RST for a RST.
    fn pass_on(&self, link: &Link) {
        let is_reset = match self {
            Self::Peer(PeerError::Plain(error)) => is_reset(error),
            Self::Peer(PeerError::Hyper(error)) => is_reset(error),
            Self::Reset => true,
            Self::Cut => false,
        };
        if is_reset {
            link.break_off();
        }
    }
}

/// A body that the proxy sends, in either direction.
#[derive(Debug)]
pub(crate) enum Body {
    /// An answer, as it comes.
    Answer(Incoming, UnderWay),
    /// A held beginning, then as it comes.
    Held(Held),
    /// SSE, cut into events.
    Events(Box<EventStream>),
    /// Another one, as far as a fault lets it.
    Cut(Box<CutBody>),
    /// Another one, that was held back.
    Late(Box<Late>),
    /// Made here.
    Own(Option<Bytes>),
}

/// How much of a request is read that nobody wants, in bytes.
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;
/// And for how long.
const DISCARD_TIME: Duration = Duration::from_secs(10);

impl Body {
    /// Reads what is left of a request that is answered here. A client that still sends when the
    /// connection closes gets a RST, and may never see its answer.
    pub(crate) async fn discard(mut self) {
        let read = async {
            let mut length = 0;
            while length < DISCARD_LIMIT
                && let Some(Ok(frame)) = self.frame().await
            {
                length += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, read).await;
    }

    /// Reads it to its end. Gives it back as it was where it is larger than the limit, has trailers, or
    /// breaks off.
    pub(crate) async fn read(mut self, limit: usize) -> Result<Bytes, Self> {
        let mut late = Late::new(&self);
        while late.held() <= limit {
            match self.frame().await {
                Some(frame) => late.push(frame),
                None => return late.whole().ok_or_else(|| Self::Late(Box::new(late.then(None)))),
            }
        }
        Err(Self::Late(Box::new(late.then(Some(self)))))
    }

    /// The same, ended early.
    pub(crate) fn cut(self, cut: Cut, fault: Fired, link: &Arc<Link>) -> Self {
        Self::Cut(Box::new(CutBody::new(self, cut, fault, link.clone())))
    }

    /// The same, once it is complete, too large to be held, or the fault has ended.
    pub(crate) async fn hold_back(self, fault: &Fired) -> Self {
        Self::Late(Box::new(Late::collect(self, fault).await))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Own(Some(text.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

/// A body whose beginning was held back until it was classified.
#[derive(Debug, Default)]
pub(crate) struct Held {
    start: Option<Bytes>,
    /// Rare, and large.
    trailers: Option<Box<HeaderMap>>,
    rest: Option<Box<Incoming>>,
    /// The length that the sender declared. A body without one stays without one.
    left: Option<u64>,
}

impl Held {
    /// A body of which nothing was held.
    pub(crate) fn nothing(body: Incoming) -> Self {
        let left = HttpBody::size_hint(&body).exact();
        Self { start: None, trailers: None, rest: Some(Box::new(body)), left }
    }

    /// A body that was held from beginning to end.
    pub(crate) fn all(data: Bytes, trailers: Option<HeaderMap>, left: Option<u64>) -> Self {
        Self { start: Some(data), trailers: trailers.map(Box::new), rest: None, left }
    }

    /// A body that was held in part.
    pub(crate) fn part(data: Bytes, rest: Incoming, left: Option<u64>) -> Self {
        Self { start: Some(data), trailers: None, rest: Some(Box::new(rest)), left }
    }

    /// Whether it was held from beginning to end.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// The whole body, if it was held from beginning to end.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.start.as_ref().filter(|_| self.is_whole())
    }

    /// All of it, where nothing has to be waited for, and nothing comes after it.
    pub(crate) fn here(&self) -> Option<Bytes> {
        if self.trailers.is_some() {
            return None;
        }
        match (&self.start, self.rest.as_deref()) {
            (start, None) => Some(start.clone().unwrap_or_default()),
            (None, Some(rest)) => rest.is_here().cloned(),
            (Some(_), Some(_)) => None,
        }
    }

    /// The same as a second body, if it was held from beginning to end.
    pub(crate) fn copy(&self) -> Option<Self> {
        let start = self.whole()?.clone();
        let (trailers, left) = (self.trailers.clone(), self.left);
        Some(Self { start: Some(start), trailers, rest: None, left })
    }

    /// The same body with other words; its length is corrected where it was declared.
    pub(crate) fn says(self, words: Bytes, headers: &mut HeaderMap) -> Self {
        let length = words.len() as u64;
        if headers.contains_key(CONTENT_LENGTH) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        let left = self.left.map(|_| length);
        Self { start: Some(words), trailers: self.trailers, rest: None, left }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(start) = this.start.take()
            && !start.is_empty()
        {
            this.left = this.left.map(|left| left.saturating_sub(start.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        match &mut this.rest {
            Some(rest) => poll_incoming(rest, context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.start.as_ref().is_none_or(Bytes::is_empty)
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn poll_incoming(
    body: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Pin::new(body).poll_frame(context).map_err(BodyError::Peer)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Answer(body, link) => poll_incoming(body, context).map_err(|error| {
                error.pass_on(link);
                error
            }),
            Self::Held(held) => Pin::new(held).poll_frame(context),
            Self::Events(events) => events.poll_frame(context),
            Self::Cut(cut) => cut.poll_frame(context),
            Self::Late(late) => late.poll_frame(context),
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer(body, _) => body.is_end_stream(),
            Self::Held(held) => held.is_end_stream(),
            Self::Events(_) | Self::Cut(_) | Self::Late(_) => false,
            Self::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer(body, _) => body.size_hint(),
            Self::Held(held) => held.size_hint(),
            Self::Events(events) => events.size_hint(),
            Self::Cut(cut) => cut.size_hint(),
            Self::Late(late) => late.size_hint(),
            Self::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}
