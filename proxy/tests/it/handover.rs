//! A connection that begins the short way, and goes over to hyper with its first request that is out of
//! the ordinary: nothing is lost, said twice, or waited for.

use crate::fixture::{self, Upstream, by_hand, ok, run};
use crate::wire::{Message, call, post};

/// A request that is chunked, which is not plain.
fn chunked(body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
}

#[tokio::test]
async fn a_connection_goes_on_after_a_request_that_is_not_plain() {
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    for id in 0..6 {
        let body = call(id, "x");
        let request = if id == 2 { chunked(&body) } else { post("", &body) };
        client.send(request).await;
        assert_eq!(client.message().await.expect("an answer").text(), body);
    }
}

#[tokio::test]
async fn what_stands_behind_a_request_that_is_not_plain_is_answered_too() {
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    let bodies: Vec<_> = (0..9).map(|id| call(id, "x")).collect();
    let requests = bodies.iter().enumerate();
    let requests =
        requests.map(|(id, body)| if id % 3 == 1 { chunked(body) } else { post("", body) });
    client.send(requests.collect::<String>()).await;
    for body in &bodies {
        assert_eq!(client.message().await.expect("an answer").text(), body);
    }
}

#[tokio::test]
async fn a_request_is_the_same_in_whatever_pieces_it_comes() {
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let body = call(1, "x");
    let request = post("X-SHOUT: 1\r\n", &body);
    for cut in
        [1, 20, request.len() - body.len() - 1, request.len() - body.len(), request.len() - 1]
    {
        let mut client = proxy.connect().await;
        // Once the first request is answered, the proxy waits for the next one.
        client.send(post("", &body)).await;
        client.message().await.expect("an answer");
        upstream.request().await;
        let (first, rest) = request.split_at(cut);
        client.send(first).await;
        tokio::task::yield_now().await;
        client.send(rest).await;
        assert_eq!(client.message().await.expect("an answer").text(), body);
        let arrived = upstream.request().await;
        assert!(arrived.headers.contains(&("X-SHOUT".to_owned(), "1".to_owned())), "{arrived:?}");
    }
}

#[tokio::test]
async fn a_faulted_connection_shapes_what_is_handed_over_once() {
    let upstream = Upstream::with(|request: &Message| ok(request.text())).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"thin","effect":{"slicer":{"size":7}}}"#).await;
    let mut client = proxy.connect().await;
    for id in 0..4 {
        let body = call(id, "x");
        client.send(if id == 1 { chunked(&body) } else { post("", &body) }).await;
        assert_eq!(client.message().await.expect("an answer").text(), body);
    }
}

#[tokio::test]
async fn a_server_that_says_more_than_it_was_asked_is_not_asked_again_on_that_connection() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("a request");
    server.send(ok("first") + &ok("unasked")).await;
    assert_eq!(client.message().await.expect("an answer").text(), "first");
    client.send(post("", &call(2, "x"))).await;
    let mut other = connections.recv().await.expect("another connection");
    other.message().await.expect("a request");
    other.send(ok("second")).await;
    assert_eq!(client.message().await.expect("an answer").text(), "second");
    server.end().await;
}
