//! Listening sockets: one for each thread on the same address, and a clear word when it is taken.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

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

/// Accepts the next connection. A connection that is gone already, or a lack of file descriptors,
/// is not the end.
pub(crate) async fn accept(listener: &tokio::net::TcpListener) -> tokio::net::TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
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
