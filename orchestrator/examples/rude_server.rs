//! An MCP server that misbehaves on request: what drills and loads must see through. For tests only.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use squall_model::mcp::header::{EVENT_STREAM, JSON, SESSION_ID, TRACEPARENT};

/// An MCP server that misbehaves on request. It insists on a full `Accept` header in any case.
#[derive(Parser)]
struct Manners {
    /// Where to listen; the address is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What an unknown session gets, where 404 is due
    #[arg(long, default_value = "404")]
    unknown: StatusCode,
    /// Answer 404 to everything, initialize too, if this file is there; make it if it is not
    #[arg(long)]
    dead_if: Option<PathBuf>,
    /// So many of 100 calls get status 500
    #[arg(long, default_value = "0")]
    failing: u32,
    /// Every tool answers with an error text
    #[arg(long)]
    error_text: bool,
    /// Append what requests say of their operation, as JSON lines
    #[arg(long)]
    journal: Option<PathBuf>,
}

struct Server {
    manners: Manners,
    dead: bool,
    sessions: Mutex<HashSet<String>>,
    calls: AtomicU32,
    journal: Option<Mutex<File>>,
}

type Answer = Response<Full<Bytes>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Arc::new(Server::new(Manners::parse())?);
    let listener = tokio::net::TcpListener::bind(server.manners.listen).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let serve = service_fn(move |request| Arc::clone(&server).serve(request));
            // How a connection ends is its client's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), serve)
                .await;
        });
    }
}

impl Server {
    fn new(manners: Manners) -> anyhow::Result<Self> {
        let dead = manners.dead_if.as_deref().is_some_and(Path::exists);
        manners.dead_if.as_ref().map(File::create).transpose()?;
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        let journal = manners.journal.as_ref().map(open).transpose()?.map(Mutex::new);
        Ok(Self { manners, dead, sessions: Mutex::default(), calls: AtomicU32::new(0), journal })
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/readyz" {
            return Ok(status(StatusCode::OK));
        }
        if self.dead {
            return Ok(status(StatusCode::NOT_FOUND));
        }
        if head.method != Method::POST {
            return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let accept = text(ACCEPT).unwrap_or_default();
        if !accept.contains(JSON) || !accept.contains(EVENT_STREAM) {
            return Ok(status(StatusCode::NOT_ACCEPTABLE));
        }
        let Ok(body) = body.collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
        let message: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        self.write_down(text(TRACEPARENT), &message);
        Ok(self.answer(text(SESSION_ID), &message))
    }

    fn write_down(&self, traceparent: Option<&str>, message: &Value) {
        let Some(journal) = &self.journal else { return };
        let line = json!({
            "method": message["method"],
            "traceparent": traceparent,
            "meta": message["params"]["_meta"]["traceparent"],
        });
        // A journal that cannot be written shows in the test that reads it.
        let _ = writeln!(journal.lock(), "{line}");
    }

    fn answer(&self, session: Option<&str>, message: &Value) -> Answer {
        let id = &message["id"];
        let method = message["method"].as_str().unwrap_or_default();
        if method == "initialize" {
            return self.open(id, &message["params"]["protocolVersion"]);
        }
        if !session.is_some_and(|session| self.sessions.lock().contains(session)) {
            return status(self.manners.unknown);
        }
        match method {
            "tools/list" => {
                let tool = json!({ "name": "fast-echo", "inputSchema": { "type": "object" } });
                result(id, &json!({ "tools": [tool] }))
            }
            "tools/call" => self.call(id),
            _ if id.is_null() => status(StatusCode::ACCEPTED),
            _ => result(id, &json!({})),
        }
    }

    fn open(&self, id: &Value, version: &Value) -> Answer {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let session = format!("{:032x}", u128::from_be_bytes(bytes));
        let mut answer = result(
            id,
            &json!({
                "protocolVersion": version,
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "rude-server", "version": "1" },
            }),
        );
        if let Ok(value) = session.parse() {
            answer.headers_mut().insert(SESSION_ID, value);
        }
        self.sessions.lock().insert(session);
        answer
    }

    fn call(&self, id: &Value) -> Answer {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if number % 100 < self.manners.failing {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let content = json!([{ "type": "text", "text": "Error: nothing works" }]);
        result(id, &json!({ "content": content, "isError": self.manners.error_text }))
    }
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn result(id: &Value, result: &Value) -> Answer {
    let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    let mut answer = Response::new(Full::from(message.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(JSON));
    answer
}
