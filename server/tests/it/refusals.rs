//! Every other status: what is refused before a message is looked at, and how.

use http::header::{ACCEPT, CONTENT_TYPE, EXPECT, ORIGIN};
use http::{Method, StatusCode};
use squall_model::mcp::header::{EVENT_STREAM, JSON};

use crate::world::*;

#[tokio::test]
async fn what_is_not_json_is_a_parse_error() {
    let server = server().await;
    for body in ["", "{", "nonsense", "\u{feff}{}"] {
        let answer = server.post(body).send().await;
        answer.refuses(400, -32700, "not JSON");
        assert!(answer.message()["id"].is_null());
    }
}

#[tokio::test]
async fn what_is_json_and_no_message_is_an_invalid_request() {
    let server = server().await;
    for body in ["7", "{}", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "[1]"] {
        server.post(body).send().await.refuses(400, -32600, "");
    }
}

#[tokio::test]
async fn an_id_is_a_string_or_a_number() {
    let server = server().await;
    for id in ["null", "true", "[1]", "{}"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let answer = server.post(body).send().await;
        answer.refuses(400, -32600, "string or a number");
        assert!(answer.message()["id"].is_null());
    }
}

#[tokio::test]
async fn ids_come_back_exactly_as_they_were_written() {
    let server = server().await;
    let session = server.session("2025-11-25").await;
    for id in ["7", "7.0", "-1e3", "\"7\"", r#""\u0037""#, "123456789012345678901234567890"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        for accept in [JSON, EVENT_STREAM] {
            let ask = server.post(body.clone()).session(&session).header(ACCEPT, accept);
            let answer = ask.send().await;
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
            assert!(answer.text().contains(&expected), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_unknown_method_is_a_json_rpc_error_and_no_http_error() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for method in ["nonsense", "tasks/get", "subscriptions/listen", "tools/call2"] {
        let body = request(method, &serde_json::json!({}));
        let answer = server.post(body).session(&id).send().await;
        answer.refuses(200, -32601, method);
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let server = server().await;
    for kind in ["text/plain", "application/json-rpc", ""] {
        let answer = server.post(PING).header(CONTENT_TYPE, kind).send().await;
        answer.refuses(415, -32000, "application/json");
    }
    let answer = server.post(PING).without(&CONTENT_TYPE).send().await;
    answer.refuses(415, -32000, "missing");
    let ask = server.post(initialize("2025-11-25"));
    let answer = ask.header(CONTENT_TYPE, "Application/JSON; charset=utf-8").send().await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_accept_header_chooses_the_kind_of_answer() {
    let server = server().await;
    for (accept, is_stream) in [
        (BOTH, false),
        (JSON, false),
        ("*/*", false),
        (EVENT_STREAM, true),
        ("application/json;q=0.1, text/event-stream", true),
    ] {
        let ask = server.post(initialize("2025-11-25")).header(ACCEPT, accept);
        let answer = ask.send().await;
        assert_eq!(answer.is_stream(), is_stream, "{accept}");
        assert_eq!(answer.result()["protocolVersion"], "2025-11-25");
        assert!(answer.session().is_some());
    }
    let answer = server.post(initialize("2025-11-25")).without(&ACCEPT).send().await;
    assert_eq!(answer.header("content-type"), Some(JSON));
}

#[tokio::test]
async fn a_client_that_takes_neither_kind_is_406() {
    let server = server().await;
    for accept in ["text/html", "", "application/json;q=0"] {
        let ask = server.post(initialize("2025-11-25")).header(ACCEPT, accept);
        ask.send().await.refuses(406, -32000, "text/event-stream");
    }
}

#[tokio::test]
async fn a_get_that_does_not_ask_for_events_is_406() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for accept in [JSON, "*/*"] {
        let ask = server.ask(Method::GET).session(&id).header(ACCEPT, accept);
        ask.send().await.refuses(406, -32000, "text/event-stream");
    }
    let answer = server.ask(Method::GET).session(&id).send().await;
    answer.refuses(406, -32000, "text/event-stream");
}

#[tokio::test]
async fn other_methods_are_405_and_told_which_are_allowed() {
    let server = server().await;
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS] {
        let answer = server.ask(method).send().await;
        answer.refuses(405, -32000, "GET, POST, DELETE");
        assert_eq!(answer.header("allow"), Some("GET, POST, DELETE"));
    }
    let answer = server.ask(Method::POST).path("/healthz").send().await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn other_paths_are_404_and_health_is_200() {
    let server = server_with(|config| config.id = "replica-7".to_owned()).await;
    for path in ["/", "/mcp/", "/sse", "/healthz/x"] {
        let answer = server.ask(Method::GET).path(path).send().await;
        answer.refuses(404, -32000, "/mcp");
    }
    for path in ["/healthz", "/readyz", "/healthz?verbose"] {
        let answer = server.ask(Method::GET).path(path).send().await;
        assert_eq!((answer.status, &answer.message()["id"]), (StatusCode::OK, &"replica-7".into()));
    }
}

#[tokio::test]
async fn a_page_from_elsewhere_may_not_call() {
    let allow = |config: &mut squall_server::Config| {
        config.allowed_origins = vec!["https://app.example".to_owned()];
    };
    let server = server_with(allow).await;
    for (origin, status) in [
        ("http://localhost:6274", 200),
        ("http://127.0.0.1", 200),
        ("http://[::1]:1", 200),
        ("https://app.example", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
    ] {
        let ask = server.post(initialize("2025-11-25")).header(ORIGIN, origin);
        assert_eq!(ask.send().await.status, status, "{origin}");
    }
    let ask = server.ask(Method::GET).header(ORIGIN, "https://evil.example");
    ask.send().await.refuses(403, -32000, "evil.example");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_read() {
    let server = server_with(|config| config.max_body = 1000).await;
    let padded = |length: usize| {
        let body = initialize("2025-11-25");
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    assert_eq!(server.post(padded(1000)).send().await.status, StatusCode::OK);
    for length in [1001, 10_000] {
        server.post(padded(length)).send().await.refuses(413, -32000, "1000 bytes");
    }
    let patient = server.post(padded(100_000)).header(EXPECT, "100-continue");
    patient.send().await.refuses(413, -32000, "1000 bytes");
}
