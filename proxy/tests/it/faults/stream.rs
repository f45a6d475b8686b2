//! Effects on event streams, event by event.

use crate::fixture::{self, Running, by_hand, run};
use crate::wire::{End, Wire, call, post};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A notification with its number as id.
fn event(number: u32) -> String {
    format!(
        "id: {number}\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/n{number}\"}}\n\n"
    )
}

/// The same without an id.
fn bare(number: u32) -> String {
    event(number).split_once('\n').expect("an id").1.to_owned()
}

const ANSWER: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

/// A stream through a proxy: the client's end and the server's.
struct Stream {
    proxy: Running,
    client: Wire,
    server: Wire,
}

impl Stream {
    async fn new(fault: &str) -> Self {
        let (address, mut connections) = by_hand().await;
        let proxy = run(fixture::config(&[address]));
        if !fault.is_empty() {
            proxy.add(fault).await;
        }
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("the request");
        server.send(HEAD).await;
        assert_eq!(client.head().await.expect("a head").status(), 200);
        Self { proxy, client, server }
    }

    /// The server sends this, all at once.
    async fn send(&mut self, events: impl AsRef<str>) {
        self.server.send(chunk(events.as_ref())).await;
    }

    /// The client gets exactly this next.
    async fn gets(&mut self, events: &[String]) {
        for event in events {
            assert_eq!(self.client.chunk().await.as_ref(), Some(event));
        }
    }

    async fn ends(&mut self) {
        self.server.send("0\r\n\r\n").await;
        assert_eq!(self.client.chunk().await, None);
    }

    async fn clear(&self) {
        self.proxy.admin.clear().await.expect("the proxy runs");
    }
}

fn fault(scope: &str, effect: &str) -> String {
    format!(r#"{{"id":"f","match":{scope},"effect":{effect}}}"#)
}

const N1: &str = r#"{"method":"notifications/n1"}"#;
const N2: &str = r#"{"method":"notifications/n2"}"#;

#[tokio::test]
async fn duplicate_sends_an_event_twice() {
    let mut stream = Stream::new(&fault(N1, r#"{"duplicate":{"at":"message"}}"#)).await;
    stream.send(event(1) + &event(2)).await;
    stream.gets(&[event(1), event(1), event(2)]).await;
}

#[tokio::test]
async fn reorder_lets_as_many_events_overtake_as_it_says() {
    let mut stream = Stream::new(&fault(N1, r#"{"reorder":{"by":2}}"#)).await;
    stream.send(event(1) + &event(2) + &event(3) + &event(4)).await;
    stream.gets(&[event(2), event(3), event(1), event(4)]).await;
}

#[tokio::test]
async fn an_event_that_nobody_overtakes_comes_when_the_stream_ends() {
    let mut stream = Stream::new(&fault(N1, r#"{"reorder":{}}"#)).await;
    stream.send(event(1)).await;
    stream.proxy.hit("f").await;
    stream.server.send("0\r\n\r\n").await;
    stream.gets(&[event(1)]).await;
    assert_eq!(stream.client.chunk().await, None);
}

#[tokio::test]
async fn an_event_that_waits_to_be_overtaken_comes_when_the_fault_is_removed() {
    let mut stream = Stream::new(&fault(N1, r#"{"reorder":{}}"#)).await;
    stream.send(event(1)).await;
    stream.proxy.hit("f").await;
    stream.clear().await;
    stream.gets(&[event(1)]).await;
}

#[tokio::test]
async fn split_cuts_within_a_character_and_the_second_piece_waits() {
    let split = r#"{"split":{"at":"character","pause":"1h"}}"#;
    let mut stream = Stream::new(&fault("{}", split)).await;
    let text = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/ä\"}\n\n";
    stream.send(text).await;
    let place = text.find('ä').expect("it is there") + 1;
    assert_eq!(stream.client.raw_chunk().await, text.as_bytes()[..place]);
    stream.clear().await;
    assert_eq!(stream.client.raw_chunk().await, text.as_bytes()[place..]);
}

#[tokio::test]
async fn split_cuts_within_a_data_line() {
    let mut stream = Stream::new(&fault("{}", r#"{"split":{"pause":"1ms"}}"#)).await;
    stream.send(event(1)).await;
    let first = stream.client.chunk().await.expect("a piece");
    let second = stream.client.chunk().await.expect("a piece");
    assert!(first.contains("data: {") && !first.ends_with('\n'), "{first}");
    assert_eq!(first + &second, event(1));
}

#[tokio::test]
async fn event_id_is_stripped_repeated_or_goes_backwards() {
    for (how, expected) in [
        ("strip", [bare(1), bare(2), bare(3)]),
        ("repeat", [event(1), format!("id: 1\n{}", bare(2)), format!("id: 2\n{}", bare(3))]),
        ("backwards", [event(1), format!("id: 1\n{}", bare(2)), format!("id: 1\n{}", bare(3))]),
    ] {
        let effect = format!(r#"{{"event-id":{{"how":"{how}"}}}}"#);
        let mut stream = Stream::new(&fault("{}", &effect)).await;
        stream.send(event(1) + &event(2) + &event(3)).await;
        stream.gets(&expected).await;
        let hits = if how == "strip" { 3 } else { 2 };
        assert_eq!(stream.proxy.hits("f").await, hits, "{how}");
    }
}

#[tokio::test]
async fn retry_tells_the_client_when_to_come_back() {
    let mut stream = Stream::new(&fault(N2, r#"{"retry":{"time":"90s"}}"#)).await;
    stream.send(event(1) + &format!("retry: 5\n{}", event(2))).await;
    stream.gets(&[event(1), format!("retry: 90000\n{}", event(2))]).await;
}

#[tokio::test]
async fn stall_heartbeats_takes_comments_and_empty_events_away() {
    let mut stream = Stream::new(&fault("{}", r#"{"stall-heartbeats":{}}"#)).await;
    stream.send(format!(": ping\n\n{}id: 3\ndata:\n\n{}", event(1), event(2))).await;
    stream.gets(&[event(1), event(2)]).await;
    assert_eq!(stream.proxy.hits("f").await, 2);
}

#[tokio::test]
async fn cut_ends_the_stream_after_some_events() {
    for (ending, expected) in [("close", End::Closed), ("reset", End::Reset)] {
        let effect = format!(r#"{{"cut":{{"after_events":2,"ending":"{ending}"}}}}"#);
        let mut stream = Stream::new(&fault("{}", &effect)).await;
        stream.send(event(1) + &event(2) + &event(3)).await;
        stream.gets(&[event(1), event(2)]).await;
        assert_eq!(stream.client.rest().await, (Vec::new(), expected));
        stream.server.end().await;
    }
}

#[tokio::test]
async fn cut_can_look_like_the_end_of_the_stream() {
    let effect = r#"{"cut":{"after_events":1,"ending":"clean"}}"#;
    let mut stream = Stream::new(&fault("{}", effect)).await;
    stream.send(event(1) + &event(2)).await;
    stream.gets(&[event(1)]).await;
    assert_eq!(stream.client.chunk().await, None);
    assert!(stream.client.rest_is_clean(), "the last chunk came");
}

#[tokio::test]
async fn cut_ends_the_stream_just_before_the_answer() {
    let mut stream = Stream::new(&fault("{}", r#"{"cut":{"before_answer":true}}"#)).await;
    stream.send(event(1) + &event(2) + ANSWER).await;
    stream.gets(&[event(1), event(2)]).await;
    assert_eq!(stream.client.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn a_stray_response_comes_before_the_answer_in_its_stream() {
    let mut stream = Stream::new(&fault("{}", r#"{"stray-response":{}}"#)).await;
    stream.send(event(1) + ANSWER).await;
    stream.gets(&[event(1)]).await;
    let stray = stream.client.chunk().await.expect("an event");
    assert!(stray.contains("squall-"), "{stray}");
    stream.gets(&[ANSWER.to_owned()]).await;
}

#[tokio::test]
async fn requests_of_the_server_are_matched_like_those_of_the_client() {
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        let scope = format!(r#"{{"method":"{method}","kind":"request"}}"#);
        let mut stream = Stream::new(&fault(&scope, r#"{"drop":{"at":"message"}}"#)).await;
        let asks = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"{method}\"}}\n\n");
        stream.send(event(1) + &asks + &event(2)).await;
        stream.gets(&[event(1), event(2)]).await;
    }
}

#[tokio::test]
async fn what_several_faults_do_to_one_event_adds_up() {
    let mut stream = Stream::new("").await;
    stream.proxy.add(r#"{"id":"a","effect":{"event-id":{}}}"#).await;
    stream.proxy.add(r#"{"id":"b","effect":{"retry":{"time":"1s"}}}"#).await;
    stream.proxy.add(r#"{"id":"c","effect":{"duplicate":{"at":"message"}}}"#).await;
    stream.send(event(1)).await;
    let expected = format!("retry: 1000\n{}", bare(1));
    stream.gets(&[expected.clone(), expected]).await;
    stream.ends().await;
}

/// A GET that resumes a stream.
fn resume(session: &str, last: &str) -> String {
    format!(
        "GET /mcp HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\
         Mcp-Session-Id: {session}\r\nLast-Event-ID: {last}\r\n\r\n"
    )
}

#[tokio::test]
async fn resume_forgets_where_the_client_was() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"f","effect":{"resume":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(resume("s", "7")).await;
    let mut server = connections.recv().await.expect("a connection");
    assert_eq!(server.message().await.expect("a GET").header("last-event-id"), None);
}

#[tokio::test]
async fn resume_mixes_up_the_streams_of_a_session() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"f","effect":{"resume":{"how":"mixup"}}}"#).await;
    let mut streams = Vec::new();
    for id in ["a-1", "b-1"] {
        let mut client = proxy.connect().await;
        client.send(post("Mcp-Session-Id: s\r\n", &call(1, "x"))).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("the request");
        server.send(HEAD).await;
        server.send(chunk(&format!("id: {id}\n{}", bare(1)))).await;
        client.head().await.expect("a head");
        client.chunk().await.expect("an event");
        streams.push((client, server));
    }
    let mut client = proxy.connect().await;
    client.send(resume("s", "a-1")).await;
    let mut server = connections.recv().await.expect("a connection");
    assert_eq!(server.message().await.expect("a GET").header("last-event-id"), Some("b-1"));
}
