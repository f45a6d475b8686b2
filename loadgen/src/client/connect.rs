//! The hop to the server: a TCP connection without delay, and HTTP/1.1 on it.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use squall_model::history::{Cause, Nanos};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Wire, trouble};

/// An open connection and the task that moves its bytes.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    /// Closes the socket at once, whatever is still in flight on it.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(super) async fn open(wire: &Wire) -> Result<Self, Cause> {
        let address = (wire.target.host(), wire.target.port());
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| wire.notes.cause_of(&error))?;
        // Without it a request may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let opened = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| trouble::cause_of(&error))?;
        let driver = tokio::spawn(async move {
            // Its error reaches the exchange that it breaks; between exchanges it is of no matter.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Whether it can carry another request: the server has not closed it.
    pub(super) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and waits for the response's head. If it certainly never left, `sent` is
    /// taken back.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        sent: &mut Option<Nanos>,
    ) -> Result<Response<Incoming>, Cause> {
        if !self.is_open().await {
            *sent = None;
            return Err(Cause::Closed);
        }
        let response = self.sender.try_send_request(request).await;
        response.map_err(|mut error| {
            if error.take_message().is_some() {
                *sent = None;
            }
            trouble::cause_of(error.error())
        })
    }
}

/// What went wrong on this side when connecting, in words: a cause has no room for them.
#[derive(Debug, Default)]
pub(crate) struct ConnectNotes(Mutex<Option<String>>);

impl ConnectNotes {
    /// The first note that was taken.
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().clone()
    }

    fn cause_of(&self, error: &io::Error) -> Cause {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::Refused,
            io::ErrorKind::ConnectionReset => Cause::Reset,
            io::ErrorKind::TimedOut => Cause::Timeout,
            _ => {
                self.0.lock().get_or_insert_with(|| note(error));
                Cause::Refused
            }
        }
    }
}

fn note(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            let limit = getrlimit(Resource::Nofile).current;
            let limit = limit.map_or_else(|| "no number of".to_owned(), |most| most.to_string());
            format!(
                "too many open files: this process may open {limit}, and each session needs one: \
                 raise it with `ulimit -n`"
            )
        }
        Some(Errno::NFILE) => "too many open files on this machine: raise fs.file-max".to_owned(),
        Some(Errno::ADDRNOTAVAIL) => {
            "no local port is left: widen net.ipv4.ip_local_port_range or use fewer sessions"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_files_is_said_with_what_to_do() {
        let notes = ConnectNotes::default();
        let cause = notes.cause_of(&io::Error::from(Errno::MFILE));
        let note = notes.first().expect("a note");
        assert_eq!(cause, Cause::Refused);
        assert!(note.contains("ulimit -n"), "{note}");
    }

    #[test]
    fn what_a_cause_can_say_needs_no_note() {
        let notes = ConnectNotes::default();
        let refused = io::Error::from(Errno::CONNREFUSED);
        assert_eq!(notes.cause_of(&refused), Cause::Refused);
        assert_eq!(notes.first(), None);
    }
}
