//! What faults do to whole connections, and to the bytes that they carry.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use crate::fixture::{self, Running, Upstream, ok, run};
use crate::wire::{End, Wire, call, post};

/// A proxy, and a client that has had an answer already.
async fn open(body: &str) -> (Running, Wire) {
    let upstream = Upstream::answering(ok(body)).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").text(), body);
    std::mem::forget(upstream); // it runs as long as the test
    (proxy, client)
}

async fn ask(client: &mut Wire) -> String {
    client.send(post("", &call(2, "x"))).await;
    client.message().await.expect("an answer").text().to_owned()
}

async fn clear(proxy: &Running) {
    proxy.admin.clear().await.expect("the proxy runs");
}

#[tokio::test]
async fn refuse_is_econnrefused_until_it_is_removed_and_open_connections_go_on() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"refuse":{}}}"#).await;
    proxy.hit("f").await;
    let refused = TcpStream::connect(proxy.address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask(&mut client).await, "{}");
    clear(&proxy).await;
    let mut again = loop {
        match TcpStream::connect(proxy.address).await {
            Ok(stream) => break Wire::new(stream),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(ask(&mut again).await, "{}");
}

#[tokio::test]
async fn refuse_with_a_chance_resets_the_connections_that_it_hits() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","chance":{"nth":1},"effect":{"refuse":{}}}"#).await;
    if let Some(mut hit) = Wire::try_connect(proxy.address).await {
        assert_eq!(hit.end().await, End::Reset);
    }
    assert_eq!(ask(&mut proxy.connect().await).await, "{}");
    assert_eq!(ask(&mut client).await, "{}");
}

#[tokio::test]
async fn reset_comes_after_its_delay() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"reset":{"at":"connection","delay":"20ms"}}}"#).await;
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn half_close_ends_what_comes_and_not_what_goes() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    assert_eq!(ask(&mut client).await, "{}");
    upstream.request().await;
    proxy.add(r#"{"id":"f","effect":{"half-close":{}}}"#).await;
    assert_eq!(client.end().await, End::Closed);
    client.send(post("", &call(3, "x"))).await;
    assert_eq!(upstream.request().await.text(), call(3, "x"));
}

#[tokio::test]
async fn slow_close_holds_the_end_back_until_it_is_removed() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"slow-close":{"delay":"1h"}}}"#).await;
    proxy.hit("f").await;
    client
        .send("POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.message().await.expect("an answer");
    assert!(!client.has_something());
    clear(&proxy).await;
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn blackhole_stands_still_and_goes_on_where_it_was() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"blackhole":{}}}"#).await;
    proxy.hit("f").await;
    client.send(post("", &call(2, "x"))).await;
    clear(&proxy).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn blackhole_closes_in_time_or_with_its_fault() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"blackhole":{"close_after":"20ms"}}}"#).await;
    assert_eq!(client.end().await, End::Closed);
    clear(&proxy).await;
    let mut client = proxy.connect().await;
    assert_eq!(ask(&mut client).await, "{}");
    proxy.add(r#"{"id":"f","effect":{"blackhole":{"close_on_end":true}}}"#).await;
    proxy.hit("f").await;
    clear(&proxy).await;
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn wire_latency_delays_what_goes_both_ways() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"latency":{"delay":"20ms","at":"wire"}}}"#).await;
    proxy.hit("f").await;
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&mut client).await, "{}");
    assert!(start.elapsed().as_millis() >= 40, "there and back");
}

#[tokio::test]
async fn wire_latency_is_pipelined_and_keeps_every_byte_in_order() {
    let body = (0..200_000).map(|n| format!("{n:06}")).collect::<Vec<_>>().concat();
    let upstream = Upstream::answering(ok(&body)).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","effect":{"latency":{"delay":"300ms","at":"wire","flow":"down"}}}"#)
        .await;
    let mut client = proxy.connect().await;
    let start = tokio::time::Instant::now();
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    assert!(answer.text() == body);
    let chunks = body.len() / (16 * 1024);
    assert!(start.elapsed().as_millis() < 300 * chunks as u128 / 4, "not a delay a chunk");
}

#[tokio::test]
async fn what_a_wire_latency_holds_is_freed_when_it_is_removed() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"latency":{"delay":"1h","at":"wire"}}}"#).await;
    proxy.hit("f").await;
    client.send(post("", &call(2, "x"))).await;
    clear(&proxy).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn bandwidth_takes_its_time_for_every_byte() {
    for shared in [false, true] {
        let body = "x".repeat(20_000);
        let upstream = Upstream::answering(ok(&body)).await;
        let proxy = run(fixture::config(&[upstream.address]));
        let fault = format!(
            r#"{{"id":"f","effect":{{"bandwidth":{{"rate":"100KB","shared":{shared},"flow":"down"}}}}}}"#
        );
        proxy.add(&fault).await;
        let mut clients = [proxy.connect().await, proxy.connect().await];
        let start = tokio::time::Instant::now();
        for client in &mut clients {
            client.send(post("", &call(1, "x"))).await;
        }
        for client in &mut clients {
            assert!(client.message().await.expect("an answer").text() == body);
        }
        let least = if shared { 400 } else { 200 };
        assert!(start.elapsed().as_millis() >= least, "{least} ms at least");
    }
}

#[tokio::test]
async fn a_bandwidth_of_nothing_stalls_without_closing() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","effect":{"bandwidth":{"rate":0}}}"#).await;
    proxy.hit("f").await;
    client.send(post("", &call(2, "x"))).await;
    clear(&proxy).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn slicer_sends_slices_with_pauses_between_them() {
    let body = "0123456789".repeat(3);
    let (proxy, mut client) = open(&body).await;
    proxy.add(r#"{"id":"f","effect":{"slicer":{"size":10,"delay":"1h","flow":"down"}}}"#).await;
    proxy.hit("f").await;
    client.send(post("", &call(2, "x"))).await;
    assert_eq!(client.read_some().await.len(), 10, "the first slice");
    clear(&proxy).await;
    assert!(client.message_after("HTTP/1.1 2").await.text() == body);
}

#[tokio::test]
async fn limit_bytes_ends_a_connection_behind_exactly_so_many() {
    for (ending, expected) in [("close", End::Closed), ("reset", End::Reset)] {
        let (proxy, mut client) = open("0123456789").await;
        let effect = format!(r#"{{"limit-bytes":{{"bytes":20,"ending":"{ending}"}}}}"#);
        proxy.add(&format!(r#"{{"id":"f","effect":{effect}}}"#)).await;
        proxy.hit("f").await;
        client.send(post("", &call(2, "x"))).await;
        let (bytes, end) = client.rest().await;
        assert_eq!((bytes.len(), end), (20, expected));
        clear(&proxy).await;
    }
}

#[tokio::test]
async fn faults_of_another_route_leave_a_connection_alone() {
    let (proxy, mut client) = open("{}").await;
    proxy.add(r#"{"id":"f","match":{"route":"redis"},"effect":{"blackhole":{}}}"#).await;
    proxy.add(r#"{"id":"g","match":{"route":"redis"},"effect":{"refuse":{}}}"#).await;
    assert_eq!(ask(&mut client).await, "{}");
    assert_eq!(ask(&mut proxy.connect().await).await, "{}");
    assert_eq!(proxy.hits("f").await, 0);
}
