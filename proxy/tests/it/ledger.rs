//! What the proxy knows of sessions, from the wire alone.

use squall_proxy::client::{SessionState, SessionView};

use crate::fixture::{self, Running, Upstream, by_hand, ok, run, session};
use crate::wire::{Message, Wire, call, post};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"inspector","version":"1.2"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A server that makes the sessions s1, s2 …, and forgets one when it is told to.
async fn forgetful() -> std::sync::Arc<Upstream> {
    let made = std::sync::atomic::AtomicU32::new(0);
    let gone = std::sync::Mutex::new(String::new());
    Upstream::with(move |request: &Message| {
        let id = request.header("mcp-session-id").unwrap_or_default().to_owned();
        if request.text().contains("initialize\"") {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            return session(&format!("s{number}"));
        }
        if request.text().contains("forget") {
            *gone.lock().expect("no panic") = id;
            return ok("{}");
        }
        if *gone.lock().expect("no panic") == id {
            return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        ok("{}")
    })
    .await
}

async fn ask(client: &mut Wire, session: &str, body: &str) -> u16 {
    let header =
        if session.is_empty() { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") };
    client.send(post(&header, body)).await;
    client.message().await.expect("an answer").status()
}

async fn view(proxy: &Running, id: &str) -> SessionView {
    let ledger = proxy.admin.sessions().await.expect("the proxy runs");
    ledger.sessions.into_iter().find(|session| session.id == id).expect("it is known")
}

#[tokio::test]
async fn a_session_that_is_lost_leads_to_the_one_that_came_instead() {
    let upstream = forgetful().await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    ask(&mut client, "", INITIALIZE).await;
    ask(&mut client, "s1", INITIALIZED).await;
    ask(&mut client, "s1", &call(1, "forget")).await;
    let before = view(&proxy, "s1").await;
    assert_eq!((before.state, before.requests, before.errors), (SessionState::Open, 2, 0));
    assert_eq!(
        (before.client.as_deref(), before.client_version.as_deref()),
        (Some("inspector"), Some("1.2"))
    );

    assert_eq!(ask(&mut client, "s1", &call(2, "x")).await, 404);
    ask(&mut client, "", INITIALIZE).await;
    ask(&mut client, "s2", INITIALIZED).await;
    ask(&mut client, "s2", &call(3, "x")).await;
    let lost = view(&proxy, "s1").await;
    assert_eq!((lost.state, lost.upstream, lost.errors), (SessionState::Gone, None, 1));
    assert_eq!(lost.successor.as_deref(), Some("s2"));
    let back = lost.way_back;
    let hops = [
        back.to_not_found_ms,
        back.to_initialize_ms,
        back.to_answer_ms,
        back.to_initialized_ms,
        back.to_success_ms,
    ];
    assert!(hops.iter().all(Option::is_some), "{back:?}");
    assert_eq!(view(&proxy, "s2").await.state, SessionState::Open);
}

#[tokio::test]
async fn a_session_that_a_fault_expired_is_told_apart_from_one_that_the_server_forgot() {
    let upstream = forgetful().await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    ask(&mut client, "", INITIALIZE).await;
    proxy.add(r#"{"id":"f","match":{"session":"s1"},"effect":{"expire-session":{}}}"#).await;
    assert_eq!(ask(&mut client, "s1", &call(1, "x")).await, 404);
    ask(&mut client, "", INITIALIZE).await;
    let expired = view(&proxy, "s1").await;
    assert_eq!(expired.state, SessionState::Expired);
    assert_eq!(expired.expired_by.map(|id| id.to_string()).as_deref(), Some("f"));
    assert_eq!(expired.successor.as_deref(), Some("s2"));
}

#[tokio::test]
async fn the_client_of_a_session_is_known_to_faults_on_its_later_requests() {
    let upstream = forgetful().await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","match":{"client":"inspector","tool":"x"},"effect":{"http-status":{"status":500}}}"#).await;
    let mut client = proxy.connect().await;
    ask(&mut client, "", INITIALIZE).await;
    assert_eq!(ask(&mut client, "s1", &call(1, "x")).await, 500);
    assert_eq!(ask(&mut client, "another", &call(1, "x")).await, 200);
}

#[tokio::test]
async fn sessions_are_listed_as_they_were_used_the_last_first() {
    let upstream = forgetful().await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        ask(&mut client, "", INITIALIZE).await;
    }
    ask(&mut client, "s1", &call(1, "x")).await;
    let ledger = proxy.admin.sessions().await.expect("the proxy runs");
    let ids: Vec<_> = ledger.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!((ids, ledger.known), (vec!["s1", "s3", "s2"], 3));
}

#[tokio::test]
async fn streams_are_counted_as_opened_cut_and_resumed() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send(session("s1")).await;
    client.message().await.expect("an answer");
    for (more, leaves_first) in [("", false), ("Last-Event-ID: 7\r\n", true)] {
        let mut client = proxy.connect().await;
        let get = format!("GET /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: s1\r\n{more}\r\n");
        client.send(get).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("a GET");
        server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: x\n\n").await;
        client.head().await.expect("a head");
        assert_eq!(view(&proxy, "s1").await.streams.open, 1);
        if leaves_first {
            drop(client);
            server.end().await;
        } else {
            drop(server);
            while client.chunk().await.is_some() {}
        }
        while view(&proxy, "s1").await.streams.open > 0 {
            tokio::task::yield_now().await;
        }
    }
    let streams = view(&proxy, "s1").await.streams;
    assert_eq!((streams.opened, streams.cut, streams.resumed), (2, 1, 1));
}
