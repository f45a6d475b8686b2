//! A connection to an upstream, on which one request is made at a time.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Extensions, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::body::Body;
use super::head::{self, Head};
use crate::halves::Answer;
use crate::headers::Headers;
use crate::link::Link;
use crate::upstream::{Outgoing, UpstreamError};

/// Bytes that are read at a time, at first and at most.
const ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 256 * 1024;
/// A body up to so many bytes is sent in one piece with its head.
const SMALL: usize = 8 * 1024;

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: TcpStream,
    /// What was read, and belongs to nothing yet.
    pub(super) read: BytesMut,
    out: BytesMut,
    room: usize,
}

/// A request that got no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not a byte of it went out.
    Unsent,
    /// It may have been executed.
    Failed(UpstreamError),
}

impl Sender {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, read: BytesMut::new(), out: BytesMut::new(), room: ROOM }
    }

    /// Whether a request can be made: the upstream has not closed it, and has not said what nobody asked.
    /// This asks the system only where something has come.
    pub(crate) fn is_fresh(&self) -> bool {
        let is_silent = |read: io::Result<usize>| {
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        self.read.is_empty() && is_silent(self.stream.try_read(&mut [0]))
    }

    /// Makes a request with this body ready to go out.
    pub(crate) fn prepare(mut self, request: &Outgoing<'_>, body: Bytes) -> Prepared {
        self.out.clear();
        head::write_request(&mut self.out, request, body.len());
        let is_small = body.len() <= SMALL;
        if is_small {
            self.out.extend_from_slice(&body);
        }
        let body = if is_small { Bytes::new() } else { body };
        Prepared { sender: self, asked: request.method().clone(), body }
    }

    /// Reads the head of the answer; what comes before it says nothing (RFC 9110, section 15.2).
    async fn answer(&mut self, asked: &Method) -> Result<Head, UpstreamError> {
        loop {
            match std::future::poll_fn(|context| self.poll_read(context)).await {
                Ok(0) => return Err(UpstreamError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(UpstreamError::Reset);
                }
                Err(_) => return Err(UpstreamError::Closed),
            }
            while let Some(head) = head::take_response(&mut self.read, asked)? {
                let status = head.status;
                // Nobody asked for another protocol.
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(UpstreamError::Invalid);
                }
                if !status.is_informational() {
                    return Ok(head);
                }
                self.read.extend_from_slice(&head.rest);
            }
        }
    }

    /// Reads more; none is the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < self.room / 2 {
            self.read.reserve(self.room);
        }
        let room = self.read.capacity() - self.read.len();
        let read = pin!(self.stream.read_buf(&mut self.read)).poll(context);
        if matches!(read, Poll::Ready(Ok(count)) if count == room) {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        read
    }
}

/// A request that is ready to go out.
#[derive(Debug)]
pub(crate) struct Prepared {
    sender: Sender,
    asked: Method,
    /// What comes after what the sender has.
    body: Bytes,
}

impl Prepared {
    /// Sends it, and waits for the head of its answer. The connection goes back to the link, as one to the
    /// upstream of that number, once the body of the answer has ended.
    pub(crate) async fn send(
        mut self,
        link: &Arc<Link>,
        number: usize,
    ) -> Result<Answer<Body>, Failure> {
        let is_sent = self.write().await?;
        let Self { mut sender, asked, .. } = self;
        let head = sender.answer(&asked).await.map_err(Failure::Failed)?;
        let Head { status, reason, raw, framing, keeps_alive, rest } = head;
        let home = (keeps_alive && is_sent).then(|| (link.clone(), number));
        let mut extensions = Extensions::new();
        if let Some(reason) = reason {
            extensions.insert(reason);
        }
        let headers = Headers::came(raw);
        let body = Body::received(sender, framing, rest, home);
        Ok(Answer { status, headers, extensions, body })
    }

    /// False if the upstream did not take all of it; it may have answered nevertheless.
    async fn write(&mut self) -> Result<bool, Failure> {
        let Sender { stream, out, .. } = &mut self.sender;
        match stream.write(out).await {
            Err(_) | Ok(0) => return Err(Failure::Unsent),
            Ok(written) if written < out.len() => {
                if stream.write_all(&out[written..]).await.is_err() {
                    return Ok(false);
                }
            }
            Ok(_) => {}
        }
        Ok(self.body.is_empty() || stream.write_all(&self.body).await.is_ok())
    }
}
