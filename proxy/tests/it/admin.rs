//! The admin API as people and programs call it, errors first of all.

use serde_json::json;

use crate::fixture::{self, Running, Upstream, fault, ok, run};
use crate::wire::{Message, Wire, call, post};

async fn proxy() -> Running {
    let upstream = Upstream::answering(ok("{}")).await;
    run(fixture::config(&[upstream.address]))
}

pub async fn ask(proxy: &Running, method: &str, path: &str, headers: &str, body: &str) -> Message {
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
        ("PUT", "/faults", "{}", 400, "no list of faults"),
        (
            "PUT",
            "/faults",
            r#"[{"id":"x","effect":{"drop":{}}},{"id":"y","effect":{"dorp":{}}}]"#,
            400,
            "number 2: unknown effect `dorp`, did you mean `drop`?",
        ),
        ("PATCH", "/faults/none", "{}", 404, "no fault `none`"),
        ("GET", "/sessions?limit=x", "", 400, "limit"),
        ("GET", "/sessions/none", "", 404, "no session `none`"),
        ("PATCH", "/faults/a", r#"{"id":"b"}"#, 400, "the body `b`"),
        ("PATCH", "/faults/a", r#"{"chance":{"nth":0}}"#, 400, "never fire"),
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

#[tokio::test]
async fn a_whole_set_is_applied_at_once_or_not_at_all() {
    let proxy = proxy().await;
    proxy.add(r#"{"id":"old","effect":{"drop":{}}}"#).await;
    let set = r#"[{"id":"a","effect":{"drop":{}}},{"id":"b","effect":{"reset":{}}}]"#;
    let applied = ask(&proxy, "PUT", "/faults", "", set).await;
    assert_eq!((applied.status(), applied.json().as_array().map(Vec::len)), (200, Some(2)));
    let bad = r#"[{"id":"c","effect":{"drop":{}}},{"id":"c","effect":{"drop":{}}}]"#;
    assert_eq!(ask(&proxy, "PUT", "/faults", "", bad).await.status(), 409);
    let faults = proxy.admin.faults().await.expect("the proxy runs");
    let ids: Vec<_> = faults.iter().map(|view| view.fault.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn a_patch_changes_what_it_says_and_leaves_the_rest() {
    let proxy = proxy().await;
    proxy
        .add(r#"{"id":"a","match":{"tool":"x"},"lease":"1h","effect":{"latency":{"delay":"1s"}}}"#)
        .await;
    let patch = r#"{"effect":{"latency":{"jitter":"2ms"}},"lease":null,"enabled":false}"#;
    let view = ask(&proxy, "PATCH", "/faults/a", "", patch).await.json();
    assert_eq!(
        view["effect"]["latency"],
        json!({
            "delay": "1s", "jitter": "2ms", "distribution": "uniform", "at": "exchange",
        })
    );
    assert_eq!((&view["match"]["tool"], &view["enabled"]), (&json!("x"), &json!(false)));
    assert_eq!(view.get("lease"), None);
    let other = ask(&proxy, "PATCH", "/faults/a", "", r#"{"effect":{"reset":{}}}"#).await.json();
    assert_eq!(other["effect"], json!({ "reset": { "at": "exchange" } }));
}

#[tokio::test]
async fn switching_a_fault_off_frees_what_it_held() {
    let upstream = fixture::Upstream::answering(fixture::ok("{}")).await;
    let proxy = fixture::run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"a","effect":{"latency":{"delay":"1h"}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(crate::wire::post("", &crate::wire::call(1, "x"))).await;
    proxy.hit("a").await;
    ask(&proxy, "PATCH", "/faults/a", "", r#"{"enabled":false}"#).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    assert_eq!(proxy.hits("a").await, 1, "its counters go on");
}

#[tokio::test]
async fn faults_survive_a_restart_with_their_counters_and_leases() {
    let folder = tempfile::tempdir().expect("a folder");
    let upstream = Upstream::answering(ok("{}")).await;
    let config = || {
        let mut config = fixture::config(&[upstream.address]);
        config.state = Some(folder.path().join("state.json"));
        config
    };
    let proxy = run(config());
    proxy.add(r#"{"id":"a","lease":"1h","effect":{"http-status":{"status":503}}}"#).await;
    proxy.add(r#"{"id":"b","enabled":false,"effect":{"drop":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    client.message().await.expect("an answer");
    let changed = ask(&proxy, "PATCH", "/faults/b", "", r#"{"match":{"tool":"y"}}"#).await;
    assert_eq!(changed.status(), 200);
    // What a SIGKILL would leave: the file as it is once the last change is in it.
    let state = folder.path().join("state.json");
    while !std::fs::read_to_string(&state).expect("it is there").contains("\"y\"") {
        tokio::task::yield_now().await;
    }
    let again = run(config());
    let faults = again.admin.faults().await.expect("the proxy runs");
    let ids: Vec<_> = faults.iter().map(|view| view.fault.id.as_str()).collect();
    assert_eq!((ids, faults[0].hits), (vec!["a", "b"], 1));
    assert!(faults[0].time_left.is_some_and(|left| left.as_secs() <= 3600));
    assert!(!faults[1].fault.enabled);
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.json");
    std::fs::write(&path, "nonsense").expect("a file");
    let mut config = fixture::config(&[]);
    config.state = Some(path.clone());
    let error = squall_proxy::Proxy::bind(config).expect_err("it is nonsense").to_string();
    assert!(error.contains("state.json") && error.contains("move it away"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "nonsense");
}
