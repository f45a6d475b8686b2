//! The admin API as people and programs call it, errors first of all.

use serde_json::json;

use crate::fixture::{self, Running, Upstream, fault, ok, run};
use crate::wire::{Message, Wire, call, post};

async fn proxy() -> Running {
    let upstream = Upstream::answering(ok("{}")).await;
    run(fixture::config(&[upstream.address]))
}

async fn ask(proxy: &Running, method: &str, path: &str, headers: &str, body: &str) -> Message {
    let mut wire = Wire::connect(proxy.admin_address).await;
    let host =
        if headers.contains("Host:") { "" } else { &format!("Host: {}\r\n", proxy.admin_address) };
    let length = body.len();
    wire.send(format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    wire.message().await.expect("an answer")
}

#[tokio::test]
async fn a_fault_is_added_listed_changed_and_removed() {
    let proxy = proxy().await;
    let added =
        ask(&proxy, "POST", "/faults", "", r#"{"effect":{"latency":{"delay":"1s"}}}"#).await;
    assert_eq!((added.status(), &added.json()["id"]), (201, &json!("latency-1")));
    let changed = r#"{"effect":{"latency":{"delay":"2s"}},"lease":"1h"}"#;
    let changed = ask(&proxy, "PUT", "/faults/latency-1", "", changed).await;
    assert_eq!(changed.json()["effect"]["latency"]["delay"], "2s");
    assert!(changed.json()["time_left"].is_string());
    assert_eq!(ask(&proxy, "POST", "/faults/latency-1/lease", "", "").await.status(), 200);
    let listed = ask(&proxy, "GET", "/faults", "", "").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(ask(&proxy, "DELETE", "/faults/latency-1", "", "").await.json()["hits"], 0);
    assert_eq!(ask(&proxy, "GET", "/faults", "", "").await.json(), json!([]));
}

#[tokio::test]
async fn a_call_that_is_wrong_gets_a_clear_word() {
    let proxy = proxy().await;
    proxy.add(r#"{"id":"a","effect":{"drop":{}}}"#).await;
    for (method, path, body, status, says) in [
        ("POST", "/faults", "{", 400, "EOF"),
        ("POST", "/faults", "7", 400, "a fault is an object"),
        ("POST", "/faults", r#"{"effect":{"latncy":{}}}"#, 400, "did you mean `latency`?"),
        ("POST", "/faults", r#"{"id":"a","effect":{"drop":{}}}"#, 409, "already"),
        ("POST", "/faults", r#"{"id":"a b","effect":{"drop":{}}}"#, 400, "cannot name a fault"),
        ("GET", "/faults/b", "", 404, "there is no fault `b`"),
        ("DELETE", "/faults/b", "", 404, "there is no fault `b`"),
        ("PUT", "/faults/b", r#"{"effect":{"drop":{}}}"#, 404, "there is no fault `b`"),
        ("PUT", "/faults/a", r#"{"id":"b","effect":{"drop":{}}}"#, 400, "the body `b`"),
        ("POST", "/faults/a/lease", "", 400, "no lease"),
        ("POST", "/faults/a/lease", "[", 400, "this is not a"),
        ("GET", "/faults/%ff", "", 400, "UTF-8"),
        ("GET", "/faults/a%2fb", "", 400, "`a/b` cannot name a fault"),
        ("GET", "/faults/a%0ab", "", 400, "cannot name a fault"),
        ("POST", "/faults", &" ".repeat(1024 * 1024 + 1), 413, "1 MiB"),
        ("GET", "/nothing", "", 404, "nothing at this path"),
        ("PATCH", "/faults", "", 405, "no such method"),
    ] {
        let answer = ask(&proxy, method, path, "", body).await;
        let error = answer.json()["error"].as_str().expect("an error").to_owned();
        assert_eq!(answer.status(), status, "{method} {path}: {error}");
        assert!(error.contains(says), "{method} {path}: {error}");
    }
}

#[tokio::test]
async fn another_host_or_origin_is_refused_on_every_path() {
    let proxy = proxy().await;
    for headers in ["Host: evil.example\r\n", "Origin: http://evil.example\r\n"] {
        for (method, path) in [
            ("GET", "/faults"),
            ("POST", "/faults"),
            ("DELETE", "/faults/a"),
            ("POST", "/faults/a/lease"),
            ("GET", "/sessions"),
            ("GET", "/upstreams"),
            ("GET", "/healthz"),
            ("GET", "/nothing"),
            ("PATCH", "/faults"),
            ("GET", "/faults/%ff"),
        ] {
            let answer = ask(&proxy, method, path, headers, "").await;
            assert_eq!(answer.status(), 403, "{method} {path} {headers}");
        }
    }
}

#[tokio::test]
async fn of_many_who_race_to_change_or_remove_a_fault_one_removes_it_and_none_breaks_it() {
    let proxy = proxy().await;
    for _ in 0..20 {
        proxy.add(r#"{"id":"a","effect":{"drop":{}}}"#).await;
        let change = || ask(&proxy, "PUT", "/faults/a", "", r#"{"effect":{"reset":{}}}"#);
        let remove = || ask(&proxy, "DELETE", "/faults/a", "", "");
        let answers = tokio::join!(change(), remove(), change(), remove(), change(), remove());
        let removed = [&answers.1, &answers.3, &answers.5].map(Message::status);
        assert_eq!(removed.iter().filter(|status| **status == 200).count(), 1, "{removed:?}");
        for status in [&answers.0, &answers.2, &answers.4].map(Message::status) {
            assert!([200, 404].contains(&status), "{status}");
        }
        assert_eq!(ask(&proxy, "GET", "/faults", "", "").await.json(), json!([]));
    }
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let upstream = Upstream::answering(ok("{}")).await;
    let mut config = fixture::config(&[upstream.address]);
    config.admin.as_mut().expect("an admin API").token = Some("secret".into());
    let proxy = run(config);
    assert_eq!(ask(&proxy, "GET", "/faults", "", "").await.status(), 401);
    let answer = ask(&proxy, "GET", "/faults", "Authorization: Bearer secret\r\n", "").await;
    assert_eq!(answer.status(), 200);
    let error = proxy.admin.faults().await.expect_err("the client has no token").to_string();
    assert!(error.contains("--admin-token"), "{error}");
}

#[tokio::test]
async fn beyond_loopback_a_token_is_a_must() {
    let upstream = Upstream::answering(ok("{}")).await;
    let mut config = fixture::config(&[upstream.address]);
    config.admin.as_mut().expect("an admin API").listen = ([0, 0, 0, 0], 0).into();
    let error = squall_proxy::Proxy::bind(config).expect_err("there is no token").to_string();
    assert!(error.contains("--admin-token") && error.contains("--admin-open"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_and_a_history_that_cannot_be_written_are_said_at_once() {
    let upstream = Upstream::answering(ok("{}")).await;
    let mut config = fixture::config(&[upstream.address]);
    config.listen = upstream.address;
    let error = squall_proxy::Proxy::bind(config).expect_err("it is taken").to_string();
    assert!(error.contains("in use"), "{error}");

    let mut config = fixture::config(&[upstream.address]);
    config.history = Some("/nonexistent/history.jsonl".into());
    let error = squall_proxy::Proxy::bind(config).expect_err("no such folder").to_string();
    assert!(error.contains("/nonexistent/history.jsonl"), "{error}");
}

#[tokio::test]
async fn two_faults_of_one_name_are_refused_from_the_start() {
    let upstream = Upstream::answering(ok("{}")).await;
    let mut config = fixture::config(&[upstream.address]);
    config.faults = vec![fault(r#"{"id":"a","effect":{"drop":{}}}"#); 2];
    let error = squall_proxy::Proxy::bind(config).expect_err("ids are unique").to_string();
    assert!(error.contains("`a`"), "{error}");
}

#[tokio::test]
async fn removing_a_fault_that_thousands_wait_on_frees_them_and_holds_nobody_up() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"a","effect":{"latency":{"delay":"1h"}}}"#).await;
    let mut clients = Vec::new();
    for number in 0..1000 {
        let mut client = proxy.connect().await;
        client.send(post("", &call(number, "x"))).await;
        clients.push(client);
    }
    while proxy.hits("a").await < 1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&proxy, "DELETE", "/faults/a", "", "").await.json()["hits"], 1000);
    assert_eq!(ask(&proxy, "GET", "/faults", "", "").await.json(), json!([]));
    for mut client in clients {
        assert_eq!(client.message().await.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn a_call_whose_body_never_ends_does_not_keep_its_place() {
    let proxy = proxy().await;
    let mut wire = Wire::connect(proxy.admin_address).await;
    let host = proxy.admin_address;
    wire.send(format!("POST /faults HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n{{"))
        .await;
    let answer = wire.message().await.expect("an answer");
    assert_eq!(answer.status(), 408);
}
