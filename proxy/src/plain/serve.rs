//! A downstream connection while its requests are plain.

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http_body::Body as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::timeout;

use super::head::{self, PlainRequest, Untaken};
use crate::exchange::{self, Aborted};
use crate::halves::Answer;
use crate::link::Link;
use crate::proxying::Proxying;
use crate::socket::Socket;
use crate::stream::{Body, BodyError};

/// Bytes that are read at a time.
const ROOM: usize = 8 * 1024;
/// How long the rest of a body is waited for before hyper has to.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is read of later requests while one is answered, in bytes.
const AHEAD: usize = 64 * 1024;
/// What is collected before it is written, in bytes; pieces that are larger are not copied.
const SMALL: usize = 4 * 1024;
const COLLECTED: usize = 16 * 1024;

/// What has become of a connection.
pub(crate) enum Served {
    /// It has ended.
    Ended,
    /// Its next request is not plain: the socket gives back all that was read of it.
    HandedOver(Socket),
}

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("the exchange ended without an answer")]
    Aborted(#[from] Aborted),
    #[error("the answer's body ended early")]
    Body(#[from] BodyError),
    #[error("the answer's body is not as long as its head says")]
    Length,
    #[error("the client's connection broke")]
    Socket(#[from] io::Error),
}

/// Answers requests, one after the other, for as long as they are plain and nobody asks it to stop.
pub(crate) async fn serve(
    mut socket: Socket,
    link: &Arc<Link>,
    proxying: &Arc<Proxying>,
    is_stopping: &AtomicBool,
) -> Result<Served, ServeError> {
    let mut read = BytesMut::new();
    let mut out = Out::default();
    loop {
        if read.is_empty() && more(&mut socket, &mut read, is_stopping).await? == 0 {
            close(&mut socket).await?;
            return Ok(Served::Ended);
        }
        let limit = proxying.limits.classify;
        let mut taken = head::take_request(&mut read, limit);
        if taken.as_ref().is_err_and(|untaken| *untaken == Untaken::Incomplete) {
            let rest = rest(&mut socket, &mut read, limit, is_stopping);
            if let Ok(completed) = timeout(PATIENCE, rest).await {
                taken = completed?;
            }
        }
        let Ok(PlainRequest { request, keeps_alive }) = taken else {
            socket.give_back(&read);
            return Ok(Served::HandedOver(socket));
        };
        let asked = request.method.clone();
        let answer = {
            let exchange = exchange::serve(proxying.clone(), link.clone(), request);
            let mut exchange = pin!(exchange);
            poll_fn(|context| {
                if let Poll::Ready(answer) = exchange.as_mut().poll(context) {
                    return Poll::Ready(answer.map(Some).map_err(ServeError::from));
                }
                ready!(poll_gone(&mut socket, &mut read, context));
                Poll::Ready(Ok(None))
            })
            .await?
        };
        let Some(answer) = answer else { return Ok(Served::Ended) };
        let goes_on = keeps_alive && !is_stopping.load(Ordering::Relaxed);
        let mut writing = Writing::begin(answer, &asked, goes_on, &mut out);
        let is_written = poll_fn(|context| {
            if let Poll::Ready(written) = writing.poll(&mut socket, context) {
                return Poll::Ready(written.map(|()| true));
            }
            ready!(poll_gone(&mut socket, &mut read, context));
            Poll::Ready(Ok(false))
        });
        if !is_written.await? {
            return Ok(Served::Ended);
        }
        drop(writing);
        if !goes_on {
            close(&mut socket).await?;
            return Ok(Served::Ended);
        }
    }
}

/// Waits for what the client sends. None is the end, of the client or of its time.
async fn more(
    socket: &mut Socket,
    read: &mut BytesMut,
    is_stopping: &AtomicBool,
) -> io::Result<usize> {
    poll_fn(|context| {
        if is_stopping.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(0));
        }
        poll_more(socket, read, context)
    })
    .await
}

/// Waits for the rest of a request.
async fn rest(
    socket: &mut Socket,
    read: &mut BytesMut,
    limit: usize,
    is_stopping: &AtomicBool,
) -> io::Result<Result<PlainRequest, Untaken>> {
    loop {
        if more(socket, read, is_stopping).await? == 0 {
            return Ok(Err(Untaken::NotPlain));
        }
        match head::take_request(read, limit) {
            Err(Untaken::Incomplete) => {}
            taken => return Ok(taken),
        }
    }
}

/// Reads what the client sends. None is the end.
fn poll_more(
    socket: &mut Socket,
    read: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if read.capacity() - read.len() < ROOM / 2 {
        read.reserve(ROOM);
    }
    pin!(socket.read_buf(read)).poll(context)
}

/// Ready when the client has gone; what it sends meanwhile is kept, as far as that is not too much.
fn poll_gone(socket: &mut Socket, read: &mut BytesMut, context: &mut Context<'_>) -> Poll<()> {
    while read.len() < AHEAD {
        match ready!(poll_more(socket, read, context)) {
            Ok(0) | Err(_) => return Poll::Ready(()),
            Ok(_) => {}
        }
    }
    Poll::Pending
}

/// Ends the connection once all was written.
async fn close(socket: &mut Socket) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut *socket).poll_shutdown(context)).await
}

/// What is to be written: small things together, then one that is not small, and what ends it.
#[derive(Default)]
struct Out {
    small: BytesMut,
    large: Bytes,
    end: &'static [u8],
}

impl Out {
    fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty() && self.end.is_empty()
    }

    /// Whether more can be added.
    fn has_room(&self) -> bool {
        self.large.is_empty() && self.end.is_empty() && self.small.len() < COLLECTED
    }

    fn add(&mut self, data: Bytes, end: &'static [u8]) {
        if data.len() <= SMALL {
            self.small.extend_from_slice(&data);
            self.small.extend_from_slice(end);
        } else {
            (self.large, self.end) = (data, end);
        }
    }

    fn poll_write(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut socket = Pin::new(&mut *socket);
            let written = if self.large.is_empty() && self.end.is_empty() {
                ready!(socket.as_mut().poll_write(context, &self.small))?
            } else {
                let slices = [&self.small[..], &self.large[..], self.end].map(IoSlice::new);
                ready!(socket.as_mut().poll_write_vectored(context, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let small = written.min(self.small.len());
            let large = (written - small).min(self.large.len());
            self.small.advance(small);
            self.large.advance(large);
            self.end = &self.end[written - small - large..];
        }
        self.small.clear();
        Poll::Ready(Ok(()))
    }
}

/// How an answer's body is delimited.
#[derive(Clone, Copy)]
enum Delimited {
    /// So many bytes are to come.
    Length(u64),
    Chunked,
}

/// An answer that is being written.
struct Writing<'a> {
    body: Body,
    delimited: Delimited,
    is_read: bool,
    /// Why it ends early, once what came before is written.
    failure: Option<ServeError>,
    /// What the socket was given may not be on its way yet.
    is_flushed: bool,
    out: &'a mut Out,
}

impl<'a> Writing<'a> {
    fn begin(answer: Answer<Body>, asked: &Method, goes_on: bool, out: &'a mut Out) -> Self {
        let declared = answer.headers.text(&CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.parse().ok());
        let mut more = Vec::new();
        let mut is_read = head::is_bodiless(asked, answer.status);
        let delimited = match (declared, answer.body.size_hint().exact()) {
            _ if is_read => Delimited::Length(0),
            (Some(length), _) => Delimited::Length(length),
            (None, Some(length)) => {
                more.push((CONTENT_LENGTH, length.into()));
                Delimited::Length(length)
            }
            (None, None) => {
                more.push((TRANSFER_ENCODING, HeaderValue::from_static("chunked")));
                Delimited::Chunked
            }
        };
        is_read |= matches!(delimited, Delimited::Length(0)) && answer.body.is_end_stream();
        if !goes_on {
            more.push((CONNECTION, HeaderValue::from_static("close")));
        }
        head::write_response(&mut out.small, &answer, &more);
        Self { body: answer.body, delimited, is_read, failure: None, is_flushed: false, out }
    }

    /// Ready when all of it was written.
    fn poll(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ServeError>> {
        loop {
            while !self.is_read && self.out.has_room() {
                let taken = match Pin::new(&mut self.body).poll_frame(context) {
                    Poll::Ready(Some(frame)) => {
                        frame.map_err(Into::into).and_then(|it| self.take(it))
                    }
                    Poll::Ready(None) => self.end(),
                    Poll::Pending => break,
                };
                self.failure = taken.err();
                self.is_read |= self.failure.is_some() || self.is_complete();
            }
            if self.out.is_empty() {
                if let Some(failure) = self.failure.take() {
                    return Poll::Ready(Err(failure));
                }
                if !self.is_flushed {
                    // Faults may hold back what the socket was given; the body goes on meanwhile.
                    self.is_flushed = Pin::new(&mut *socket).poll_flush(context)?.is_ready();
                }
                let is_done = self.is_read && self.is_flushed;
                return if is_done { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            ready!(self.out.poll_write(socket, context))?;
            self.is_flushed = false;
        }
    }

    /// Whether nothing is to come, as far as one can tell without asking.
    fn is_complete(&self) -> bool {
        matches!(self.delimited, Delimited::Length(0)) && self.body.is_end_stream()
    }

    fn take(&mut self, frame: http_body::Frame<Bytes>) -> Result<(), ServeError> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let (Delimited::Chunked, Ok(trailers)) = (self.delimited, frame.into_trailers())
                {
                    self.out.small.extend_from_slice(b"0\r\n");
                    head::write_trailers(&mut self.out.small, &trailers);
                    self.is_read = true;
                }
                return Ok(());
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.delimited {
            Delimited::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(ServeError::Length)?;
                self.out.add(data, b"");
            }
            Delimited::Chunked => {
                let _ = write!(self.out.small, "{:X}\r\n", data.len()); // it has room
                self.out.add(data, b"\r\n");
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ServeError> {
        match self.delimited {
            Delimited::Length(0) => {}
            Delimited::Length(_) => return Err(ServeError::Length),
            Delimited::Chunked => self.out.small.extend_from_slice(b"0\r\n\r\n"),
        }
        self.is_read = true;
        Ok(())
    }
}
