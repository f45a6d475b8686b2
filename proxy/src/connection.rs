//! The first moment: a downstream connection, from its acceptance to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use squall_model::verdict::ConnectionVerdict;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::board::{Decision, Met};
use crate::carry::{self, Onwards};
use crate::exchange;
use crate::link::Link;
use crate::proxying::Proxying;
use crate::record::Hit;
use crate::socket::Socket;

/// How long open exchanges may take to finish when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: TcpStream, proxying: Arc<Proxying>, shutdown: CancellationToken) {
    // Without it, small messages wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::default());
    let socket = Socket::new(stream, link.clone());
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
            link.stall(true);
            tokio::select! {
                onwards = carried => if onwards == Onwards::End { return },
                // It is polled so that the client's leaving is seen.
                served = connection.as_mut() => return log_end(served),
                () = shutdown.cancelled() => return,
            }
            link.stall(false);
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
