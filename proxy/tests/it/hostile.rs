//! Peers that mean harm: the proxy goes on, and others are served meanwhile.

use proptest::prelude::*;
use squall_proxy::Config;
use squall_proxy::config::Limits;

use crate::fixture::{self, Running, Upstream, by_hand, ok, run};
use crate::wire::{Message, call, post};

async fn is_served(proxy: &Running) {
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn requests_that_make_no_sense_to_us_arrive_as_they_are() {
    let upstream = Upstream::with(|request: &Message| ok(&request.body.len().to_string())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","match":{"tool":"nobody"},"effect":{"reset":{}}}"#).await;
    let deep = "[".repeat(60_000);
    let closed = format!("{deep}{}", "]".repeat(5_000));
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}1{}}}"#,
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    let at_limit = format!("{}{}", call(1, "x"), " ".repeat(65_536 - call(1, "x").len()));
    let beyond = format!("{at_limit} ");
    let huge = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut client = proxy.connect().await;
    for body in ["", "{", "null", "\u{0}", &deep, &closed, &nested, &at_limit, &beyond, &huge] {
        client.send(post("Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n", body)).await;
        let answer = client.message().await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, &*body.len().to_string()));
        assert_eq!(upstream.request().await.all("mcp-session-id"), ["a", "b"]);
    }
}

#[tokio::test]
async fn bodies_are_classified_up_to_64_kib_exactly() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","match":{"tool":"x"},"effect":{"http-status":{"status":418}}}"#).await;
    let mut client = proxy.connect().await;
    for (size, status) in [(65_535, 418), (65_536, 418), (65_537, 200)] {
        let body = format!("{}{}", call(1, "x"), " ".repeat(size - call(1, "x").len()));
        client.send(post("", &body)).await;
        assert_eq!(client.message().await.expect("an answer").status(), status, "{size}");
        let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{chunks}")).await;
        assert_eq!(client.message().await.expect("an answer").status(), status, "{size} chunked");
    }
}

#[tokio::test]
async fn how_much_of_a_body_is_classified_can_be_chosen() {
    let upstream = Upstream::answering(ok("{}")).await;
    let size = call(1, "x").len();
    for (classify, status) in [(size, 418), (size - 1, 200), (0, 200)] {
        let limits = Limits { classify, ..Limits::default() };
        let proxy = run(Config { limits, ..fixture::config(&[upstream.address]) });
        proxy
            .add(r#"{"id":"f","match":{"tool":"x"},"effect":{"http-status":{"status":418}}}"#)
            .await;
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").status(), status, "{classify}");
    }
}

#[tokio::test]
async fn a_session_that_is_named_twice_is_none_to_faults() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","match":{"session":"a"},"effect":{"http-status":{"status":418}}}"#)
        .await;
    let mut client = proxy.connect().await;
    for (named, status) in [
        ("Mcp-Session-Id: a\r\n", 418),
        ("Mcp-Session-Id: a\r\nMcp-Session-Id: a\r\n", 418),
        ("Mcp-Session-Id: a\r\nMcp-Session-Id: b\r\n", 200),
    ] {
        client.send(post(named, &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").status(), status, "{named}");
    }
}

#[tokio::test]
async fn what_is_no_utf8_arrives_as_it_is() {
    let upstream =
        Upstream::with(|_: &Message| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe").await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","match":{"tool":"nobody"},"effect":{"drop":{}}}"#).await;
    let mut client = proxy.connect().await;
    let body = b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xc3\"}";
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send([head.as_bytes(), body].concat()).await;
    assert_eq!(client.message().await.expect("an answer").body, b"\xff\xfe");
    assert_eq!(upstream.request().await.body, body);
}

#[tokio::test]
async fn clients_that_never_finish_hold_up_nobody_else() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut unfinished = Vec::new();
    for start in [
        "",
        "P",
        "POST /mcp HTTP/1.1\r\nHost: a\r\nX-",
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{",
        "POST /mcp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
    ] {
        let mut client = proxy.connect().await;
        client.send(start).await;
        unfinished.push(client);
    }
    is_served(&proxy).await;
}

#[tokio::test]
async fn endless_headers_and_chunk_sizes_that_lie_end_their_own_connection() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let endless = "X-Long: yes\r\n".repeat(100_000);
    for request in [
        format!("GET / HTTP/1.1\r\nHost: a\r\n{endless}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1_000_000)),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
            .into(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n".into(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxxxxx\r\n".into(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n".into(),
    ] {
        let mut client = proxy.connect().await;
        client.try_send(&request).await;
        client.end().await;
    }
    is_served(&proxy).await;
}

#[tokio::test]
async fn a_server_that_lies_is_cut_off_or_said_to_be_invalid() {
    let endless = "X-Long: yes\r\n".repeat(100_000);
    for answer in [
        format!("HTTP/1.1 200 OK\r\n{endless}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(),
        "nonsense\r\n\r\n".into(),
        "HTTP/1.1 999999 What\r\n\r\n".into(),
    ] {
        let (address, mut connections) = by_hand().await;
        let proxy = run(fixture::config(&[address]));
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("the request");
        server.try_send(&answer).await;
        let got = client.message().await.expect("an answer");
        let cause = got.header("x-squall-upstream-error");
        assert_eq!((got.status(), cause), (502, Some("invalid-response")), "{answer:.40}");
    }
}

#[test]
fn random_bytes_from_either_side_leave_the_proxy_standing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let start = prop::sample::select(vec![
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 40\r\n\r\ndata: ",
        "HTTP/1.1 200 ",
    ]);
    let bytes = (start, prop::collection::vec(any::<u8>(), 0..400))
        .prop_map(|(start, noise)| [start.as_bytes(), &noise].concat());
    let (good, proxies, connections) = runtime.block_on(async {
        let upstream = Upstream::answering(ok("{}")).await;
        let (address, connections) = by_hand().await;
        let proxies = [upstream.address, address].map(|address| run(fixture::config(&[address])));
        for proxy in &proxies {
            proxy
                .add(
                    r#"{"id":"f","match":{"method":"nothing"},"effect":{"drop":{"at":"message"}}}"#,
                )
                .await;
        }
        (upstream, proxies, tokio::sync::Mutex::new(connections))
    });
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() };
    proptest!(config, |(client_noise in bytes.clone(), server_noise in bytes)| {
        runtime.block_on(async {
            let [served, answered] = &proxies;
            let mut client = served.connect().await;
            client.try_send(&client_noise).await;
            client.finish().await;

            let mut client = answered.connect().await;
            client.send(post("", &call(1, "x"))).await;
            let mut server = connections.lock().await.recv().await.expect("a connection");
            server.message().await.expect("the request");
            server.try_send(&server_noise).await;
            drop(server);
            client.finish().await;
            is_served(served).await;
        });
    });
    drop(good);
}

#[tokio::test]
async fn more_than_a_hundred_header_fields_are_too_many() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    for (fields, status) in [(99, 200), (100, 431)] {
        let mut client = proxy.connect().await;
        let many = "X-Long: yes\r\n".repeat(fields);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")).await;
        assert_eq!(client.message().await.expect("an answer").status(), status, "{fields}");
    }
    let mut client = proxy.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200, "one of 100 kB");
}
