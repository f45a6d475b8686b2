//! Where requests go: sessions stay on their replica, and what fails is said.

use std::net::SocketAddr;

use squall_proxy::client::SessionState;
use tokio::net::TcpListener;

use crate::fixture::{self, INITIALIZE, Upstream, any, by_hand, ok, run, session};
use crate::wire::{End, call, post};

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind(any()).await.and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A replica that makes sessions of its own name.
async fn replica(name: &'static str) -> std::sync::Arc<Upstream> {
    Upstream::with(
        move |request| {
            if request.text() == INITIALIZE { session(name) } else { ok(name) }
        },
    )
    .await
}

#[tokio::test]
async fn new_sessions_go_round_and_a_session_stays_on_its_replica() {
    let replicas = [replica("a").await, replica("b").await, replica("c").await];
    let proxy = run(fixture::config(&replicas.each_ref().map(|replica| replica.address)));
    let mut client = proxy.connect().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        client.send(post("", INITIALIZE)).await;
        let answer = client.message().await.expect("an answer");
        made.push(answer.header("mcp-session-id").expect("a session").to_owned());
    }
    assert_eq!(made, ["a", "b", "c"]);
    for name in ["b", "b", "a", "c", "b"] {
        client.send(post(&format!("Mcp-Session-Id: {name}\r\n"), &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), name);
    }
    let mut sessions = proxy.admin.sessions().await.expect("the proxy runs").sessions;
    sessions.sort_by(|a, b| a.id.cmp(&b.id));
    let homes: Vec<_> = sessions.into_iter().filter_map(|session| session.upstream).collect();
    assert_eq!(homes, replicas.map(|replica| format!("http://{}", replica.address)));
}

#[tokio::test]
async fn a_request_goes_elsewhere_when_its_replica_cannot_be_reached() {
    let replica = replica("a").await;
    let proxy = run(fixture::config(&[nobody().await, replica.address]));
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        client.send(post("", &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), "a");
    }
    let upstreams = proxy.admin.upstreams().await.expect("the proxy runs");
    assert!(!upstreams[1].passed_over);
}

#[tokio::test]
async fn nobody_at_all_is_a_502_that_names_the_cause() {
    let proxy = run(fixture::config(&[nobody().await, nobody().await]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.status(), answer.header("x-squall-upstream-error")), (502, Some("refused")));
}

#[tokio::test]
async fn a_request_that_went_out_is_never_sent_again() {
    let (address, mut connections) = by_hand().await;
    let other = replica("other").await;
    let proxy = run(fixture::config(&[address, other.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    drop(server);
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.status(), answer.header("x-squall-upstream-error")), (502, Some("closed")));
    assert_eq!(other.unseen().await, 0);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_costs_no_request() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    for number in 1..4 {
        client.send(post("", &call(number, "x"))).await;
        let mut server = connections.recv().await.expect("a new connection each time");
        assert_eq!(server.message().await.expect("the request").text(), call(number, "x"));
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.message().await.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!(client.head().await.expect("a head").status(), 200);
    drop(server);
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn a_server_that_resets_in_the_middle_of_an_answer_resets_the_client() {
    for kind in ["application/json", "text/event-stream"] {
        let (address, mut connections) = by_hand().await;
        let proxy = run(fixture::config(&[address]));
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        let mut server = connections.recv().await.expect("a connection");
        server.message().await.expect("the request");
        server
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 10\r\n\r\nhalf"
            ))
            .await;
        client.head().await.expect("a head");
        server.reset();
        assert_eq!(client.end().await, End::Reset, "{kind}");
    }
}

#[tokio::test]
async fn an_ended_session_is_forgotten() {
    let replica = replica("a").await;
    let proxy = run(fixture::config(&[replica.address]));
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    client.message().await.expect("an answer");
    client.send("DELETE /mcp HTTP/1.1\r\nHost: test\r\nMcp-Session-Id: a\r\n\r\n").await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    let sessions = proxy.admin.sessions().await.expect("the proxy runs").sessions;
    assert_eq!((sessions[0].state, &sessions[0].upstream), (SessionState::Deleted, &None));
}

#[tokio::test]
async fn a_client_that_starts_anew_with_its_old_session_in_hand_gets_a_home_too() {
    let replicas = [replica("a").await, replica("b").await];
    let proxy = run(fixture::config(&replicas.each_ref().map(|replica| replica.address)));
    let mut client = proxy.connect().await;
    client.send(post("Mcp-Session-Id: old\r\n", INITIALIZE)).await;
    let answer = client.message().await.expect("an answer");
    let made = answer.header("mcp-session-id").expect("a session").to_owned();
    for _ in 0..4 {
        client.send(post(&format!("Mcp-Session-Id: {made}\r\n"), &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), made);
    }
}

#[tokio::test]
async fn in_the_stateless_era_a_session_id_means_nothing() {
    let replicas = [replica("a").await, replica("b").await];
    let proxy = run(fixture::config(&replicas.each_ref().map(|replica| replica.address)));
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    client.message().await.expect("an answer");
    let meta = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let mut answers = Vec::new();
    for (headers, body) in [
        ("Mcp-Session-Id: a\r\nMCP-Protocol-Version: 2026-07-28\r\n", call(1, "x")),
        ("Mcp-Session-Id: a\r\n", meta.to_owned()),
    ] {
        client.send(post(headers, &body)).await;
        answers.push(client.message().await.expect("an answer").text().to_owned());
    }
    assert_eq!(answers, ["b", "a"], "each goes to the next replica in turn");
}

#[tokio::test]
async fn a_replica_that_drains_keeps_its_sessions_and_gets_no_new_ones() {
    let replicas = [replica("a").await, replica("b").await];
    let proxy = run(fixture::config(&replicas.each_ref().map(|replica| replica.address)));
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    let answer = client.message().await.expect("an answer");
    assert_eq!(answer.header("mcp-session-id"), Some("a"));
    let view = proxy.admin.drain(1, true).await.expect("there are two");
    assert!(view.draining);
    for _ in 0..3 {
        client.send(post("", INITIALIZE)).await;
        let answer = client.message().await.expect("an answer");
        assert_eq!(answer.header("mcp-session-id"), Some("b"));
        client.send(post("Mcp-Session-Id: a\r\n", &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), "a");
    }
    assert!(proxy.admin.drain(3, true).await.is_err());
}
