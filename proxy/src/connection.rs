//! The first moment: a downstream connection, from its acceptance to its end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use http::{Request, Response};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use squall_model::scope::MCP_ROUTE;
use squall_model::verdict::ConnectionVerdict;
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Decision, Met};
use crate::carry::{self, Onwards};
use crate::delay::Delay;
use crate::exchange;
use crate::link::Link;
use crate::plain::{self, Served};
use crate::proxying::Proxying;
use crate::record::{Hit, Recorder};
use crate::socket::Socket;
use crate::upstream::{CONNECTION_WINDOW, STREAM_WINDOW};

/// How long open exchanges may take to finish when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// Serves an HTTP connection until it ends.
pub(crate) async fn serve(stream: TcpStream, proxying: Arc<Proxying>, shutdown: CancellationToken) {
    // Without it, small messages wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::counting(proxying.traffic.clone()));
    let socket = Socket::new(stream, link.clone(), proxying.delay.clone());
    let served = pin!(speak(socket, link.clone(), proxying.clone(), shutdown));
    let faults = Faults {
        board: &proxying.board,
        recorder: &proxying.recorder,
        delay: &proxying.delay,
        route: MCP_ROUTE,
    };
    if let Some(Err(error)) = faults.act_on(&link, served).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Speaks what the client speaks: TLS where it has to, and HTTP/1.1 or HTTP/2.
async fn speak(
    socket: Socket,
    link: Arc<Link>,
    proxying: Arc<Proxying>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let patience = proxying.limits.head;
    let socket = match begin_plainly(socket, &link, &proxying, &shutdown).await? {
        Served::Ended => return Ok(()),
        Served::HandedOver(socket) => socket,
    };
    let stream = match &proxying.tls {
        None => Either::Left(socket),
        Some(tls) => {
            let handshake = Box::pin(tokio::time::timeout(patience, tls.accept(socket)));
            tokio::select! {
                stream = handshake => Either::Right(Box::new(stream??)),
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    };
    let service = {
        let link = link.clone();
        service_fn(move |request: Request<hyper::body::Incoming>| {
            exchange::serve(proxying.clone(), link.clone(), request.into()).map_ok(Response::from)
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().preserve_header_case(true).auto_date_header(false);
    builder
        .http2()
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        served = connection.as_mut() => return served,
        () = dawdles(&link, patience) => return Err("the head of a request did not end".into()),
        () = shutdown.cancelled() => {}
    }
    if !link.is_stalled() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(GRACE, connection).await;
    }
    Ok(())
}

/// Serves what is plain, if all that it takes is.
async fn begin_plainly(
    socket: Socket,
    link: &Arc<Link>,
    proxying: &Arc<Proxying>,
    shutdown: &CancellationToken,
) -> Result<Served, Error> {
    if proxying.tls.is_some() || !proxying.upstreams.are_plain() {
        return Ok(Served::HandedOver(socket));
    }
    let is_stopping = AtomicBool::new(false);
    let mut serving = pin!(plain::serve(socket, link, proxying, &is_stopping));
    tokio::select! {
        biased;
        served = serving.as_mut() => return Ok(served?),
        () = shutdown.cancelled() => is_stopping.store(true, Ordering::Relaxed),
    }
    if link.is_stalled() {
        return Ok(Served::Ended);
    }
    match tokio::time::timeout(GRACE, serving).await {
        Ok(served) => Ok(served?),
        Err(_) => Ok(Served::Ended),
    }
}

/// Ends when a request has begun to come, and its head has not ended for so long. A connection that
/// is silent may be.
async fn dawdles(link: &Link, patience: Duration) {
    let mut seen = None;
    loop {
        tokio::time::sleep(patience).await;
        let now = link.half_heard();
        if now.is_some() && now == seen {
            return;
        }
        seen = now;
    }
}

/// What lets faults act on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults<'a> {
    pub(crate) board: &'a Board,
    pub(crate) recorder: &'a Recorder,
    pub(crate) delay: &'a Delay,
    /// The route that it came in by.
    pub(crate) route: &'a str,
}

impl Faults<'_> {
    /// Polls the connection to its end; `None` if a fault ends it. Each fault that is live, or comes to
    /// be, decides once about it.
    pub(crate) async fn act_on<C: Future + Unpin>(
        self,
        link: &Link,
        mut connection: C,
    ) -> Option<C::Output> {
        let key = self.board.arrival();
        let mut changes = self.board.subscribe();
        let mut met = Met::default();
        loop {
            link.prune();
            for decision in self.board.decide_connection(&mut met, key, self.route) {
                let carried = self.carry_out(decision, link);
                tokio::select! {
                    // What it does to the link comes first.
                    biased;
                    onwards = carried => if onwards == Onwards::End { return None },
                    // It is polled so that the client's leaving is seen.
                    ended = &mut connection => return Some(ended),
                }
                link.stall(false);
            }
            tokio::select! {
                biased;
                ended = &mut connection => return Some(ended),
                Ok(()) = changes.changed() => {}
            }
        }
    }

    async fn carry_out(self, decision: Decision<ConnectionVerdict>, link: &Link) -> Onwards {
        self.recorder.injection(&decision.fault.fault, &Hit::default());
        carry::connection(decision, link, self.delay).await
    }
}
