//! Sessions: how they begin, how they are named, and what is said when they are gone.

use std::collections::HashSet;
use std::time::Duration;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde_json::json;
use squall_model::mcp::header::{EVENT_STREAM, PROTOCOL_VERSION};

use crate::world::*;

#[tokio::test]
async fn the_version_is_negotiated() {
    let server = server().await;
    for (asked, settled) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let result = server.post(initialize(asked)).send().await.result();
        assert_eq!(result["protocolVersion"], settled, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "squall-server");
        for list in ["tools", "resources", "prompts"] {
            assert_eq!(result["capabilities"][list]["listChanged"], true, "{list}");
        }
        for whole in ["completions", "logging"] {
            assert_eq!(result["capabilities"][whole], json!({}), "{whole}");
        }
    }
}

#[tokio::test]
async fn session_ids_are_long_visible_ascii_and_never_the_same() {
    let server = server().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let id = server.session("2025-11-25").await;
        assert!(id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert!(seen.insert(id));
    }
}

#[tokio::test]
async fn a_session_takes_notifications_and_requests() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let answer = server.post(INITIALIZED).session(&id).send().await;
    assert_eq!((answer.status, answer.text()), (StatusCode::ACCEPTED, String::new()));
    assert_eq!(server.post(PING).session(&id).send().await.result(), json!({}));
    let response = r#"{"jsonrpc":"2.0","id":9,"result":{}}"#;
    let answer = server.post(response).session(&id).send().await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_initialize_without_a_version_makes_no_session() {
    let server = server().await;
    let answer = server.post(request("initialize", &json!({}))).send().await;
    answer.refuses(200, -32602, "protocolVersion");
    assert_eq!(answer.session(), None);
}

#[tokio::test]
async fn a_request_without_a_session_is_told_to_initialize() {
    let server = server().await;
    for body in [PING, INITIALIZED] {
        let answer = server.post(body).send().await;
        answer.refuses(400, -32000, "initialize");
    }
    for method in [Method::GET, Method::DELETE] {
        let answer = server.ask(method).header(ACCEPT, EVENT_STREAM).send().await;
        answer.refuses(400, -32000, "initialize");
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_life_is_404_and_never_400() {
    let first = server().await;
    let id = first.session("2025-11-25").await;
    let restarted = server().await;
    let bodies = [PING.to_owned(), INITIALIZED.to_owned(), initialize("2025-11-25")];
    for body in bodies {
        let answer = restarted.post(body.clone()).session(&id).send().await;
        answer.refuses(404, -32001, "initialize");
    }
    for method in [Method::GET, Method::DELETE] {
        let ask = restarted.ask(method).session(&id).header(ACCEPT, EVENT_STREAM);
        ask.send().await.refuses(404, -32001, "initialize");
    }
    restarted.session("2025-11-25").await;
}

#[tokio::test]
async fn a_404_answers_the_request_that_it_refuses() {
    let server = server().await;
    let body = r#"{"jsonrpc":"2.0","id":"a\u0062","method":"ping"}"#;
    let answer = server.post(body).session("gone").send().await;
    assert!(answer.text().contains(r#""id":"a\u0062""#), "{}", answer.text());
}

#[tokio::test]
async fn an_ended_session_is_gone_for_good() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let ended = server.ask(Method::DELETE).session(&id).send().await;
    assert_eq!((ended.status, ended.text()), (StatusCode::NO_CONTENT, String::new()));
    server.post(PING).session(&id).send().await.refuses(404, -32001, "session");
    let again = server.ask(Method::DELETE).session(&id).send().await;
    again.refuses(404, -32001, "session");
}

#[tokio::test]
async fn a_living_session_is_not_initialized_twice() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let answer = server.post(initialize("2025-11-25")).session(&id).send().await;
    answer.refuses(400, -32600, "initialized already");
}

#[tokio::test]
async fn the_version_header_names_a_version_that_is_spoken_here_or_is_absent() {
    let server = server().await;
    let id = server.session("2025-06-18").await;
    let ask = || server.post(PING).session(&id);
    assert_eq!(ask().send().await.status, StatusCode::OK);
    for (version, status) in [
        ("2025-06-18", 200),
        ("2025-03-26", 200),
        ("2025-11-25", 200),
        ("2026-07-28", 400),
        ("nonsense", 400),
        ("", 400),
        ("\u{e9}", 400),
    ] {
        let answer = ask().header(PROTOCOL_VERSION, version).send().await;
        assert_eq!(answer.status, status, "{version}");
    }
    let twice =
        ask().another(PROTOCOL_VERSION, "2025-06-18").another(PROTOCOL_VERSION, "2025-06-18");
    twice.send().await.refuses(400, -32000, "more than once");
}

#[tokio::test]
async fn the_version_header_does_not_change_what_a_session_settled_on() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let batch = server.post(format!("[{PING}]")).session(&id);
    let answer = batch.header(PROTOCOL_VERSION, "2025-03-26").send().await;
    answer.refuses(400, -32600, "this session speaks 2025-11-25");
}

#[tokio::test]
async fn a_session_header_is_one_word_of_visible_ascii() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for bad in ["", "a b", "\u{e9}", "a\tb"] {
        let answer = server.post(PING).session(bad).send().await;
        answer.refuses(400, -32000, "visible ASCII");
    }
    let twice = server.post(PING).session(&id);
    let twice = twice.another(squall_model::mcp::header::SESSION_ID, &id);
    twice.send().await.refuses(400, -32000, "more than once");
}

#[tokio::test]
async fn one_session_too_many_is_put_off_until_another_ends() {
    let server = server_with(|config| config.max_sessions = 2).await;
    let first = server.session("2025-11-25").await;
    server.session("2025-11-25").await;
    let answer = server.post(initialize("2025-11-25")).send().await;
    answer.refuses(503, -32000, "all 2 sessions");
    assert!(answer.header("retry-after").is_some());
    server.ask(Method::DELETE).session(&first).send().await;
    server.session("2025-11-25").await;
}

#[tokio::test]
async fn an_idle_session_expires_and_its_stream_ends() {
    let server = server_with(|config| config.session_ttl = Duration::from_millis(50)).await;
    let id = server.session("2025-11-25").await;
    let answer = loop {
        let ask = server.ask(Method::GET).session(&id).header(ACCEPT, EVENT_STREAM);
        let mut stream = ask.open().await;
        if stream.status != StatusCode::OK {
            break stream.status;
        }
        assert_eq!(stream.next_event().await, None);
    };
    assert_eq!(answer, StatusCode::NOT_FOUND);
}
