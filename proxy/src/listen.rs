//! Listening sockets: one for each thread on the same address, and a clear word when it is taken.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::board::{Board, LiveFault};
use crate::record::{Hit, Recorder};

const BACKLOG: i32 = 4096;
/// How long the accept loop rests when the process is out of file descriptors.
const REST: Duration = Duration::from_millis(20);

/// Binds `count` listeners to one address with `SO_REUSEPORT`, so that the kernel spreads connections
/// over them. An address that anybody listens on already is refused, even with `SO_REUSEPORT`.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let probe = listener(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..count.max(1)).map(|_| listener(address, true)).collect()
}

/// Binds one listener that nobody shares.
pub(crate) fn bind_alone(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, false)
}

/// Binds one more listener to an address that is bound so already.
pub(crate) fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, true)
}

/// A listener, and the faults that may close it.
#[derive(Debug)]
pub(crate) struct Door {
    /// None while it is closed.
    pub(crate) listener: Option<tokio::net::TcpListener>,
    pub(crate) board: Arc<Board>,
    pub(crate) recorder: Arc<Recorder>,
    /// The route that comes in by it.
    pub(crate) route: Arc<str>,
}

impl Door {
    /// Accepts the next connection. While a fault keeps the door closed, nobody listens. A connection
    /// that is gone already, or a lack of file descriptors, is not the end.
    pub(crate) async fn accept(&mut self) -> TcpStream {
        let mut changes = self.board.subscribe();
        loop {
            if let Some(fault) = self.board.door_closer(&self.route) {
                self.stay_closed(&fault, &mut changes).await;
            }
            let Some(listener) = &self.listener else { return std::future::pending().await };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => return stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(REST).await;
                    }
                },
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Stops listening until no fault asks for it any more. The port stays taken.
    async fn stay_closed(&mut self, fault: &LiveFault, changes: &mut watch::Receiver<()>) {
        tracing::info!(fault = %fault.fault.id, route = %self.route, "connections are refused");
        let closed = match self.listener.take().map(close).transpose() {
            Ok(closed) => closed,
            Err(error) => return tracing::error!(%error, "the listener could not be closed"),
        };
        fault.count();
        self.recorder.injection(&fault.fault, &Hit::default());
        while self.board.door_closer(&self.route).is_some() {
            let _ = changes.changed().await;
        }
        match closed.map(open).transpose() {
            Ok(listener) => self.listener = listener,
            Err(error) => tracing::error!(%error, "the listener could not be opened again"),
        }
    }
}

/// Stops listening. On Linux a listener that is shut down listens no more, keeps its port, and may
/// listen again.
fn close(listener: tokio::net::TcpListener) -> io::Result<TcpListener> {
    let listener = listener.into_std()?;
    SockRef::from(&listener).shutdown(Shutdown::Read)?;
    Ok(listener)
}

/// Listens again.
fn open(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    SockRef::from(&listener).listen(BACKLOG)?;
    tokio::net::TcpListener::from_std(listener)
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind(any, 2).expect("a free port");
        let taken = first[0].local_addr().expect("an address");
        assert_eq!(first[1].local_addr().expect("an address"), taken);
        let error = bind(taken, 2).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
