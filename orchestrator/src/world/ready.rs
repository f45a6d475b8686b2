//! Whether a replica is ready: one question, asked until it is answered with yes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::redis::{RedisError, RedisUrl};

/// How long one question may stay unanswered.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a connection must stay open to count as kept.
const KEPT: Duration = Duration::from_millis(100);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// How a replica is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// `GET` of this path is answered with 200.
    Path(String),
    /// It accepts connections. For servers that have no such path.
    Connect,
    /// It accepts connections and does not close them at once. What forwards a published port accepts
    /// them for a container that does not listen yet.
    #[serde(skip)]
    Keeps,
    /// It is a Redis that answers `PING`: one that still reads its file does not.
    #[serde(skip)]
    Redis(RedisUrl),
}

impl Default for Probe {
    fn default() -> Self {
        Self::Path("/readyz".to_owned())
    }
}

impl Probe {
    /// Whether a request can be made of it.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Path(path) if !is_path(path) => Err(format!(
                "`{path}` is not a path to ask for readiness: expected a form like /readyz"
            )),
            _ => Ok(()),
        }
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok()
}

/// What stood in the way of a yes.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// A connection that did not last.
    #[error("a connection that was closed at once")]
    Closed,
    /// No answer.
    #[error("a connection, but no answer")]
    Silent,
    /// A broken answer.
    #[error("no HTTP answer")]
    Broken(#[from] hyper::Error),
    /// Another answer than yes.
    #[error("GET {path} was answered with {status} where 200 was expected")]
    Status {
        /// What was asked for.
        path: String,
        /// What came back.
        status: StatusCode,
    },
    /// Redis says no.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A path that no request can be made of.
    #[error("`{0}` is not a path: expected a form like /readyz")]
    BadPath(String),
}

/// Asks until the answer is yes, or fails at the deadline with the last reason why not.
pub(crate) async fn wait(
    address: SocketAddr,
    probe: &Probe,
    deadline: Duration,
) -> Result<(), NotReady> {
    let end = Instant::now() + deadline;
    let mut reason = NotReady::Silent;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left.min(PATIENCE), ask(address, probe)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => reason = error,
            // A question that the deadline cut short says less than the answer before it.
            Err(_) if left < PATIENCE => return Err(reason),
            Err(_) => reason = NotReady::Silent,
        }
        if Instant::now() + PAUSE > end {
            return Err(reason);
        }
        sleep(PAUSE).await;
    }
}

async fn ask(address: SocketAddr, probe: &Probe) -> Result<(), NotReady> {
    if let Probe::Redis(url) = probe {
        return Ok(url.ping().await?);
    }
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(NotReady::Connect)?;
    match probe {
        Probe::Path(path) => get(stream, address, path).await,
        Probe::Keeps => kept(stream).await,
        Probe::Connect | Probe::Redis(_) => Ok(()),
    }
}

async fn kept(mut stream: TcpStream) -> Result<(), NotReady> {
    match timeout(KEPT, stream.read(&mut [0])).await {
        Ok(Ok(0)) => Err(NotReady::Closed),
        Ok(Err(error)) => Err(NotReady::Connect(error)),
        // It speaks first, or waits for us to do so.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

async fn get(stream: TcpStream, address: SocketAddr, path: &str) -> Result<(), NotReady> {
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| NotReady::BadPath(path.to_owned()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        tokio::select! {
            answer = sender.send_request(request) => answer,
            Err(error) = connection => Err(error),
        }
    };
    match answer.await?.status() {
        StatusCode::OK => Ok(()),
        status => Err(NotReady::Status { path: path.to_owned(), status }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    /// Asks a server that answers with these bytes.
    async fn check(answer: &'static str, probe: Probe) -> Result<(), NotReady> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        tokio::join!(server, ask(address, &probe)).1
    }

    #[tokio::test]
    async fn only_200_is_a_yes() {
        let ok = check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Probe::default());
        ok.await.expect("ready");
        for (answer, says) in [
            ("HTTP/1.1 503 No\r\n\r\n", "GET /readyz was answered with 503"),
            ("HTTP/1.1 204 No Content\r\n\r\n", "204"),
            ("SSH-2.0-x\r\n", "no HTTP answer"),
            ("", "no HTTP answer"),
        ] {
            let error = check(answer, Probe::default()).await.expect_err(answer);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_enough_where_no_path_is_asked_for() {
        check("", Probe::Connect).await.expect("ready");
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_at_once_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let close_at_once = async { drop(listener.accept().await.expect("a connection")) };
        let asked = tokio::join!(close_at_once, ask(address, &Probe::Keeps)).1;
        let error = asked.expect_err("closed");
        assert!(matches!(error, NotReady::Closed), "{error}");
        check("", Probe::Keeps).await.expect("it waits for us to speak");
    }

    #[tokio::test]
    async fn nobody_there_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let error = ask(address, &Probe::default()).await.expect_err("nobody");
        assert!(matches!(error, NotReady::Connect(_)), "{error}");
    }
}
