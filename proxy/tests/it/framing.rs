//! The corners of HTTP/1.1 framing: each conversation is held with the server itself and then through
//! the proxy, and has to be the same at both ends.

use crate::fixture::{self, Upstream, by_hand, ok, run};
use crate::wire::{End, Message, Wire, call, post};

const HOP_BY_HOP: [&str; 3] = ["connection", "keep-alive", "transfer-encoding"];

fn end_to_end(mut message: Message) -> Message {
    message.headers.retain(|(name, _)| !HOP_BY_HOP.contains(&&*name.to_ascii_lowercase()));
    message.headers.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    message
}

/// What the server got and what the client got, by way of `address`.
async fn talk(
    server: &Upstream,
    address: std::net::SocketAddr,
    request: &str,
    sent_to_head: bool,
) -> (Message, Message) {
    let mut client = Wire::connect(address).await;
    client.send(request).await;
    let answer = if sent_to_head {
        client.head().await.expect("an answer")
    } else {
        client.message().await.expect("an answer")
    };
    (end_to_end(server.request().await), end_to_end(answer))
}

async fn same_with_and_without_the_proxy(request: &str, response: &str) {
    let upstream = Upstream::answering(response).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let to_head = request.starts_with("HEAD");
    let direct = talk(&upstream, upstream.address, request, to_head).await;
    let proxied = talk(&upstream, proxy.address, request, to_head).await;
    assert_eq!(direct, proxied, "{request}");
}

#[tokio::test]
async fn answers_without_a_body_keep_the_length_that_they_speak_of() {
    let get = "GET /mcp HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "HEAD /mcp HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, response) in [
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        (head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
        (head, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        (get, "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n"),
        (get, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
    ] {
        same_with_and_without_the_proxy(request, response).await;
    }
}

#[tokio::test]
async fn any_method_may_have_a_body_in_either_framing() {
    for method in ["GET", "DELETE", "OPTIONS", "PROPFIND"] {
        for body in [
            "Content-Length: 5\r\n\r\nhello",
            "Content-Length: 0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let request = format!("{method} /mcp HTTP/1.1\r\nHost: a\r\n{body}");
            same_with_and_without_the_proxy(&request, &ok("{}")).await;
        }
    }
}

#[tokio::test]
async fn a_wish_to_upgrade_is_a_plain_request_to_the_server() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Own\r\nUpgrade: websocket\r\nX-Own: 1\r\nX-Kept: 2\r\n\r\n")
        .await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    let request = upstream.request().await;
    assert_eq!((request.header("upgrade"), request.header("x-own")), (None, None));
    assert_eq!(request.header("x-kept"), Some("2"));
}

#[tokio::test]
async fn a_target_in_absolute_form_becomes_a_path_and_the_host_is_the_targets() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send("GET http://real.host:81/mcp?q HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    let request = upstream.request().await;
    assert_eq!(request.start, "GET /mcp?q HTTP/1.1");
    assert_eq!(request.all("host"), ["real.host:81"], "RFC 9112, section 3.2.2");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_close_and_its_request_a_host() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let upstream = Upstream::answering(chunked).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send("GET /mcp HTTP/1.0\r\n\r\n").await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("hello", None));
    assert_eq!(client.end().await, End::Closed);
    let host = upstream.address.to_string();
    assert_eq!(upstream.request().await.all("host"), [&*host], "HTTP/1.1 demands one");
}

#[tokio::test]
async fn a_server_of_http_1_0_may_end_its_body_by_closing() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send(post("", &call(1, "x"))).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("the request");
        server.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello").await;
        drop(server);
        let answer = client.message().await.expect("an answer");
        assert_eq!((&*answer.start, answer.text()), ("HTTP/1.1 200 OK", "hello"));
    }
}

#[tokio::test]
async fn a_close_that_the_client_asks_for_is_its_own_and_so_is_the_servers() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering(close).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    client.send(post("Connection: close\r\n", &call(2, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    assert_eq!(client.end().await, End::Closed);
    for _ in 0..2 {
        assert_eq!(upstream.request().await.header("connection"), None);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    let many: Vec<String> = (0..20).map(|number| call(number, "x")).collect();
    client.send(many.iter().map(|body| post("", body)).collect::<String>()).await;
    for body in &many {
        assert_eq!(client.message().await.expect("an answer").text(), body);
    }
}

#[tokio::test]
async fn interim_answers_of_the_server_do_not_confuse_the_final_one() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let upstream = Upstream::answering(format!("{early}{early}{}", ok("{}"))).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    for id in 0..2 {
        client.send(post("", &call(id, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), "{}");
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_told_to_go_on() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    for kind in ["application/json", "text/plain"] {
        let mut client = proxy.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.expect("an interim answer").status(), 100);
        client.send("{}").await;
        assert_eq!(client.message().await.expect("an answer").status(), 200);
        assert_eq!(upstream.request().await.text(), "{}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_done_arrives_at_once() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf")
        .await;
    let mut server = connections.recv().await.expect("a connection");
    assert_eq!(server.head().await.expect("a request").header("content-length"), Some("100"));
    server.send("HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((&*answer.start, answer.text()), ("HTTP/1.1 413 Too Much", "big"));
}

#[tokio::test]
async fn a_request_of_two_lengths_cannot_smuggle_another_one() {
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
    ] {
        let upstream = Upstream::answering(ok("{}")).await;
        let proxy = run(fixture::config(&[upstream.address]));
        let mut client = proxy.connect().await;
        let smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = smuggled.len();
        client
            .try_send(format!(
                "POST /mcp HTTP/1.1\r\nHost: a\r\n{framing}\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"
            ))
            .await;
        client.try_send("GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        client.end().await;
        while upstream.unseen().await > 0 {
            let request = upstream.request().await;
            assert!(!request.start.contains("/admin"), "{framing}: {}", request.start);
            if request.start.starts_with("POST") {
                assert_eq!(request.text(), smuggled, "{framing}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_of_two_lengths_is_read_as_chunks() {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let upstream = Upstream::answering(both).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    for id in 0..2 {
        client.send(post("", &call(id, "x"))).await;
        let answer = client.message().await.expect("an answer");
        assert_eq!((answer.text(), answer.header("content-length")), ("hello", None));
    }
}

#[tokio::test]
async fn each_chunk_of_an_upload_passes_as_it_comes() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        .await;
    let mut server = connections.recv().await.expect("a connection");
    server.head().await.expect("a head");
    assert_eq!(server.chunk().await.as_deref(), Some("x"));
    for size in [1, 100, 10_000, 60_000] {
        client.send(format!("{size:x}\r\n{}\r\n", "x".repeat(size))).await;
        let mut got = 0;
        while got < size {
            got += server.chunk().await.expect("a chunk").len();
        }
        assert_eq!(got, size);
    }
}

#[tokio::test]
async fn ten_megabytes_pass_both_ways() {
    let big = "x".repeat(10 * 1024 * 1024);
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &big)).await;
    let answer = client.message().await.expect("an answer");
    assert!(answer.text() == big, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn tunnels_and_unasked_upgrades_are_refused() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let upstream = Upstream::answering(switch).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n").await;
    assert_eq!(client.message().await.expect("an answer").status(), 501);
    assert_eq!(upstream.unseen().await, 0);
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    let cause = answer.header("x-squall-upstream-error");
    assert_eq!((answer.status(), cause), (502, Some("invalid-response")));
}
