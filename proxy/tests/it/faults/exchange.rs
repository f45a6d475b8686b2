//! Effects on one HTTP request, or on its answer.

use squall_model::fault::Fault;

use super::{Scene, events, result};
use crate::fixture::{self, by_hand, ok, run};
use crate::wire::{End, call, post};

#[tokio::test]
async fn timeout_closes_after_a_while_and_the_server_sees_nothing() {
    let mut scene =
        Scene::new(ok("{}"), &[r#"{"id":"f","effect":{"timeout":{"after":"20ms"}}}"#]).await;
    scene.client.send(post("", &call(1, "x"))).await;
    assert_eq!(scene.client.end().await, End::Closed);
    assert_eq!(scene.upstream.unseen().await, 0);
}

#[tokio::test]
async fn timeout_on_the_way_back_lets_the_server_execute() {
    let fault =
        r#"{"id":"f","match":{"direction":"response"},"effect":{"timeout":{"after":"20ms"}}}"#;
    let mut scene = Scene::new(ok("{}"), &[fault]).await;
    scene.client.send(post("", &call(1, "x"))).await;
    assert_eq!(scene.client.end().await, End::Closed);
    scene.upstream.request().await;
}

#[tokio::test]
async fn redirect_sends_the_client_elsewhere() {
    let fault = r#"{"id":"f","effect":{"redirect":{"location":"http://elsewhere/mcp"}}}"#;
    let mut scene = Scene::new(ok("{}"), &[fault]).await;
    let answer = scene.call().await;
    assert_eq!((answer.status(), answer.header("location")), (307, Some("http://elsewhere/mcp")));
    assert_eq!(scene.upstream.unseen().await, 0);
}

#[test]
fn a_redirect_that_sends_nobody_elsewhere_is_refused() {
    let redirect = |status| {
        format!(r#"{{"id":"f","effect":{{"redirect":{{"location":"/","status":{status}}}}}}}"#)
    };
    for status in [299, 400] {
        let error = serde_json::from_str::<Fault>(&redirect(status)).expect_err("no redirection");
        assert!(error.to_string().contains("300 to 399"), "{error}");
    }
    assert!(serde_json::from_str::<Fault>(&redirect(308)).is_ok());
}

#[tokio::test]
async fn duplicate_delivers_the_request_twice_and_the_client_gets_one_answer() {
    let mut scene = Scene::new(result("{}"), &[r#"{"id":"f","effect":{"duplicate":{}}}"#]).await;
    assert_eq!(scene.call().await.status(), 200);
    for _ in 0..2 {
        assert_eq!(scene.upstream.request().await.text(), call(1, "x"));
    }
    assert_eq!(scene.upstream.unseen().await, 0);
    assert_eq!(scene.call().await.status(), 200, "the connection goes on");
}

#[tokio::test]
async fn duplicate_leaves_alone_what_was_not_held() {
    let mut scene = Scene::new(result("{}"), &[r#"{"id":"f","effect":{"duplicate":{}}}"#]).await;
    let large = format!("{}{}", call(1, "x"), " ".repeat(100_000));
    assert_eq!(scene.ask("", &large).await.status(), 200);
    scene.upstream.request().await;
    assert_eq!(scene.upstream.unseen().await, 0);
    assert_eq!(scene.proxy.hits("f").await, 0);
}

#[tokio::test]
async fn truncate_closes_in_the_middle_of_a_body() {
    let fault = r#"{"id":"f","effect":{"truncate":{"after":5}}}"#;
    let mut scene = Scene::new(ok("0123456789"), &[fault]).await;
    scene.client.send(post("", &call(1, "x"))).await;
    let head = scene.client.head().await.expect("a head");
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(scene.client.rest().await, (b"01234".to_vec(), End::Closed));
    scene.upstream.request().await;
}

#[tokio::test]
async fn truncate_can_look_like_a_whole_body() {
    let fault = r#"{"id":"f","effect":{"truncate":{"after":5,"ending":"clean"}}}"#;
    let mut scene = Scene::new(ok("0123456789"), &[fault]).await;
    assert_eq!(scene.call().await.text(), "01234");
    assert_eq!(scene.call().await.text(), "01234", "the connection goes on");
}

#[tokio::test]
async fn reset_after_some_bytes_is_a_rst_behind_exactly_these_bytes() {
    for answer in [ok("0123456789"), events("0123456789")] {
        let fault = r#"{"id":"f","effect":{"reset":{"after":5}}}"#;
        let mut scene = Scene::new(answer, &[fault]).await;
        scene.client.send(post("", &call(1, "x"))).await;
        scene.client.head().await.expect("a head");
        assert_eq!(scene.client.rest().await, (b"01234".to_vec(), End::Reset));
    }
}

#[tokio::test]
async fn a_body_that_is_shorter_than_the_cut_arrives_whole() {
    let fault = r#"{"id":"f","effect":{"reset":{"after":10}}}"#;
    let mut scene = Scene::new(ok("01234"), &[fault]).await;
    assert_eq!(scene.call().await.text(), "01234");
}

#[tokio::test]
async fn content_type_says_something_else() {
    let fault = r#"{"id":"f","effect":{"content-type":{"value":"text/html; charset=x"}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    let answer = scene.call().await;
    assert_eq!(answer.all("content-type"), ["text/html; charset=x"]);
    assert_eq!(answer.all("x-squall-fault"), ["f"]);
}

#[tokio::test]
async fn hold_back_lets_nothing_through_until_the_answer_is_complete() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"f","effect":{"hold-back":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    server.send("data: 1\n\n").await;
    proxy.hit("f").await;
    assert!(!client.has_something(), "not even the head");
    server.send("data: 2\n\n").await;
    drop(server);
    assert_eq!(client.message().await.expect("an answer").text(), "data: 1\n\ndata: 2\n\n");
}

#[tokio::test]
async fn what_is_held_back_goes_on_when_the_fault_is_removed() {
    let (address, mut connections) = by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"f","effect":{"hold-back":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
    proxy.hit("f").await;
    proxy.admin.clear().await.expect("the proxy runs");
    client.head().await.expect("a head");
    assert_eq!(client.chunk().await.as_deref(), Some("data: 1\n\n"));
    server.send("data: 2\n\n").await;
    assert_eq!(client.chunk().await.as_deref(), Some("data: 2\n\n"));
}

#[tokio::test]
async fn changes_of_several_faults_add_up_in_their_order() {
    let faults = [
        r#"{"id":"a","effect":{"content-type":{"value":"a/a"}}}"#,
        r#"{"id":"b","effect":{"content-type":{"value":"b/b"}}}"#,
        r#"{"id":"c","effect":{"truncate":{"after":2,"ending":"clean"}}}"#,
    ];
    let mut scene = Scene::new(ok("0123"), &faults).await;
    let answer = scene.call().await;
    assert_eq!((answer.all("content-type"), answer.text()), (vec!["b/b"], "01"));
    assert_eq!(answer.all("x-squall-fault"), ["a", "b", "c"]);
}
