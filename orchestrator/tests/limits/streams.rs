//! As many open event streams as a process may have files for.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{DEADLINE, Squall, proxy};

/// The proxy has two files for each.
const STREAMS: usize = 9_500;
/// What it needs besides.
const FILES: u64 = 2 * STREAMS as u64 + 500;
/// How many begin at a time.
const AT_ONCE: usize = 64;

/// A session, and the bytes that came on its connection.
struct Session {
    stream: TcpStream,
    id: String,
}

impl Session {
    async fn start(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut session = Self { stream, id: String::new() };
        let head = session.post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"limits","version":"1"}}}"#).await;
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        session.id = id.unwrap_or_else(|| panic!("no session: {head}")).to_owned();
        session.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        session
    }

    /// Sends a message, and gives the head of its answer in small letters.
    async fn post(&mut self, message: &str) -> String {
        let session = self.header();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{session}Content-Length: {}\r\n\r\n{message}",
            message.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("it reads");
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        self.stream.read_exact(&mut vec![0; length]).await.expect("a body");
        head
    }

    fn header(&self) -> String {
        if self.id.is_empty() {
            return String::new();
        }
        format!("Mcp-Session-Id: {}\r\nMCP-Protocol-Version: 2025-11-25\r\n", self.id)
    }

    async fn head(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 2"), "{head}");
        head.to_ascii_lowercase()
    }

    /// Opens its event stream.
    async fn listen(&mut self) {
        let header = self.header();
        let request =
            format!("GET /mcp HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{header}\r\n");
        self.stream.write_all(request.as_bytes()).await.expect("it reads");
        assert!(self.head().await.contains("text/event-stream"));
    }

    /// Reads, a byte at a time, until this has come.
    async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            read.push(self.stream.read_u8().await.expect("the stream is open"));
        }
        String::from_utf8(read).expect("text")
    }
}

/// Lets this process, and those that it starts, have as many files as they may.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(most >= FILES, "this machine allows {most} files a process, and {FILES} are needed");
    let raised = Rlimit { current: Some(FILES.max(limit.current.unwrap_or(most))), ..limit };
    setrlimit(Resource::Nofile, raised).expect("what is allowed");
}

#[tokio::test]
async fn nine_thousand_five_hundred_event_streams_are_open_at_once_and_each_gets_its_event() {
    raise_limit();
    let server = Squall::start(&["server", "--listen", "127.0.0.1:0"], 1).await;
    let proxy = proxy(&server.addresses[0], &[]).await;
    let address = proxy.addresses[0].clone();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for _ in 0..STREAMS {
        let (address, turns) = (address.clone(), turns.clone());
        opening.spawn(async move {
            let _turn = turns.acquire().await.expect("it is never closed");
            let mut session = Session::start(&address).await;
            session.listen().await;
            session
        });
    }
    let open = timeout(DEADLINE, opening.join_all()).await.expect("all of them in time");
    assert_eq!(stats(&proxy.addresses[1]).await["open_streams"], STREAMS);

    let mut teller = Session::start(&address).await;
    teller.post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"trigger-notification","arguments":{"kind":"tools"}}}"#).await;
    let mut hearing = JoinSet::new();
    for mut session in open {
        hearing.spawn(async move { session.until("notifications/tools/list_changed").await });
    }
    let heard = timeout(DEADLINE, hearing.join_all()).await.expect("all of them in time");
    assert_eq!(heard.len(), STREAMS);
    let each = proxy.peak_memory() / STREAMS as u64;
    assert!(each < 64 * 1024, "{each} bytes for each stream");
}

async fn stats(admin: &str) -> Value {
    let mut stream = TcpStream::connect(admin).await.expect("it listens");
    let request = format!("GET /stats HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}
