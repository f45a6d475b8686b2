//! HTTP/1.1 byte for byte: the tests' own client side, so that no library smooths anything over.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for any machine; a test that waits so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A connection that speaks raw bytes.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How reading ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum End {
    /// A FIN.
    Closed,
    /// A RST: `ECONNRESET`.
    Reset,
}

/// A message as it was on the wire, its body decoded.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names with their case, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.expect("somebody listens"))
    }

    /// Connects; `None` if the connection is reset at once.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        match TcpStream::connect(address).await {
            Ok(stream) => Some(Self::new(stream)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("nobody listens: {error}"),
        }
    }

    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true); // a RST may have come already
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the peer reads");
    }

    /// Sends what may be cut off, and says whether it was sent.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads one message with its body; `None` if the connection ends before it.
    pub async fn message(&mut self) -> Option<Message> {
        let mut message = self.head().await?;
        let chunked = message.header("transfer-encoding") == Some("chunked");
        let length = message.header("content-length").map(|text| text.parse().expect("a length"));
        let is_request = !message.start.starts_with("HTTP/");
        match length {
            _ if !is_request && matches!(message.status(), 204 | 304) => {}
            _ if chunked => self.chunks(&mut message).await?,
            Some(length) => message.body = self.take(length).await?,
            None if is_request => {}
            None => {
                while self.fill().await.is_ok() {}
                message.body = std::mem::take(&mut self.buffer);
            }
        }
        Some(message)
    }

    /// Reads the head of a message only.
    pub async fn head(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await.ok()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut lines = String::from_utf8(head).expect("a head in UTF-8");
        lines.truncate(lines.len() - 4);
        let mut lines = lines.split("\r\n");
        let start = lines.next().expect("a first line").to_owned();
        Some(Message { start, headers: lines.map(field).collect(), ..Message::default() })
    }

    /// Reads one chunk of a chunked body; `None` at its end (or the connection's).
    pub async fn chunk(&mut self) -> Option<String> {
        let size = self.line().await?;
        let size = usize::from_str_radix(&size, 16).expect("a chunk size");
        let data = self.take(size).await?;
        self.line().await?;
        (size > 0).then(|| String::from_utf8(data).expect("text"))
    }

    /// Reads what comes next, however much it is, and takes it away.
    pub async fn read_some(&mut self) -> Vec<u8> {
        self.fill().await.expect("something comes");
        std::mem::take(&mut self.buffer)
    }

    /// Reads a message of which this was read already.
    pub async fn message_after(&mut self, start: &str) -> Message {
        self.buffer.splice(0..0, start.bytes());
        self.message().await.expect("a message")
    }

    /// Reads one chunk of a chunked body, which may be no text.
    pub async fn raw_chunk(&mut self) -> Vec<u8> {
        let size = self.line().await.expect("a chunk");
        let size = usize::from_str_radix(&size, 16).expect("a chunk size");
        let data = self.take(size).await.expect("a chunk");
        self.line().await;
        data
    }

    /// Whether nothing is left of what was read: after the last chunk, the body was complete.
    pub fn rest_is_clean(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Reads until the connection ends, and says how.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.fill().await {
                return end;
            }
        }
    }

    /// Reads until the connection ends: what came, and how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        let end = self.end().await;
        (std::mem::take(&mut self.buffer), end)
    }

    /// Whether anything can be read.
    pub fn has_something(&self) -> bool {
        !self.buffer.is_empty() || self.peek()
    }

    fn peek(&self) -> bool {
        socket2::SockRef::from(&self.stream).peek(&mut [std::mem::MaybeUninit::uninit()]).is_ok()
    }

    /// Sends no more.
    pub async fn close_half(&mut self) {
        self.stream.shutdown().await.expect("the peer is there");
    }

    /// Sends no more, and reads to the end, whatever it is.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
        self.end().await;
    }

    /// Ends with a RST.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    async fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            message.body.extend(self.take(size).await?);
            self.line().await?;
        }
        loop {
            match self.line().await?.as_str() {
                "" => return Some(()),
                line => message.trailers.push(field(line)),
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            self.fill().await.ok()?;
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        Some(String::from_utf8(line).expect("text"))
    }

    pub async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await.ok()?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> Result<(), End> {
        let read = self.stream.read_buf(&mut self.buffer);
        match tokio::time::timeout(DEADLINE, read).await.expect("an answer within the deadline") {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("reading failed: {error}"),
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect("a header field");
    (name.to_owned(), value.trim().to_owned())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A POST of JSON on a connection that stays open.
pub fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A `tools/call`.
pub fn call(id: u32, tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}
