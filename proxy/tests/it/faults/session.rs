//! Effects on sessions (2025-03-26 to 2025-11-25).

use super::{Scene, result};
use crate::fixture::{self, INITIALIZE, Upstream, ok, run, session};
use crate::wire::{Message, call, post};

const S1: &str = "Mcp-Session-Id: s1\r\n";

fn delete(session: &str) -> String {
    format!("DELETE /mcp HTTP/1.1\r\nHost: test\r\nMcp-Session-Id: {session}\r\n\r\n")
}

#[tokio::test]
async fn expire_session_takes_a_share_of_the_sessions_and_the_same_ones_each_time() {
    let fault = r#"{"id":"f","effect":{"expire-session":{"share":0.5}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    let mut fates = Vec::new();
    for _ in 0..2 {
        let mut gone = Vec::new();
        for number in 0..40 {
            let answer = scene.ask(&format!("Mcp-Session-Id: s{number}\r\n"), &call(1, "x")).await;
            gone.push(answer.status() == 404);
        }
        fates.push(gone);
    }
    assert_eq!(fates[0], fates[1]);
    let gone = fates[0].iter().filter(|gone| **gone).count();
    assert!((8..32).contains(&gone), "{gone} of 40");
}

#[tokio::test]
async fn expire_session_can_answer_as_servers_do_that_know_no_better() {
    let fault = r#"{"id":"f","effect":{"expire-session":{"status":400}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    for _ in 0..2 {
        assert_eq!(scene.ask(S1, &call(1, "x")).await.status(), 400);
    }
}

#[tokio::test]
async fn gone_status_replaces_the_404_of_the_server_and_no_other_answer() {
    let fault = r#"{"id":"f","effect":{"gone-status":{"status":400}}}"#;
    let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let mut scene = Scene::new(gone, &[fault]).await;
    assert_eq!(scene.ask(S1, &call(1, "x")).await.status(), 400);
    assert_eq!(scene.call().await.status(), 404, "without a session it is another 404");
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    assert_eq!(scene.ask(S1, &call(1, "x")).await.status(), 200);
}

#[tokio::test]
async fn false_accept_is_202_to_a_request_that_the_server_has_executed() {
    let mut scene = Scene::new(result("{}"), &[r#"{"id":"f","effect":{"false-accept":{}}}"#]).await;
    let answer = scene.call().await;
    assert_eq!((answer.status(), answer.text()), (202, ""));
    scene.upstream.request().await;
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(scene.ask("", notification).await.status(), 200, "a notification is left alone");
}

#[tokio::test]
async fn session_id_is_stripped_swapped_or_altered_on_the_way_to_the_server() {
    for (how, expected) in [("strip", None), ("swap", Some("other"))] {
        let fault = format!(
            r#"{{"id":"f","match":{{"session":"s1"}},"effect":{{"session-id":{{"how":"{how}"}}}}}}"#
        );
        let mut scene = Scene::new(session("other"), &[&fault]).await;
        scene.ask("", INITIALIZE).await;
        scene.upstream.request().await;
        scene.ask(S1, &call(1, "x")).await;
        assert_eq!(scene.upstream.request().await.header("mcp-session-id"), expected, "{how}");
    }
    let fault = r#"{"id":"f","effect":{"session-id":{"how":"alter"}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    scene.ask(S1, &call(1, "x")).await;
    let request = scene.upstream.request().await;
    assert!(request.header("mcp-session-id").is_some_and(|id| id.starts_with("squall-")));
}

#[tokio::test]
async fn session_id_is_missing_in_the_answer_that_should_name_it() {
    let fault = r#"{"id":"f","match":{"method":"initialize","direction":"response"},"effect":{"session-id":{}}}"#;
    let mut scene = Scene::new(session("s9"), &[fault]).await;
    let answer = scene.ask("", INITIALIZE).await;
    assert_eq!((answer.status(), answer.header("mcp-session-id")), (200, None));
    assert_eq!(answer.all("x-squall-fault"), ["f"]);
}

#[tokio::test]
async fn ignore_delete_tells_the_client_and_not_the_server() {
    let mut scene =
        Scene::new(result("{}"), &[r#"{"id":"f","effect":{"ignore-delete":{}}}"#]).await;
    scene.client.send(delete("s1")).await;
    assert_eq!(scene.client.message().await.expect("an answer").status(), 204);
    assert_eq!(scene.upstream.unseen().await, 0);
    assert_eq!(scene.ask(S1, &call(1, "x")).await.status(), 200, "the session lives on");
}

/// Two replicas, of which each knows its own name only.
async fn replicas() -> (Vec<std::sync::Arc<Upstream>>, fixture::Running) {
    let mut replicas = Vec::new();
    for name in ["one", "two"] {
        replicas.push(
            Upstream::with(move |request: &Message| {
                if request.text().contains("initialize") { session(name) } else { ok(name) }
            })
            .await,
        );
    }
    let proxy = run(fixture::config(&[replicas[0].address, replicas[1].address]));
    (replicas, proxy)
}

#[tokio::test]
async fn reroute_takes_a_request_to_the_other_replica_and_leaves_the_session_where_it_is() {
    let (_replicas, proxy) = replicas().await;
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    let answer = client.message().await.expect("an answer");
    let home = answer.header("mcp-session-id").expect("a session").to_owned();
    let away = if home == "one" { "two" } else { "one" };
    let header = format!("Mcp-Session-Id: {home}\r\n");

    proxy.add(r#"{"id":"f","chance":{"nth":2},"effect":{"reroute":{}}}"#).await;
    for expected in [&*home, away, &*home] {
        client.send(post(&header, &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), expected);
    }
}

#[tokio::test]
async fn reroute_goes_where_it_is_told_to() {
    let (replicas, proxy) = replicas().await;
    let to = replicas[1].address;
    proxy.add(&format!(r#"{{"id":"f","effect":{{"reroute":{{"to":"{to}"}}}}}}"#)).await;
    let mut client = proxy.connect().await;
    for _ in 0..4 {
        client.send(post("", &call(1, "x"))).await;
        assert_eq!(client.message().await.expect("an answer").text(), "two");
    }
}

#[tokio::test]
async fn reroute_without_another_replica_does_nothing_and_counts_no_hit() {
    let mut scene = Scene::new(result("{}"), &[r#"{"id":"f","effect":{"reroute":{}}}"#]).await;
    assert_eq!(scene.call().await.status(), 200);
    assert_eq!(scene.proxy.hits("f").await, 0);
}

#[tokio::test]
async fn protocol_version_is_missing_or_another() {
    let version = "MCP-Protocol-Version: 2025-11-25\r\n";
    for (fields, expected) in [("{}", vec![]), (r#"{"value":"1999-01-01"}"#, vec!["1999-01-01"])] {
        let fault = format!(r#"{{"id":"f","effect":{{"protocol-version":{fields}}}}}"#);
        let mut scene = Scene::new(result("{}"), &[&fault]).await;
        scene.ask(version, &call(1, "x")).await;
        assert_eq!(scene.upstream.request().await.all("mcp-protocol-version"), expected);
    }
}

#[tokio::test]
async fn refuse_initialize_closes_the_door_to_new_sessions_only() {
    let fault = r#"{"id":"f","effect":{"refuse-initialize":{"retry_after":3}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    let answer = scene.ask("", INITIALIZE).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("3")));
    assert_eq!(scene.ask(S1, &call(1, "x")).await.status(), 200);
    scene.proxy.admin.clear().await.expect("the proxy runs");
    assert_eq!(scene.ask("", INITIALIZE).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_starts_anew_keeps_its_new_session_unless_any_may_expire() {
    for (fields, expected) in [("{}", 200), (r#"{"sessions":"any"}"#, 404)] {
        let fault = format!(r#"{{"id":"f","effect":{{"expire-session":{fields}}}}}"#);
        let mut scene = Scene::new(session("new"), &[&fault]).await;
        assert_eq!(scene.ask("Mcp-Session-Id: old\r\n", &call(1, "x")).await.status(), 404);
        scene.ask("", INITIALIZE).await;
        let answer = scene.ask("Mcp-Session-Id: new\r\n", &call(1, "x")).await;
        assert_eq!(answer.status(), expected, "{fields}");
    }
}
