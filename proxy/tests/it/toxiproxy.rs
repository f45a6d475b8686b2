//! Toxiproxy's API, as its clients use it.

use serde_json::{Value, json};

use crate::fixture::{self, Running, by_hand, run};
use crate::wire::{End, Message, Wire};

async fn ask(proxy: &Running, method: &str, path: &str, body: &str) -> Message {
    let mut client = Wire::connect(proxy.admin_address).await;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        proxy.admin_address,
        body.len()
    );
    client.send(request).await;
    client.message().await.expect("an answer")
}

fn status_and_body(answer: &Message) -> (u16, Value) {
    (answer.status(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

async fn created() -> Running {
    let proxy = run(fixture::config(&[]));
    let body = r#"{"name":"a","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","toxics":null}"#;
    let (status, view) = status_and_body(&ask(&proxy, "POST", "/proxies", body).await);
    assert_eq!(status, 201);
    assert_eq!(view["enabled"], true);
    assert!(!view["listen"].as_str().expect("an address").ends_with(":0"), "{view}");
    proxy
}

#[tokio::test]
async fn every_call_has_the_status_that_clients_expect() {
    let proxy = created().await;
    for (method, path, body, expected) in [
        ("GET", "/version", "", 200),
        ("GET", "/proxies", "", 200),
        ("GET", "/proxies/a", "", 200),
        ("GET", "/proxies/b", "", 404),
        ("POST", "/proxies", r#"{"name":"a","upstream":"x:1"}"#, 409),
        ("POST", "/proxies", r#"{"upstream":"x:1"}"#, 400),
        ("POST", "/proxies", "nonsense", 400),
        ("POST", "/proxies/a/toxics", r#"{"type":"latency","attributes":{"latency":1}}"#, 200),
        ("POST", "/proxies/a/toxics", r#"{"type":"latency"}"#, 409),
        ("POST", "/proxies/a/toxics", r#"{"type":"nonsense"}"#, 400),
        ("POST", "/proxies/a/toxics", r#"{"type":"latency","stream":"sideways"}"#, 400),
        ("POST", "/proxies/a/toxics", r#"{"type":"bandwidth","attributes":{"rate":0.5}}"#, 400),
        ("GET", "/proxies/a/toxics", "", 200),
        ("GET", "/proxies/a/toxics/latency_downstream", "", 200),
        ("POST", "/proxies/a/toxics/latency_downstream", r#"{"toxicity":0.5}"#, 200),
        ("PATCH", "/proxies/a/toxics/latency_downstream", r#"{"attributes":{"jitter":3}}"#, 200),
        ("GET", "/proxies/a/toxics/none", "", 404),
        ("DELETE", "/proxies/a/toxics/latency_downstream", "", 204),
        ("DELETE", "/proxies/a/toxics/latency_downstream", "", 404),
        ("POST", "/proxies/a", r#"{"enabled":false}"#, 200),
        ("PATCH", "/proxies/a", r#"{"enabled":true}"#, 200),
        ("POST", "/populate", r#"[{"name":"b","listen":"127.0.0.1:0","upstream":"x:1"}]"#, 201),
        ("POST", "/populate", r#"[{"name":"b","upstream":"x:1"},{"upstream":"x:1"}]"#, 400),
        ("POST", "/reset", "", 204),
        ("DELETE", "/proxies/a", "", 204),
        ("DELETE", "/proxies/a", "", 404),
    ] {
        let answer = ask(&proxy, method, path, body).await;
        assert_eq!(answer.status(), expected, "{method} {path}: {}", answer.text());
    }
}

#[tokio::test]
async fn errors_are_in_toxiproxys_words() {
    let proxy = created().await;
    for (method, path, body, error) in [
        ("GET", "/proxies/x", "", "proxy not found"),
        ("GET", "/proxies/a/toxics/x", "", "toxic not found"),
        ("POST", "/proxies", r#"{"name":"a","upstream":"x:1"}"#, "proxy already exists"),
        ("POST", "/proxies", r#"{"upstream":"x:1"}"#, "missing required field: name"),
        (
            "POST",
            "/populate",
            r#"[{"name":"c","upstream":"x:1"},{"name":""}]"#,
            "missing required field: name at proxy 2",
        ),
        ("POST", "/proxies/a/toxics", r#"{"type":"x"}"#, "invalid toxic type"),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type":"latency","stream":"x"}"#,
            "stream was invalid, can be either upstream or downstream",
        ),
    ] {
        let (status, view) = status_and_body(&ask(&proxy, method, path, body).await);
        assert_eq!(view, json!({ "error": error, "status": status }), "{method} {path}");
    }
}

#[tokio::test]
async fn a_toxic_has_the_shape_that_clients_read_and_is_a_fault() {
    let proxy = created().await;
    let body = r#"{"type":"latency","stream":"upstream","toxicity":0.5,"attributes":{"latency":100},"lease":"1h"}"#;
    let (_, toxic) = status_and_body(&ask(&proxy, "POST", "/proxies/a/toxics", body).await);
    let expected = json!({
        "attributes": { "latency": 100, "jitter": 0 },
        "name": "latency_upstream",
        "type": "latency",
        "stream": "upstream",
        "toxicity": 0.5,
        "lease": "1h",
    });
    assert_eq!(toxic, expected);
    let faults = proxy.admin.faults().await.expect("the proxy runs");
    assert_eq!(faults[0].fault.id.as_str(), "a.latency_upstream");
    assert!(faults[0].time_left.is_some());
    let (_, shown) = status_and_body(&ask(&proxy, "GET", "/proxies/a", "").await);
    assert_eq!(shown["toxics"], json!([expected]));
    // What is removed as a fault is no toxic any more.
    proxy.admin.clear().await.expect("the proxy runs");
    let (_, toxics) = status_and_body(&ask(&proxy, "GET", "/proxies/a/toxics", "").await);
    assert_eq!(toxics, json!([]));
}

#[tokio::test]
async fn toxics_act_on_open_connections_and_end_with_them() {
    let (upstream, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[]));
    let body = format!(r#"{{"name":"a","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
    let (_, view) = status_and_body(&ask(&proxy, "POST", "/proxies", &body).await);
    let address = view["listen"].as_str().expect("an address").parse().expect("an address");
    let mut client = Wire::connect(address).await;
    let mut server = connections.recv().await.expect("a connection");

    // Testcontainers cuts a connection so: it stalls, and is not closed.
    let cut = r#"{"name":"cut","type":"bandwidth","attributes":{"rate":0}}"#;
    ask(&proxy, "POST", "/proxies/a/toxics", cut).await;
    proxy.hit("a.cut").await;
    server.send("late").await;
    ask(&proxy, "DELETE", "/proxies/a/toxics/cut", "").await;
    assert_eq!(client.read_some().await, b"late");

    ask(&proxy, "POST", "/proxies/a/toxics", r#"{"type":"timeout"}"#).await;
    proxy.hit("a.timeout_downstream").await;
    ask(&proxy, "DELETE", "/proxies/a/toxics/timeout_downstream", "").await;
    assert_eq!(client.end().await, End::Closed, "removing a timeout closes");

    let mut client = Wire::connect(address).await;
    let _server = connections.recv().await.expect("a connection");
    ask(&proxy, "POST", "/proxies/a/toxics", r#"{"type":"reset_peer"}"#).await;
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn populate_leaves_alone_what_is_the_same_and_replaces_what_is_not() {
    let proxy = created().await;
    let (_, before) = status_and_body(&ask(&proxy, "GET", "/proxies/a", "").await);
    ask(&proxy, "POST", "/proxies/a/toxics", r#"{"type":"latency"}"#).await;
    let same = json!([{ "name": "a", "listen": before["listen"], "upstream": before["upstream"] }]);
    let (status, view) =
        status_and_body(&ask(&proxy, "POST", "/populate", &same.to_string()).await);
    assert_eq!((status, view["proxies"][0]["toxics"].as_array().map(Vec::len)), (201, Some(1)));
    let other = json!([{ "name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:2" }]);
    let (_, view) = status_and_body(&ask(&proxy, "POST", "/populate", &other.to_string()).await);
    assert_eq!(view["proxies"][0]["toxics"], json!([]));
    assert_eq!(proxy.admin.faults().await.expect("the proxy runs").len(), 0);
}
