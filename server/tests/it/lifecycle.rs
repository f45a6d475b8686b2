//! Shutdown: streams end, calls in flight finish within their grace, and nothing new begins.

use std::time::Duration;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde_json::json;
use squall_model::mcp::header::{EVENT_STREAM, JSON};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::world::*;

#[tokio::test]
async fn shutdown_ends_open_streams_and_closes_the_port() {
    let mut server = server_with(|config| config.grace = Duration::from_secs(50)).await;
    let address = server.address;
    let id = server.session("2025-11-25").await;
    let ask = server.ask(Method::GET).session(&id).header(ACCEPT, EVENT_STREAM);
    let mut stream = ask.open().await;
    assert_eq!(stream.status, StatusCode::OK);
    server.ask_to_stop();
    assert_eq!(stream.next_event().await, None);
    server.stopped().await.expect("in order");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_call_in_flight_finishes_within_its_grace() {
    let mut server = server_with(|config| config.grace = Duration::from_secs(50)).await;
    let id = server.session("2025-11-25").await;
    let body = call_with_progress("fetch-data", &json!({ "delay_ms": 500 }));
    let mut call = server.post(body).session(&id).open().await;
    call.next_message().await.expect("it has begun");
    server.ask_to_stop();
    let mut last = None;
    while let Some(message) = call.next_message().await {
        last = Some(message);
    }
    assert_eq!(last.expect("a result")["result"]["isError"], false);
    server.stopped().await.expect("in order");
}

#[tokio::test]
async fn readiness_goes_before_anything_else_does() {
    let mut server = server_with(|config| config.drain_delay = Duration::from_secs(50)).await;
    let id = server.session("2025-11-25").await;
    let mut stream = server.stream(&id).await;
    server.ask_to_stop();
    server.is_unready().await;
    assert_eq!(server.probe("/healthz").await.status, StatusCode::OK);
    let new = server.session("2025-11-25").await;
    assert_eq!(server.ping(&new).await.status, StatusCode::OK);
    server.tool(&id, "trigger-notification", &json!({ "kind": "tools" })).await;
    let heard = stream.next_message().await.expect("still open");
    assert_eq!(heard["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn nothing_begins_while_the_last_call_finishes_but_its_client_may_answer() {
    let mut server = server_with(|config| config.grace = Duration::from_secs(50)).await;
    let id = server.session_of_client(r#"{"sampling":{}}"#).await;
    let mut idle = server.stream(&id).await;
    let body = call("request-sampling", &json!({ "prompt": "2 + 2?" }));
    let mut call = server.post(body).session(&id).open().await;
    let asked = call.next_message().await.expect("a request");
    server.ask_to_stop();
    assert_eq!(idle.next_event().await, None, "it stops");

    server.probe("/readyz").await.refuses(503, -32000, "shutting down");
    let refused = server.ping(&id).await;
    refused.refuses(503, -32000, "shutting down");
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.post(initialize("2025-11-25")).send().await.refuses(503, -32000, "shutting down");

    let said =
        json!({ "role": "assistant", "content": { "type": "text", "text": "4" }, "model": "m" });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": said }).to_string();
    assert_eq!(server.post(answer).session(&id).send().await.status, StatusCode::ACCEPTED);
    let result = call.next_message().await.expect("a result");
    assert_eq!(result["result"]["content"][0]["text"], "m said: 4");
    server.stopped().await.expect("in order");
}

#[tokio::test]
async fn calls_that_outlast_their_grace_are_dropped() {
    let mut server = server_with(|config| config.grace = Duration::from_millis(1)).await;
    let id = server.session("2025-11-25").await;
    let wait = call("fetch-data", &json!({ "delay_ms": 10_000 }));
    let ask = server.post(wait).session(&id).header(ACCEPT, EVENT_STREAM);
    let waiting = ask.open().await;
    let compute = call_with_progress("slow-computation", &json!({ "iterations": 100_000_000 }));
    let mut computing = server.post(compute).session(&id).open().await;
    computing.next_message().await.expect("it has begun");
    server.ask_to_stop();
    server.stopped().await.expect("in order");
    assert!(!waiting.rest_or_cut().await.contains("simulated"));
    assert!(!computing.rest_or_cut().await.contains("iterations"));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_idle_connections() {
    let mut server = server_with(|config| config.grace = Duration::from_secs(50)).await;
    let _idle = TcpStream::connect(server.address).await.expect("listening");
    server.session("2025-11-25").await;
    server.ask_to_stop();
    server.stopped().await.expect("in order");
}

#[tokio::test]
async fn a_call_outlives_the_client_that_made_it() {
    for accept in [JSON, EVENT_STREAM] {
        let one_at_a_time = |config: &mut squall_server::Config| {
            config.max_calls = 1;
            config.max_connections = 1; // the next is accepted once the first is seen to be gone
        };
        let server = server_with(one_at_a_time).await;
        let id = server.session("2025-11-25").await;
        let wait = call("fetch-data", &json!({ "delay_ms": 10_000 }));
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: {id}\r\nAccept: {accept}\r\n\
             Content-Type: {JSON}\r\nContent-Length: {}\r\n\r\n{wait}",
            wait.len()
        );
        let mut abandoned = TcpStream::connect(server.address).await.expect("listening");
        abandoned.write_all(request.as_bytes()).await.expect("sent");
        drop(abandoned);
        let next = server.post(wait).session(&id).send().await;
        next.refuses(200, -32000, "1 tool calls");
    }
}
