//! What people who watch are told: events, seconds, metrics.

use serde_json::Value;

use crate::fixture::{self, Running, Upstream, by_hand, ok, run};
use crate::wire::{Wire, call, post};

/// A GET of the admin API on a connection of its own.
async fn get(proxy: &Running, path: &str) -> Wire {
    let mut client = Wire::connect(proxy.admin_address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.admin_address)).await;
    client
}

/// The next event of this name, and its data.
async fn next(events: &mut Wire, name: &str) -> Value {
    loop {
        let event = events.chunk().await.expect("the stream goes on");
        let mut lines = event.lines();
        if lines.next() == Some(&format!("event: {name}")) {
            let data = lines.next().and_then(|line| line.strip_prefix("data: ")).expect("data");
            return serde_json::from_str(data).expect("JSON");
        }
    }
}

async fn metrics(proxy: &Running) -> String {
    get(proxy, "/metrics").await.message().await.expect("an answer").text().to_owned()
}

#[tokio::test]
async fn an_exchange_an_injection_and_a_change_of_the_board_are_told_live() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut events = get(&proxy, "/events").await;
    assert_eq!(
        events.head().await.expect("a head").header("content-type"),
        Some("text/event-stream")
    );
    proxy.add(r#"{"id":"f","effect":{"http-status":{"status":503}}}"#).await;
    next(&mut events, "board").await;
    let mut client = proxy.connect().await;
    client.send(post("Mcp-Session-Id: <s>\r\n", &call(1, "<b>"))).await;
    client.message().await.expect("an answer");
    let injection = next(&mut events, "injection").await;
    assert_eq!((&injection["fault"], &injection["effect"]), (&"f".into(), &"http-status".into()));
    let exchange = next(&mut events, "exchange").await;
    assert_eq!((&exchange["status"], &exchange["name"]), (&503.into(), &"<b>".into()));
    assert_eq!((&exchange["session"], &exchange["faults"][0]), (&"<s>".into(), &"f".into()));
    let second = next(&mut events, "second").await;
    assert!(second["p95_ms"].is_number(), "{second}");
}

#[tokio::test]
async fn a_listener_that_does_not_read_holds_nobody_up() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut lazy = get(&proxy, "/events").await;
    lazy.head().await.expect("a head");
    let mut client = proxy.connect().await;
    let name = "x".repeat(4000);
    for _ in 0..3000 {
        client.send(post("", &call(1, &name))).await;
        client.message().await.expect("an answer");
    }
    let skipped = next(&mut lazy, "skipped").await;
    assert!(skipped["events"].as_u64().is_some_and(|events| events > 0), "{skipped}");
}

#[tokio::test]
async fn the_last_seconds_are_kept() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    client.message().await.expect("an answer");
    loop {
        let stats = get(&proxy, "/stats").await.message().await.expect("an answer").json();
        let seconds = stats["seconds"].as_array().expect("a list").clone();
        if let Some(busy) = seconds.iter().find(|second| second["exchanges"] == 1) {
            assert_eq!((&busy["errors"], &busy["open_connections"]), (&0.into(), &1.into()));
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn metrics_name_methods_tools_and_faults_and_escape_what_peers_say() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","match":{"tool":"slow"},"effect":{"http-status":{"status":503}}}"#)
        .await;
    let mut client = proxy.connect().await;
    for name in ["slow", "a\\\"}\\n x"] {
        client.send(post("", &call(1, name))).await;
        client.message().await.expect("an answer");
    }
    let text = metrics(&proxy).await;
    for line in [
        r#"squall_exchanges_total{http_method="POST",status="5xx"} 1"#,
        r#"squall_exchange_duration_seconds_count{method="tools/call",name="slow"} 1"#,
        r#"squall_exchange_duration_seconds_count{method="tools/call",name="a\"}\n x"} 1"#,
        r#"squall_injections_total{fault="f",effect="http-status"} 1"#,
        r#"squall_open_connections{route="mcp"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn bytes_are_counted_while_a_stream_is_open() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    client.head().await.expect("a head");
    let down = async || {
        let text = metrics(&proxy).await;
        let line = r#"squall_bytes_total{route="mcp",direction="down"} "#;
        let found = text.lines().find_map(|found| found.strip_prefix(line)).expect(line).to_owned();
        assert!(text.contains("squall_open_streams 1"), "{text}");
        found.parse::<u64>().expect("a number")
    };
    let before = down().await;
    server.send("data: 0123456789\n\n").await;
    client.chunk().await.expect("an event");
    assert!(down().await >= before + 18);
}

#[tokio::test]
async fn the_context_of_a_trace_is_passed_on() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    let parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    let headers = format!("traceparent: {parent}\r\ntracestate: a=1,b=2\r\nbaggage: x=y\r\n");
    client.send(post(&headers, &call(1, "x"))).await;
    client.message().await.expect("an answer");
    let request = upstream.request().await;
    assert_eq!(request.header("traceparent"), Some(parent));
    assert_eq!(
        (request.header("tracestate"), request.header("baggage")),
        (Some("a=1,b=2"), Some("x=y"))
    );
}
