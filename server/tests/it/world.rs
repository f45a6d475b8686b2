//! A running server on a port of its own, and a client that says just what it is told to.

mod redis;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use squall_model::mcp::header::{EVENT_STREAM, JSON, SESSION_ID};
use squall_model::mcp::sse::{Event, Splitter};
use squall_server::{Config, RunError, run_with_admin};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) use redis::redis;

pub(crate) const BOTH: &str = "application/json, text/event-stream";

/// Waits for what must come, and fails loudly if it does not.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("this should have happened within a minute")
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), RunError>>,
}

/// A server with the default configuration.
pub(crate) async fn server() -> TestServer {
    server_with(|_| {}).await
}

pub(crate) async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let mut config = Config::default();
    change(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let admin_address = admin.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let running = tokio::spawn(run_with_admin(listener, Some(admin), config, shutdown));
    TestServer { address, admin: admin_address, stop: Some(stop), running }
}

impl TestServer {
    /// A server of another process.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, admin: address, stop: None, running: tokio::spawn(async { Ok(()) }) }
    }

    /// A POST of that body with the headers that every client sends.
    pub(crate) fn post(&self, body: impl Into<Bytes>) -> Ask {
        self.ask(Method::POST).header(ACCEPT, BOTH).header(CONTENT_TYPE, JSON).body(body)
    }

    /// A request with no headers at all.
    pub(crate) fn ask(&self, method: Method) -> Ask {
        Ask {
            address: self.address,
            method,
            path: "/mcp".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// What the admin listener has at that path.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        Ask { address: self.admin, ..self.ask(Method::GET) }.path(path).send().await
    }

    /// `initialize`, and the session that it gave.
    pub(crate) async fn session(&self, version: &str) -> String {
        let answer = self.post(initialize(version)).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.session().expect("a session").to_owned()
    }

    /// A session whose client says that it can do that.
    pub(crate) async fn session_of_client(&self, capabilities: &str) -> String {
        let capabilities: Value = serde_json::from_str(capabilities).expect(capabilities);
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities });
        let answer = self.post(request("initialize", &params)).send().await;
        answer.session().expect("a session").to_owned()
    }

    /// The session's stream of messages from the server.
    pub(crate) async fn stream(&self, session: &str) -> Opened {
        let stream = self.ask_for_stream(session).open().await;
        assert_eq!(stream.status, StatusCode::OK);
        stream
    }

    /// The request for that stream.
    pub(crate) fn ask_for_stream(&self, session: &str) -> Ask {
        self.ask(Method::GET).session(session).header(ACCEPT, EVENT_STREAM)
    }

    /// What a ping on that session is answered with.
    pub(crate) async fn ping(&self, session: &str) -> Answer {
        self.post(PING).session(session).send().await
    }

    /// Calls a tool on that session, and reads its text as JSON.
    pub(crate) async fn tool(&self, session: &str, tool: &str, arguments: &Value) -> Value {
        let answer = self.post(call(tool, arguments)).session(session).send().await;
        serde_json::from_str(&answer.tool_text()).expect("JSON")
    }

    /// Waits until it is ready.
    pub(crate) async fn is_ready(&self) {
        self.says(StatusCode::OK).await;
    }

    /// Waits until it is not.
    pub(crate) async fn is_unready(&self) {
        self.says(StatusCode::SERVICE_UNAVAILABLE).await;
    }

    async fn says(&self, status: StatusCode) {
        let said = async {
            while self.probe("/readyz").await.status != status {
                tokio::task::yield_now().await;
            }
        };
        soon(said).await;
    }

    /// What `/healthz` or `/readyz` says.
    pub(crate) async fn probe(&self, path: &str) -> Answer {
        self.ask(Method::GET).path(path).send().await
    }

    /// Asks to stop, without waiting for it.
    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take().expect("asked once").send(()).expect("running");
    }

    /// Waits until `run` has returned.
    pub(crate) async fn stopped(self) -> Result<(), RunError> {
        soon(self.running).await.expect("no panic")
    }
}

pub(crate) fn initialize(version: &str) -> String {
    request("initialize", &json!({ "protocolVersion": version, "capabilities": {} }))
}

pub(crate) fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

pub(crate) fn call(tool: &str, arguments: &Value) -> String {
    request("tools/call", &json!({ "name": tool, "arguments": arguments }))
}

/// The same, asking for progress.
pub(crate) fn call_with_progress(tool: &str, arguments: &Value) -> String {
    let meta = json!({ "progressToken": "p" });
    request("tools/call", &json!({ "name": tool, "arguments": arguments, "_meta": meta }))
}

pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A request that is still to be sent.
pub(crate) struct Ask {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    /// Replaces a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.insert(name, header_value(value));
        self
    }

    /// Adds a header that may be there already.
    pub(crate) fn another(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.append(name, header_value(value));
        self
    }

    pub(crate) fn without(mut self, name: &HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn session(self, id: &str) -> Self {
        self.header(SESSION_ID, id)
    }

    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it over a connection of its own and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        self.open().await.rest().await
    }

    /// Sends it and reads the head of the answer.
    pub(crate) async fn open(self) -> Opened {
        let socket = TcpStream::connect(self.address).await.expect("listening");
        let io = TokioIo::new(socket);
        let (mut sender, connection) =
            soon(hyper::client::conn::http1::handshake(io)).await.expect("a connection");
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().expect("a path");
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(HOST, header_value("localhost"));
        let response = soon(sender.send_request(request)).await.expect("an answer");
        let (head, body) = response.into_parts();
        Opened {
            status: head.status,
            headers: head.headers,
            body,
            splitter: Splitter::new(1 << 20),
        }
    }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).expect(text)
}

/// An answer whose body is still to be read.
pub(crate) struct Opened {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    splitter: Splitter,
}

impl Opened {
    /// The next event or comment; `None` when the stream ended in order. An event that says nothing but its
    /// id is passed over.
    pub(crate) async fn next_event(&mut self) -> Option<Bytes> {
        loop {
            let event = self.next_piece().await?;
            if Event::parse(&event).data.as_deref() != Some("") {
                return Some(event);
            }
        }
    }

    async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.splitter.next_piece() {
                return Some(piece.into_bytes());
            }
            let frame = soon(self.body.frame()).await?.expect("a whole body");
            self.splitter.push(&frame.into_data().expect("data"));
        }
    }

    /// The next message on the stream.
    pub(crate) async fn next_message(&mut self) -> Option<Value> {
        self.next_with_id().await.map(|(_, message)| message)
    }

    /// The next message on the stream, and its event's id.
    pub(crate) async fn next_with_id(&mut self) -> Option<(String, Value)> {
        while let Some(bytes) = self.next_event().await {
            let event = Event::parse(&bytes);
            if let Some(data) = event.data {
                let message = serde_json::from_str(&data).expect("JSON");
                return Some((event.id.unwrap_or_default(), message));
            }
        }
        None
    }

    /// The id of the first event, which says nothing else.
    pub(crate) async fn priming_id(&mut self) -> String {
        let event = Event::parse(&self.next_piece().await.expect("a priming event"));
        assert_eq!(event.data.as_deref(), Some(""));
        event.id.expect("an id")
    }

    /// Waits until the stream is broken off.
    pub(crate) async fn is_cut(&mut self) {
        loop {
            match soon(self.body.frame()).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return,
                None => panic!("the stream ended in order"),
            }
        }
    }

    /// Reads to the end; what was broken off counts as far as it came.
    pub(crate) async fn rest_or_cut(mut self) -> String {
        let mut text = Vec::new();
        while let Some(Ok(frame)) = soon(self.body.frame()).await {
            text.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        String::from_utf8(text).expect("UTF-8")
    }

    async fn rest(self) -> Answer {
        let body = soon(self.body.collect()).await.expect("a whole body");
        Answer { status: self.status, headers: self.headers, body: body.to_bytes() }
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect(name))
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.header(SESSION_ID.as_str())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some(EVENT_STREAM)
    }

    /// The messages, of a JSON answer or of a stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if !self.is_stream() {
            return vec![serde_json::from_slice(&self.body).expect("JSON")];
        }
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(&self.body);
        std::iter::from_fn(|| splitter.next_piece())
            .filter_map(|piece| Event::parse(&piece.into_bytes()).data)
            .filter(|data| !data.is_empty())
            .map(|data| serde_json::from_str(&data).expect("JSON"))
            .collect()
    }

    /// The one message, which ends the answer.
    pub(crate) fn message(&self) -> Value {
        self.messages().pop().expect("a message")
    }

    pub(crate) fn result(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let message = self.message();
        assert!(message.get("error").is_none(), "{message}");
        message["result"].clone()
    }

    pub(crate) fn code(&self) -> i64 {
        self.message()["error"]["code"].as_i64().expect("an error")
    }

    /// The text of a tool's result.
    pub(crate) fn tool_text(&self) -> String {
        let result = self.result();
        assert_eq!(result["isError"], false, "{result}");
        result["content"][0]["text"].as_str().expect("text").to_owned()
    }

    /// Asserts the status, the code and a word of the error.
    pub(crate) fn refuses(&self, status: u16, code: i64, word: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.code(), code, "{}", self.text());
        assert!(self.text().contains(word), "no `{word}` in {}", self.text());
        self.message()["error"].clone()
    }
}
