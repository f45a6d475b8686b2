//! Effects on what JSON-RPC messages say.

use serde_json::{Value, json};

use super::{ANSWER, Scene, events, result};
use crate::fixture::ok;
use crate::wire::{Message, call};

/// The data of the events of a stream.
fn data(stream: &Message) -> Vec<Value> {
    let lines = stream.text().lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// What an answer says under a fault, as JSON and as an event.
async fn altered(answer: &str, fault: &str) -> Value {
    let mut scene = Scene::new(ok(answer), &[fault]).await;
    let json = scene.call().await;
    assert_eq!(json.all("x-squall-fault"), ["f"]);
    let mut scene = Scene::new(events(&format!("id: 7\ndata: {answer}\n\n")), &[fault]).await;
    let stream = scene.call().await;
    assert!(stream.text().starts_with("id: 7\n"), "{}", stream.text());
    assert_eq!(data(&stream), [json.json()], "both say the same");
    json.json()
}

#[tokio::test]
async fn wrong_id_answers_a_question_that_nobody_asked() {
    let fault = r#"{"id":"f","effect":{"wrong-id":{}}}"#;
    let answer = altered(r#"{"jsonrpc":"2.0","id":1,"result":{"x":1}}"#, fault).await;
    assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": 1_000_001, "result": { "x": 1 } }));
    let fault = r#"{"id":"f","effect":{"wrong-id":{"id":null}}}"#;
    let answer = altered(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#, fault).await;
    assert_eq!(answer["id"], "a-squall");
}

#[tokio::test]
async fn wrong_id_makes_the_client_answer_another_question_of_the_server() {
    let fault = r#"{"id":"f","match":{"direction":"request"},"effect":{"wrong-id":{"id":99}}}"#;
    let mut scene =
        Scene::new("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", &[fault]).await;
    scene.ask("", r#"{"jsonrpc":"2.0","id":5,"result":{}}"#).await;
    let request = scene.upstream.request().await;
    assert_eq!(request.json()["id"], 99);
    scene.call().await;
    assert_eq!(scene.upstream.request().await.text(), call(1, "x"), "a request is no answer");
}

#[tokio::test]
async fn a_stray_response_comes_before_the_answer() {
    let fault = r#"{"id":"f","effect":{"stray-response":{}}}"#;
    for answer in [result("{}"), events(ANSWER)] {
        let mut scene = Scene::new(answer, &[fault]).await;
        let answer = scene.call().await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let messages = data(&answer);
        assert!(messages[0]["id"].as_str().is_some_and(|id| id.starts_with("squall-")));
        assert_eq!((messages.len(), &messages[1]["id"]), (2, &json!(1)));
    }
}

#[tokio::test]
async fn malformed_breaks_the_envelope() {
    for (how, expected) in [
        ("no-version", json!({ "id": 1, "result": {} })),
        ("old-version", json!({ "jsonrpc": "1.0", "id": 1, "result": {} })),
        ("no-id", json!({ "jsonrpc": "2.0", "result": {} })),
        ("empty", json!({ "jsonrpc": "2.0", "id": 1 })),
        ("batch", json!([{ "jsonrpc": "2.0", "id": 1, "result": {} }])),
    ] {
        let fault = format!(r#"{{"id":"f","effect":{{"malformed":{{"how":"{how}"}}}}}}"#);
        assert_eq!(altered(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, &fault).await, expected);
    }
    let both = r#"{"id":"f","effect":{"malformed":{"how":"both"}}}"#;
    let answer = altered(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, both).await;
    assert!(answer.get("result").is_some() && answer.get("error").is_some());
}

#[tokio::test]
async fn rewrite_sets_and_removes_fields() {
    let fault =
        r#"{"id":"f","effect":{"rewrite":{"set":{"/result/a":[1]},"remove":["/result/b"]}}}"#;
    let answer = altered(r#"{"jsonrpc":"2.0","id":1,"result":{"a":0,"b":0,"c":0}}"#, fault).await;
    assert_eq!(answer["result"], json!({ "a": [1], "c": 0 }));
}

#[tokio::test]
async fn rewrite_changes_what_the_client_says_and_corrects_its_length() {
    let fault = r#"{"id":"f","match":{"tool":"x","direction":"request"},"effect":{"rewrite":{"set":{"/params/name":"another tool"}}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    let answer = scene.call().await;
    assert_eq!(answer.all("x-squall-fault"), ["f"]);
    assert_eq!(scene.upstream.request().await.json()["params"]["name"], "another tool");
}

#[tokio::test]
async fn what_there_is_nothing_to_alter_in_counts_no_hit_and_arrives_as_it_was() {
    let fault = r#"{"id":"f","effect":{"rewrite":{"remove":["/result/none"]}}}"#;
    let mut scene = Scene::new(ok(r#"{"jsonrpc": "2.0", "id": 1, "result": {}}"#), &[fault]).await;
    let answer = scene.call().await;
    assert_eq!(answer.text(), r#"{"jsonrpc": "2.0", "id": 1, "result": {}}"#);
    assert_eq!(answer.header("x-squall-fault"), None);
    assert_eq!(scene.proxy.hits("f").await, 0);
}

#[tokio::test]
async fn tools_drift_takes_a_tool_away_and_changes_another() {
    let fault = r#"{"id":"f","effect":{"tools-drift":{"vanish":"a*","schema":"b"}}}"#;
    let tools = r#"{"tools":[{"name":"a1","inputSchema":{}},{"name":"b","inputSchema":{}}]}"#;
    let mut scene = Scene::new(result(tools), &[fault]).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let tools = scene.ask("", list).await.json()["result"]["tools"].clone();
    assert_eq!(tools.as_array().map(Vec::len), Some(1));
    assert_eq!(tools[0]["inputSchema"]["required"], json!(["squall_drift"]));
    assert_eq!(scene.call().await.header("x-squall-fault"), None, "a call is no list");
}

#[tokio::test]
async fn corrupt_damages_bytes_or_json() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"text":"abcdefgh"}}"#;
    let bytes = r#"{"id":"f","effect":{"corrupt":{"count":2}}}"#;
    let mut scene = Scene::new(ok(answer), &[bytes]).await;
    let damaged = scene.call().await.body;
    assert_eq!(damaged.len(), answer.len());
    let differ = damaged.iter().zip(answer.bytes()).filter(|(a, b)| **a != *b).count();
    assert_eq!(differ, 2);

    let json = r#"{"id":"f","effect":{"corrupt":{"what":"json"}}}"#;
    let mut scene = Scene::new(ok(answer), &[json]).await;
    let damaged = scene.call().await;
    assert!(serde_json::from_slice::<Value>(&damaged.body).is_err());
    assert!(answer.starts_with(damaged.text()));
}

#[tokio::test]
async fn corrupt_damages_what_the_client_sends() {
    let fault =
        r#"{"id":"f","match":{"direction":"request"},"effect":{"corrupt":{"what":"json"}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    scene.call().await;
    let request = scene.upstream.request().await;
    assert!(serde_json::from_slice::<Value>(&request.body).is_err());
}

#[tokio::test]
async fn a_compressed_answer_is_left_alone() {
    let fault = r#"{"id":"f","effect":{"corrupt":{}}}"#;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
                  Content-Length: 3\r\n\r\nabc";
    let mut scene = Scene::new(answer, &[fault]).await;
    assert_eq!(scene.call().await.text(), "abc");
}

#[tokio::test]
async fn an_answer_too_large_to_look_at_arrives_as_it_was() {
    let fault = r#"{"id":"f","effect":{"wrong-id":{}}}"#;
    let text = "x".repeat(2 * 1024 * 1024);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{text}"}}"#);
    let mut scene = Scene::new(ok(&answer), &[fault]).await;
    assert!(scene.call().await.text() == answer);
}
