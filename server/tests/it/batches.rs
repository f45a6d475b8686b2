//! Batches: for 2025-03-26 alone, answered together, and never with an `initialize` inside.

use http::StatusCode;
use http::header::ACCEPT;
use serde_json::{Value, json};
use squall_model::mcp::header::EVENT_STREAM;

use crate::world::*;

fn batch(messages: &[Value]) -> String {
    Value::from(messages.to_vec()).to_string()
}

fn ping(id: u32) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
}

fn initialized() -> Value {
    serde_json::from_str(INITIALIZED).expect("JSON")
}

#[tokio::test]
async fn the_requests_of_a_batch_are_answered_together() {
    let server = server().await;
    let session = server.session("2025-03-26").await;
    let unknown = json!({ "jsonrpc": "2.0", "id": 3, "method": "nonsense" });
    let body = batch(&[ping(1), initialized(), ping(2), unknown]);
    let answer = server.post(body.clone()).session(&session).send().await;
    let message = answer.message();
    let ids: Vec<_> = message.as_array().expect("a batch").iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(message[2]["error"]["code"], -32601);

    let ask = server.post(body).session(&session).header(ACCEPT, EVENT_STREAM);
    assert_eq!(ask.send().await.messages().len(), 3);
}

#[tokio::test]
async fn a_batch_without_requests_is_accepted() {
    let server = server().await;
    let session = server.session("2025-03-26").await;
    let body = batch(&[initialized(), initialized()]);
    let answer = server.post(body).session(&session).send().await;
    assert_eq!((answer.status, answer.text()), (StatusCode::ACCEPTED, String::new()));
}

#[tokio::test]
async fn later_versions_have_no_batches() {
    let server = server().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let session = server.session(version).await;
        let answer = server.post(batch(&[ping(1)])).session(&session).send().await;
        answer.refuses(400, -32600, version);
    }
}

#[tokio::test]
async fn a_batch_is_neither_empty_nor_endless() {
    let server = server_with(|config| config.max_batch = 3).await;
    let session = server.session("2025-03-26").await;
    for (length, word) in [(0, "empty"), (4, "3 at most")] {
        let pings: Vec<_> = (0..length).map(ping).collect();
        let answer = server.post(batch(&pings)).session(&session).send().await;
        answer.refuses(400, -32600, word);
    }
}

#[tokio::test]
async fn initialize_is_never_part_of_a_batch() {
    let server = server().await;
    let session = server.session("2025-03-26").await;
    let hello: Value = serde_json::from_str(&initialize("2025-03-26")).expect("JSON");
    let body = batch(&[ping(1), hello]);
    let answer = server.post(body.clone()).session(&session).send().await;
    answer.refuses(400, -32600, "alone");
    server.post(body).send().await.refuses(400, -32000, "initialize");
}
