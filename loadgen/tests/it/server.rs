//! The scripted MCP server: it behaves, except where a script says otherwise, and remembers all.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use squall_loadgen::Target;
use squall_model::operation::OperationId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, Broken>;
type Script = Box<dyn Fn(&Seen) -> Act + Send + Sync>;

/// A body that ends before it is complete.
#[derive(Debug, thiserror::Error)]
#[error("broken off")]
pub(crate) struct Broken;

/// One request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: u64,
    pub(crate) http: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// How many requests of this JSON-RPC method there have been, this one included.
    pub(crate) nth: u64,
}

impl Seen {
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_call(&self) -> bool {
        self.method() == "tools/call"
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The operation's id, from the header.
    pub(crate) fn operation(&self) -> OperationId {
        let traceparent = self.header("traceparent").expect("a traceparent");
        OperationId::from_traceparent(traceparent).expect("an operation id")
    }
}

/// What the server does with a request.
#[derive(Debug)]
pub(crate) enum Act {
    /// What the specification asks for.
    AsUsual,
    /// Forgets all sessions first.
    Forget,
    /// An HTTP status, without a body.
    Status(u16),
    /// A status with one header.
    Header(u16, &'static str, &'static str),
    /// 200 with this content type and body.
    Say(&'static str, String),
    /// 200 with these events; `RESULT` stands for the usual answer. Without a last event that answers
    /// it, the stream is simply over.
    Events(Vec<String>),
    /// Asks this on the answer's stream, and answers once that is answered.
    Ask(Value),
    /// The beginning of an event stream, and the connection breaks off.
    CutStream,
    /// Never answers.
    Hang,
    /// A TCP RST.
    Reset,
    /// Closes the connection.
    Close,
}

struct State {
    script: Script,
    tools: Vec<Value>,
    page: usize,
    gives_ids: bool,
    sessions: Mutex<HashSet<String>>,
    seen: watch::Sender<Vec<Seen>>,
    counts: Mutex<HashMap<String, u64>>,
    connections: AtomicU64,
}

/// A running server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) target: Target,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Builds a server with the tool `fast-echo`.
pub(crate) fn server() -> Builder {
    Builder {
        script: Box::new(|_| Act::AsUsual),
        tools: vec![tool("fast-echo")],
        page: 100,
        gives_ids: true,
    }
}

pub(crate) fn tool(name: &str) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    });
    json!({"name": name, "inputSchema": schema})
}

pub(crate) struct Builder {
    script: Script,
    tools: Vec<Value>,
    page: usize,
    gives_ids: bool,
}

impl Builder {
    pub(crate) fn that(mut self, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        self.script = Box::new(script);
        self
    }

    pub(crate) fn with_tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = tools;
        self
    }

    pub(crate) fn in_pages_of(mut self, page: usize) -> Self {
        self.page = page;
        self
    }

    pub(crate) fn without_session_ids(mut self) -> Self {
        self.gives_ids = false;
        self
    }

    pub(crate) async fn run(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            script: self.script,
            tools: self.tools,
            page: self.page,
            gives_ids: self.gives_ids,
            sessions: Mutex::default(),
            seen: watch::Sender::default(),
            counts: Mutex::default(),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        let target = format!("http://{address}/mcp").parse().expect("a target");
        Server { target, state, task }
    }
}

impl Server {
    /// All requests so far, in the order in which they came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.borrow().clone()
    }

    /// The requests of one JSON-RPC method.
    pub(crate) fn seen_of(&self, method: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.method() == method);
        seen
    }

    /// Waits until what it has seen is enough.
    pub(crate) async fn until(&self, enough: impl Fn(&[Seen]) -> bool) {
        let mut seen = self.state.seen.subscribe();
        let waited = seen.wait_for(|seen| enough(seen));
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waited).await;
        waited.expect("within 30 s").expect("the server runs");
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropping the set ends all connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let number = state.connections.fetch_add(1, Ordering::Relaxed) + 1;
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, number: u64, state: Arc<State>) {
    let reset = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (state, reset) = (Arc::clone(&state), Arc::clone(&reset));
        async move { handle(request, number, &state, &reset).await }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let was_reset = tokio::select! {
        _ = &mut connection => false,
        () = reset.notified() => true,
    };
    if was_reset {
        let stream = connection.into_parts().io.into_inner();
        stream.set_zero_linger().expect("an open socket");
    }
}

async fn handle(
    request: Request<Incoming>,
    connection: u64,
    state: &State,
    reset: &Notify,
) -> Result<Response<Body>, Broken> {
    let seen = look(request, connection, state).await;
    state.seen.send_modify(|all| all.push(seen.clone()));
    match (state.script)(&seen) {
        Act::AsUsual => Ok(state.answer(&seen)),
        Act::Forget => {
            state.sessions.lock().clear();
            Ok(state.answer(&seen))
        }
        Act::Status(code) => Ok(status(code)),
        Act::Header(code, name, value) => {
            let mut response = status(code);
            response.headers_mut().append(name, value.parse().expect("a value"));
            Ok(response)
        }
        Act::Say(content_type, text) => Ok(say(content_type, text)),
        Act::Events(events) => {
            let result = state.result(&seen).to_string();
            let events = events.into_iter().map(|event| event.replace("RESULT", &result));
            Ok(say("text/event-stream", events.collect()))
        }
        Act::Ask(request) => Ok(ask(request, state.result(&seen), state.seen.subscribe())),
        Act::CutStream => Ok(cut_stream()),
        Act::Hang => std::future::pending().await,
        Act::Reset => {
            reset.notify_one();
            std::future::pending().await
        }
        Act::Close => Err(Broken),
    }
}

async fn look(request: Request<Incoming>, connection: u64, state: &State) -> Seen {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes);
    let mut seen = Seen {
        connection,
        http: head.method,
        headers: head.headers,
        body: serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default(),
        nth: 0,
    };
    let mut counts = state.counts.lock();
    let count = counts.entry(seen.method().to_owned()).or_default();
    *count += 1;
    seen.nth = *count;
    seen
}

impl State {
    fn answer(&self, seen: &Seen) -> Response<Body> {
        if seen.http == Method::DELETE {
            return status(405);
        }
        if seen.method() == "initialize" {
            return self.open(seen);
        }
        if self.gives_ids {
            match seen.header("mcp-session-id") {
                None => return status(400),
                Some(id) if !self.sessions.lock().contains(id) => return status(404),
                Some(_) => {}
            }
        }
        if seen.body.get("id").is_none() {
            return status(202);
        }
        say("application/json", self.result(seen).to_string())
    }

    fn open(&self, seen: &Seen) -> Response<Body> {
        let mut response = say("application/json", self.result(seen).to_string());
        if self.gives_ids {
            let id = format!("session-{}", seen.nth);
            let value = id.parse().expect("a value");
            response.headers_mut().insert("mcp-session-id", value);
            self.sessions.lock().insert(id);
        }
        response
    }

    fn result(&self, seen: &Seen) -> Value {
        let result = match seen.method() {
            "initialize" => json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fixture", "version": "1"},
            }),
            "tools/list" => self.tools_page(&seen.body["params"]["cursor"]),
            "tools/call" => json!({"content": [{"type": "text", "text": "done"}]}),
            _ => json!({}),
        };
        json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result})
    }

    fn tools_page(&self, cursor: &Value) -> Value {
        let from = cursor.as_str().map_or(0, |text| text.parse().expect("our own cursor"));
        let to = (from + self.page).min(self.tools.len());
        let mut page = json!({"tools": self.tools[from..to]});
        if to < self.tools.len() {
            page["nextCursor"] = json!(to.to_string());
        }
        page
    }
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(full(String::new()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn say(content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    let value = content_type.parse().expect("a content type");
    response.headers_mut().insert("content-type", value);
    response
}

fn full(text: String) -> Body {
    let never = |never: Infallible| match never {};
    Full::new(Bytes::from(text)).map_err(never).boxed()
}

fn ask(request: Value, result: Value, mut seen: watch::Receiver<Vec<Seen>>) -> Response<Body> {
    let event = |message: &Value| Frame::data(Bytes::from(format!("data: {message}\n\n")));
    let first = event(&request);
    let last = stream::once(async move {
        let is_answer = |seen: &Seen| seen.method().is_empty() && seen.body["id"] == request["id"];
        let asked = seen.wait_for(|all| all.iter().any(is_answer)).await;
        asked.map(|_| event(&result)).map_err(|_| Broken)
    });
    let frames = stream::iter([Ok(first)]).chain(last);
    event_stream(BodyExt::boxed(StreamBody::new(Box::pin(frames))))
}

fn cut_stream() -> Response<Body> {
    let first = Frame::data(Bytes::from_static(b": begun\n\ndata: {\"json"));
    let broken = stream::once(async {
        // What waits makes hyper flush what came before.
        tokio::task::yield_now().await;
        Err(Broken)
    });
    let frames = stream::iter([Ok(first)]).chain(broken);
    event_stream(BodyExt::boxed(StreamBody::new(frames)))
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let value = "text/event-stream".parse().expect("a content type");
    response.headers_mut().insert("content-type", value);
    response
}
