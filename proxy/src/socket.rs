//! The downstream socket: it does to the bytes that it carries, and to its end, what its link says.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use squall_model::verdict::Ending;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::delay::{Delay, Wait};
use crate::link::Link;

mod pipe;

use pipe::Pipe;

/// How much of what the client sends to a stalled connection is read, to see whether it is still
/// there, in bytes.
const AHEAD: usize = 64 * 1024;

/// The downstream socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    delay: Delay,
    /// What came while the connection was stalled.
    ahead: BytesMut,
    /// What was read and given back.
    back: BytesMut,
    /// What faults do to what the client sends, and to what it gets.
    pipes: Option<Box<Pipes>>,
    /// The stages that the pipes know are those of this generation of the link.
    generation: u64,
}

#[derive(Debug)]
struct Pipes {
    up: Pipe,
    down: Pipe,
    /// Whether the client has sent all.
    is_read: bool,
    /// What delays the end on each way.
    late_up: Option<Wait>,
    late_down: Option<Wait>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, link: Arc<Link>, delay: Delay) -> Self {
        Self {
            stream,
            link,
            delay,
            ahead: BytesMut::new(),
            back: BytesMut::new(),
            pipes: None,
            generation: 0,
        }
    }

    /// Gives back what was read, to be read once more.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        self.back.extend_from_slice(bytes);
        self.link.hear(0);
    }

    /// Takes over what faults have changed.
    fn attend(&mut self) {
        let generation = self.link.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let stages = self.link.stages();
        let delay = &self.delay;
        let pipes = self.pipes.get_or_insert_with(|| {
            Box::new(Pipes {
                up: Pipe::new(delay.clone()),
                down: Pipe::new(delay.clone()),
                is_read: false,
                late_up: None,
                late_down: None,
            })
        });
        pipes.up.set(stages.iter().filter(|stage| stage.flow.is_up()).cloned().collect());
        pipes.down.set(stages.iter().filter(|stage| stage.flow.is_down()).cloned().collect());
        if pipes.up.is_idle() && pipes.down.is_idle() && !pipes.is_read {
            self.pipes = None;
        }
    }

    /// Looks for the end of the connection, and keeps what comes before it.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD {
            let before = self.ahead.len();
            self.ahead.reserve(4096);
            ready!(pin!(self.stream.read_buf(&mut self.ahead)).poll(context))?;
            if self.ahead.len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Reads what the client sends into the pipe, as far as it has room.
    fn fill_up(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(pipes) = &mut self.pipes else { return Ok(()) };
        if !self.ahead.is_empty() {
            pipes.up.push(&self.ahead.split());
        }
        let mut chunk = [0; 16 * 1024];
        while !pipes.is_read && pipes.up.has_room() {
            let mut buffer = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            let read = buffer.filled();
            pipes.is_read = read.is_empty();
            self.link.hear(read.len() as u64);
            if !read.is_empty() {
                pipes.up.push(read);
            }
        }
        Ok(())
    }

    fn poll_read_shaped(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fill_up(context)?;
        let Some(pipes) = &mut self.pipes else { return Poll::Ready(Ok(())) };
        // A client that has gone is gone, whatever it said before nobody listened.
        if pipes.is_read && pipes.up.is_stalled() {
            return Poll::Ready(Ok(()));
        }
        if let Some(bytes) = ready!(pipes.up.poll_next(context)) {
            let count = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..count]);
            pipes.up.advance(count);
            return Poll::Ready(Ok(()));
        }
        if let Some(ending) = pipes.up.ending() {
            if ending == Ending::Reset {
                self.link.reset();
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if !pipes.is_read {
            return Poll::Pending;
        }
        let late = pipes.up.late_end();
        let wait = pipes.late_up.get_or_insert_with(|| self.delay.until(Instant::now() + late));
        if late.is_zero() { Poll::Ready(Ok(())) } else { Pin::new(wait).poll(context).map(Ok) }
    }

    /// Writes what the pipe lets go. Ready when it holds nothing any more.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(pipes) = &mut self.pipes else { return Poll::Ready(Ok(())) };
        while let Some(bytes) = ready!(pipes.down.poll_next(context)) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes))?;
            self.link.traffic.down.fetch_add(count as u64, Ordering::Relaxed);
            pipes.down.advance(count);
        }
        if let Some(ending) = pipes.down.ending() {
            if ending == Ending::Reset {
                self.link.reset();
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the FIN of a connection that is half closed.
    fn poll_half_close(&mut self, context: &mut Context<'_>) {
        // A socket that is shut down already says so; there is nothing to do about it.
        let _ = Pin::new(&mut self.stream).poll_shutdown(context);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.is_reset() {
            // Closing a socket that lingers for no time sends a RST (tcp(7), SO_LINGER).
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.attend();
        if this.link.is_stalled() {
            return this.poll_end(context);
        }
        if this.link.is_half_closed() {
            this.poll_half_close(context);
        }
        if !this.back.is_empty() {
            let length = buffer.remaining().min(this.back.len());
            buffer.put_slice(&this.back.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if this.pipes.is_some() {
            if let Poll::Ready(Err(error)) = this.poll_drain(context) {
                return Poll::Ready(Err(error));
            }
            return this.poll_read_shaped(context, buffer);
        }
        if !this.ahead.is_empty() {
            let length = buffer.remaining().min(this.ahead.len());
            buffer.put_slice(&this.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        this.link.hear(read as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.attend();
        if this.link.is_stalled() || this.link.is_half_closed() || this.pipes.is_some() {
            return self.poll_write_vectored(context, &[IoSlice::new(bytes)]);
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.link.traffic.down.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.attend();
        if this.link.is_stalled() {
            return Poll::Pending; // the task that ends the stall polls again
        }
        if this.link.is_half_closed() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        if this.pipes.is_some() {
            let drained = this.poll_drain(context)?;
            let Some(pipes) = &mut this.pipes else { return Poll::Pending };
            if drained.is_pending() && !pipes.down.has_room() {
                return Poll::Pending;
            }
            let first = slices.iter().find(|slice| !slice.is_empty());
            let Some(first) = first else { return Poll::Ready(Ok(0)) };
            let count = first.len().min(16 * 1024);
            pipes.down.push(&first[..count]);
            let _ = this.poll_drain(context)?;
            return Poll::Ready(Ok(count));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        this.link.traffic.down.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.attend();
        if this.pipes.is_some() && !this.link.is_half_closed() {
            ready!(this.poll_drain(context))?;
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.attend();
        if this.link.is_reset() {
            return Poll::Ready(Ok(())); // a FIN would come before the RST
        }
        if this.pipes.is_some() && !this.link.is_half_closed() {
            ready!(this.poll_drain(context))?;
            if let Some(pipes) = &mut this.pipes {
                let late = pipes.down.late_end();
                let end = || this.delay.until(Instant::now() + late);
                let wait = pipes.late_down.get_or_insert_with(end);
                if !late.is_zero() {
                    ready!(Pin::new(wait).poll(context));
                }
            }
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
