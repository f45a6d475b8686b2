//! Peers that dawdle or talk nonsense: the server answers or closes, and lives on.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::world::*;

/// Sends bytes and reads until the server closes. A reset after an early answer counts as closed.
async fn exchange(address: SocketAddr, bytes: &[u8], then_close: bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.expect("listening");
    let _ = socket.write_all(bytes).await;
    if then_close {
        let _ = socket.shutdown().await;
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = soon(socket.read(&mut buffer)).await {
        answer.extend_from_slice(&buffer[..read]);
    }
    answer
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let server = server_with(|config| config.head_deadline = Duration::from_millis(50)).await;
    for start in ["", "POST /mcp HTTP/1.1\r\nHost: x\r\n"] {
        exchange(server.address, start.as_bytes(), false).await;
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let server = server_with(|config| config.body_deadline = Duration::from_millis(50)).await;
    let start = "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    let answer = exchange(server.address, start.as_bytes(), false).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_given_up() {
    let change = |config: &mut squall_server::Config| {
        config.write_deadline = Duration::from_millis(50);
    };
    let server = server_with(change).await;
    let session = server.session("2025-11-25").await;
    let body = call("fast-echo", &serde_json::json!({ "message": "x".repeat(1 << 19) }));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: {session}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(server.address).await.expect("listening");
    let send_for_ever = async {
        while socket.write_all(head.as_bytes()).await.is_ok()
            && socket.write_all(body.as_bytes()).await.is_ok()
        {}
    };
    soon(send_for_ever).await;
}

#[tokio::test]
async fn a_broken_chunked_body_is_refused() {
    let server = server().await;
    let request = "POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    let answer = exchange(server.address, request.as_bytes(), false).await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}

fn some_json() -> impl Strategy<Value = String> + Clone {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "[ -~]{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
        Just(r#""\ud800""#.to_owned()),
        Just("1e999".to_owned()),
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        let pair = (some_key(), inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(pair, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

fn some_key() -> impl Strategy<Value = &'static str> {
    let keys = vec![
        r#""jsonrpc""#,
        r#""id""#,
        r#""method""#,
        r#""params""#,
        r#""name""#,
        r#""arguments""#,
        r#""cursor""#,
        r#""_meta""#,
        r#""progressToken""#,
    ];
    prop::sample::select(keys)
}

fn some_message() -> impl Strategy<Value = String> {
    let method = prop::sample::select(vec![
        "initialize",
        "ping",
        "tools/list",
        "tools/call",
        "notifications/initialized",
        "nonsense",
    ]);
    let message = (method, some_json(), some_json()).prop_map(|(method, id, params)| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    });
    let batch = prop::collection::vec(message.clone(), 0..3)
        .prop_map(|messages| format!("[{}]", messages.join(",")));
    prop_oneof![4 => message, 1 => batch, 1 => some_json(), 1 => "\\PC{0,40}"]
}

fn some_header() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Accept",
        "Content-Type",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
        "Origin",
        "Last-Event-ID",
        "traceparent",
        "X-Other",
    ]);
    let value = prop_oneof![
        Just("application/json".to_owned()),
        Just("text/event-stream;q=0.5".to_owned()),
        Just("SESSION".to_owned()),
        Just("2025-03-26".to_owned()),
        "[ -~]{0,30}",
    ];
    (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

thread_local! {
    static FIXTURE: (Runtime, TestServer) = {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(server());
        (runtime, server)
    };
}

/// Sends bytes to the one server of this test, and asserts that it lives on.
fn send(bytes: &[u8], then_close: bool) -> Vec<u8> {
    FIXTURE.with(|(runtime, server)| {
        runtime.block_on(async {
            let answer = exchange(server.address, bytes, then_close).await;
            let health = server.ask(http::Method::GET).path("/healthz");
            assert_eq!(health.send().await.status, 200);
            answer
        })
    })
}

fn new_session() -> String {
    FIXTURE.with(|(runtime, server)| runtime.block_on(server.session("2025-03-26")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_client_posts_it_gets_an_answer_of_http(
        method in prop::sample::select(vec!["POST", "POST", "POST", "DELETE", "PUT", "HEAD"]),
        headers in prop::collection::vec(some_header(), 0..8),
        body in some_message(),
    ) {
        let request = format!(
            "{method} /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n{body}",
            headers.concat(),
            body.len(),
        );
        let request = request.replace("SESSION", &new_session());
        let answer = send(request.as_bytes(), false);
        let text = String::from_utf8_lossy(&answer);
        prop_assert!(text.starts_with("HTTP/1.1 "), "{request}\n{text}");
        prop_assert!(!text.starts_with("HTTP/1.1 5"), "{request}\n{text}");
    }

    #[test]
    fn nonsense_gets_an_answer_of_http_or_a_clean_close(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let answer = send(&bytes, true);
        let text = String::from_utf8_lossy(&answer);
        prop_assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
}
