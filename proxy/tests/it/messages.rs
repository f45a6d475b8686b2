//! What effects do to single events of a stream, and that streams are not held up without them.

use crate::fixture::{self, Running, by_hand, run};
use crate::wire::{End, Wire, call, post};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn notification(number: u32) -> String {
    format!(
        "id: {number}\r\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/n{number}\"}}\r\n\r\n"
    )
}

/// A stream through a proxy: the client's end and the server's.
async fn stream() -> (Running, Wire, Wire) {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send(HEAD).await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    (proxy, client, server)
}

#[tokio::test]
async fn each_chunk_passes_as_it_comes_be_it_half_an_event() {
    let (_proxy, mut client, mut server) = stream().await;
    for part in ["data: {\"js", "onrpc\":", ": comment\n\nda", "ta: x\n", "\n"] {
        server.send(chunk(part)).await;
        assert_eq!(client.chunk().await.as_deref(), Some(part));
    }
    server.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn drop_takes_single_events_away() {
    let (proxy, mut client, mut server) = stream().await;
    proxy
        .add(r#"{"id":"f","match":{"method":"notifications/n9"},"effect":{"drop":{"at":"message"}}}"#)
        .await;
    proxy
        .add(r#"{"id":"g","match":{"method":"notifications/n2"},"effect":{"drop":{"at":"message"}}}"#)
        .await;
    server.send(chunk(&(notification(1) + &notification(2) + &notification(3)))).await;
    assert_eq!(client.chunk().await, Some(notification(1)));
    assert_eq!(client.chunk().await, Some(notification(3)));
    assert_eq!((proxy.hits("f").await, proxy.hits("g").await), (0, 1));
}

#[tokio::test]
async fn the_answer_in_a_stream_is_matched_by_the_requests_method_and_tool() {
    let (proxy, mut client, mut server) = stream().await;
    proxy.add(r#"{"id":"f","match":{"tool":"x"},"effect":{"drop":{"at":"message"}}}"#).await;
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    server.send(chunk(&(notification(1) + answer + &notification(2)))).await;
    assert_eq!(client.chunk().await, Some(notification(1)));
    assert_eq!(client.chunk().await, Some(notification(2)));
}

#[tokio::test]
async fn a_fault_that_arrives_in_the_middle_of_an_event_lets_it_finish() {
    let (proxy, mut client, mut server) = stream().await;
    let first = notification(1);
    let (start, rest) = first.split_at(20);
    server.send(chunk(start)).await;
    assert_eq!(client.chunk().await.as_deref(), Some(start));
    proxy.add(r#"{"id":"f","effect":{"drop":{"at":"message"}}}"#).await;
    server.send(chunk(&format!("{rest}{}", notification(2)))).await;
    server.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.as_deref(), Some(rest));
    assert_eq!(client.chunk().await, None);
    assert_eq!(proxy.hits("f").await, 1);
}

#[tokio::test]
async fn a_delayed_event_is_not_overtaken_and_freed_when_the_fault_is_removed() {
    let (proxy, mut client, mut server) = stream().await;
    proxy
        .add(r#"{"id":"f","match":{"method":"notifications/n1"},"effect":{"latency":{"delay":"1h","at":"message"}}}"#)
        .await;
    server.send(chunk(&(notification(1) + &notification(2)))).await;
    while proxy.hits("f").await == 0 {
        tokio::task::yield_now().await;
    }
    proxy.admin.clear().await.expect("the proxy runs");
    assert_eq!(client.chunk().await, Some(notification(1)));
    assert_eq!(client.chunk().await, Some(notification(2)));
}

#[tokio::test]
async fn reset_at_an_event_is_a_rst_in_its_place() {
    let (proxy, mut client, mut server) = stream().await;
    proxy
        .add(r#"{"id":"f","match":{"method":"notifications/n2"},"effect":{"reset":{"at":"message"}}}"#)
        .await;
    server.send(chunk(&notification(1))).await;
    assert_eq!(client.chunk().await, Some(notification(1)));
    server.send(chunk(&notification(2))).await;
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_by_the_server() {
    let (_proxy, client, mut server) = stream().await;
    drop(client);
    server.end().await;
}
