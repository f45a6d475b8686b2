//! What effects do to single events of a stream, and that streams are not held up without them.

use crate::fixture::{self, Running, Upstream, by_hand, run};
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
    proxy.hit("f").await;
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

#[tokio::test]
async fn half_an_event_that_was_held_is_not_lost_when_the_fault_goes() {
    let (proxy, mut client, mut server) = stream().await;
    proxy
        .add(r#"{"id":"f","match":{"method":"notifications/n1"},"effect":{"drop":{"at":"message"}}}"#)
        .await;
    let event = notification(2);
    let (start, rest) = event.split_at(20);
    // The first event is in front, so that its loss says that the half behind it has arrived.
    server.send(chunk(&(notification(1) + start))).await;
    proxy.hit("f").await;
    proxy.admin.clear().await.expect("the proxy runs");
    server.send(chunk(&(rest.to_owned() + &notification(3)))).await;
    server.send("0\r\n\r\n").await;
    let mut got = String::new();
    while let Some(part) = client.chunk().await {
        got += &part;
    }
    assert_eq!(got, notification(2) + &notification(3));
}

#[tokio::test]
async fn of_two_delays_the_one_that_is_removed_takes_its_share_away() {
    let (proxy, mut client, mut server) = stream().await;
    for (id, delay) in [("long", "1h"), ("short", "1ms")] {
        proxy
            .add(&format!(
                r#"{{"id":"{id}","effect":{{"latency":{{"delay":"{delay}","at":"message"}}}}}}"#
            ))
            .await;
    }
    server.send(chunk(&notification(1))).await;
    proxy.hit("short").await;
    proxy.admin.remove(&"long".parse().expect("an id")).await.expect("it is live");
    assert_eq!(client.chunk().await, Some(notification(1)));
}

#[tokio::test]
async fn a_hundred_delayed_events_wait_side_by_side_and_their_end_behind_them() {
    let (proxy, mut client, mut server) = stream().await;
    proxy.add(r#"{"id":"f","effect":{"latency":{"delay":"1h","at":"message"}}}"#).await;
    let events: Vec<_> = (0..100).map(notification).collect();
    for event in &events {
        server.send(chunk(event)).await;
    }
    server.send("0\r\n\r\n").await;
    // All are stamped while the first still waits: the delays do not add up.
    while proxy.hits("f").await < 100 {
        tokio::task::yield_now().await;
    }
    proxy.admin.clear().await.expect("the proxy runs");
    for event in &events {
        assert_eq!(client.chunk().await.as_ref(), Some(event));
    }
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn a_full_delay_line_makes_the_server_wait() {
    let (proxy, client, mut server) = stream().await;
    proxy.add(r#"{"id":"f","effect":{"latency":{"delay":"1h","at":"message"}}}"#).await;
    let flood = tokio::spawn(async move {
        let many = chunk(&":\n\n".repeat(20_000));
        while server.try_send(&many).await {}
    });
    // It grows until the line is full, and then stays as it is.
    let mut hits = 0;
    loop {
        let before = std::mem::replace(&mut hits, proxy.hits("f").await);
        if hits > 50_000 && hits == before && stays(&proxy, hits).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(hits < 400_000, "{hits} events are held, in far more memory than 16 MiB");
    // The client's leaving frees it all, and tells the server.
    drop(client);
    flood.await.expect("the server's end ends");
}

async fn stays(proxy: &Running, hits: u64) -> bool {
    for _ in 0..200 {
        if proxy.hits("f").await != hits {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_client_that_leaves_while_its_events_wait_is_seen_by_the_server() {
    let (proxy, client, mut server) = stream().await;
    proxy.add(r#"{"id":"f","effect":{"latency":{"delay":"1h","at":"message"}}}"#).await;
    server.send(chunk(&notification(1))).await;
    proxy.hit("f").await;
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn requests_answers_and_events_meet_the_same_fate_whatever_their_order() {
    let events: String = (1..4).map(notification).collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk(&events)
    );
    let mut fates = Vec::new();
    for order in [(1..40).collect::<Vec<u32>>(), (1..40).rev().collect()] {
        let upstream = Upstream::answering(answer.clone()).await;
        let proxy = run(fixture::config(&[upstream.address]));
        for (id, scope, effect) in [
            ("ask", "{}", r#"{"http-status":{"status":500}}"#),
            ("answer", r#"{"direction":"response"}"#, r#"{"http-status":{"status":501}}"#),
            ("event", "{}", r#"{"drop":{"at":"message"}}"#),
        ] {
            proxy
                .add(&format!(
                    r#"{{"id":"{id}","match":{scope},"chance":{{"probability":0.3}},"effect":{effect}}}"#
                ))
                .await;
        }
        let mut client = proxy.connect().await;
        let mut fate = Vec::new();
        for number in order {
            let trace = format!("traceparent: 00-{number:032x}-{:016x}-01\r\n", 1);
            client.send(post(&trace, &call(1, "x"))).await;
            let answer = client.message().await.expect("an answer");
            fate.push((number, answer.status(), answer.body));
        }
        fate.sort();
        fates.push(fate);
    }
    assert_eq!(fates[0], fates[1]);
    for status in [200, 500, 501] {
        assert!(fates[0].iter().any(|(_, got, _)| *got == status), "{status}");
    }
    let whole =
        |(_, status, body): &&(u32, u16, Vec<u8>)| *status == 200 && body == events.as_bytes();
    let good = fates[0].iter().filter(|(_, status, _)| *status == 200).count();
    assert!((1..good).contains(&fates[0].iter().filter(whole).count()), "some events were dropped");
}

#[tokio::test]
async fn a_stream_of_a_declared_length_may_lose_an_event() {
    let events = notification(1) + &notification(2);
    let length = events.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n{events}"
    );
    let upstream = Upstream::answering(answer).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","match":{"method":"notifications/n2"},"effect":{"drop":{"at":"message"}}}"#)
        .await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.text(), answer.header("content-length")), (&*notification(1), None));
}
