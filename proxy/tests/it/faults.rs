//! What each effect does, by family: what the client saw, and what the server saw.

mod exchange;
mod jsonrpc;
mod matching;
mod session;
mod stateless;
mod stream;

use std::sync::Arc;

use crate::fixture::{self, Running, Upstream, run};
use crate::wire::{Message, Wire, call, post};

/// An upstream that always says the same, a proxy with faults, and a client.
struct Scene {
    upstream: Arc<Upstream>,
    proxy: Running,
    client: Wire,
}

impl Scene {
    async fn new(answer: impl Into<String>, faults: &[&str]) -> Self {
        let upstream = Upstream::answering(answer).await;
        let proxy = run(fixture::config(&[upstream.address]));
        for fault in faults {
            proxy.add(fault).await;
        }
        let client = proxy.connect().await;
        Self { upstream, proxy, client }
    }

    /// Posts a body, and reads the answer.
    async fn ask(&mut self, headers: &str, body: &str) -> Message {
        self.client.send(post(headers, body)).await;
        self.client.message().await.expect("an answer")
    }

    /// Calls a tool, and reads the answer.
    async fn call(&mut self) -> Message {
        self.ask("", &call(1, "x")).await
    }
}

/// A JSON answer of a result.
fn result(result: &str) -> String {
    fixture::ok(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#))
}

/// A whole event stream, of a length that is declared.
fn events(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{events}",
        events.len()
    )
}

/// An event of a result.
const ANSWER: &str = "id: 9\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
