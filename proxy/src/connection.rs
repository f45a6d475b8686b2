//! The first moment: a downstream connection, from its acceptance to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use squall_model::scope::MCP_ROUTE;
use squall_model::verdict::ConnectionVerdict;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Decision, Met};
use crate::carry::{self, Onwards};
use crate::delay::Delay;
use crate::exchange;
use crate::link::Link;
use crate::proxying::Proxying;
use crate::record::{Hit, Recorder};
use crate::socket::Socket;

/// How long open exchanges may take to finish when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// Serves an HTTP connection until it ends.
pub(crate) async fn serve(stream: TcpStream, proxying: Arc<Proxying>, shutdown: CancellationToken) {
    // Without it, small messages wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::counting(proxying.traffic.clone()));
    let socket = Socket::new(stream, link.clone(), proxying.delay.clone());
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
    let faults = Faults {
        board: &proxying.board,
        recorder: &proxying.recorder,
        delay: &proxying.delay,
        route: MCP_ROUTE,
    };
    tokio::select! {
        served = faults.act_on(&link, connection.as_mut()) => return log_end(served),
        () = shutdown.cancelled() => {}
    }
    if link.is_stalled() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
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

fn log_end(served: Option<Result<(), hyper::Error>>) {
    if let Some(Err(error)) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
