//! The downstream socket: it ends with a RST, and pauses, where its link says so.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::link::Link;

/// How much of what the client sends to a stalled connection is read, to see whether it is still
/// there, in bytes.
const AHEAD: usize = 64 * 1024;

/// The downstream socket. It ends with a RST, and pauses, where its link says so.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    /// What came while the connection was stalled.
    ahead: BytesMut,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, link: Arc<Link>) -> Self {
        Self { stream, link, ahead: BytesMut::new() }
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
        if self.link.is_stalled() {
            return self.poll_end(context);
        }
        if !self.ahead.is_empty() {
            let length = buffer.remaining().min(self.ahead.len());
            buffer.put_slice(&self.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.link.is_stalled() {
            return Poll::Pending; // the task that ends the stall polls again
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.link.is_stalled() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.link.is_reset() {
            return Poll::Ready(Ok(())); // a FIN would come before the RST
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
