//! The first moment: a downstream connection, from its acceptance to its end.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use squall_model::verdict::ConnectionVerdict;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Decision, Met};
use crate::carry::{self, Onwards};
use crate::delay::Delay;
use crate::exchange;
use crate::ledger::Ledger;
use crate::record::{Hit, Recorder};
use crate::upstream::{Pool, Upstreams};

/// How long open exchanges may take to finish when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// What one thread's connections share with all others.
#[derive(Clone, Debug)]
pub(crate) struct Proxying {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) recorder: Arc<Recorder>,
    /// This thread's own.
    pub(crate) delay: Delay,
}

/// One downstream connection, as the exchanges on it see it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    reset: AtomicBool,
    /// While it is stalled, nothing is read for the exchanges or written.
    stalled: AtomicBool,
    pub(crate) pool: Pool,
}

impl Link {
    /// When the connection ends, which it should soon, it ends with a TCP RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: TcpStream, proxying: Arc<Proxying>, shutdown: CancellationToken) {
    // Without it, small messages wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let socket = Socket { stream, link: link.clone(), ahead: BytesMut::new() };
    let service = {
        let (proxying, link) = (proxying.clone(), link.clone());
        service_fn(move |request| exchange::serve(proxying.clone(), link.clone(), request))
    };
    let mut connection = pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(socket), service)
    );
    let key = proxying.board.arrival();
    let mut changes = proxying.board.subscribe();
    let mut met = Met::default();
    loop {
        for decision in proxying.board.decide_connection(&mut met, key) {
            let carried = carry_out(decision, &proxying, &link);
            link.stalled.store(true, Ordering::Relaxed);
            tokio::select! {
                onwards = carried => if onwards == Onwards::End { return },
                // It is polled so that the client's leaving is seen.
                served = connection.as_mut() => return log_end(served),
                () = shutdown.cancelled() => return,
            }
            link.stalled.store(false, Ordering::Relaxed);
        }
        tokio::select! {
            served = connection.as_mut() => return log_end(served),
            Ok(()) = changes.changed() => {}
            () = shutdown.cancelled() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}

async fn carry_out(
    decision: Decision<ConnectionVerdict>,
    proxying: &Proxying,
    link: &Link,
) -> Onwards {
    proxying.recorder.injection(&decision.fault.fault, &Hit::default());
    carry::connection(decision, link, &proxying.delay).await
}

fn log_end(served: Result<(), hyper::Error>) {
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How much of what the client sends to a stalled connection is read, to see whether it is still
/// there, in bytes.
const AHEAD: usize = 64 * 1024;

/// The downstream socket. It ends with a RST, and pauses, where its link says so.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    /// What came while the connection was stalled.
    ahead: BytesMut,
}

impl Socket {
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
