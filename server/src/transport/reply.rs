//! The few shapes of an answer: empty, JSON, events that are all there, events still to come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use squall_model::mcp::header::{EVENT_STREAM, JSON};

use crate::streams::EventStream;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// The body of an answer.
pub(crate) enum Body {
    /// All of it, with a `Content-Length`.
    Whole(Full<Bytes>),
    /// Events as they come.
    Events(EventStream),
}

/// Tells nginx, should one stand in front, not to hold events back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(crate) fn empty(status: StatusCode) -> Reply {
    whole(status, Bytes::new())
}

pub(crate) fn json(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = whole(status, body);
    let json = HeaderValue::from_static(JSON);
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

pub(crate) fn text(media: &'static str, body: Bytes) -> Reply {
    let mut reply = whole(StatusCode::OK, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

pub(crate) fn events(body: Bytes) -> Reply {
    with_event_headers(whole(StatusCode::OK, body))
}

pub(crate) fn stream(events: EventStream) -> Reply {
    with_event_headers(Response::new(Body::Events(events)))
}

fn whole(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Response::new(Body::Whole(Full::new(body)));
    *reply.status_mut() = status;
    reply
}

fn with_event_headers(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    reply
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(body) => body.size_hint(),
        }
    }
}
