//! What each effect does to a client, at connections and exchanges.

use squall_model::history::Record;

use crate::fixture::{self, Upstream, fault, ok, run};
use crate::wire::{End, Wire, call, post};

#[tokio::test]
async fn http_status_answers_in_the_place_of_the_server() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"busy","effect":{"http-status":{"status":503,"headers":{"retry-after":"2"},"body":"later"}}}"#)
        .await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (503, "later"));
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.all("x-squall-fault"), ["busy"]);
    assert_eq!(upstream.unseen().await, 0, "it was not forwarded");
    assert_eq!(proxy.hits("busy").await, 1);
}

#[tokio::test]
async fn http_status_on_the_way_back_replaces_the_answer_of_a_server_that_has_executed() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","match":{"direction":"response"},"effect":{"http-status":{"status":500}}}"#)
        .await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 500);
    assert_eq!(upstream.request().await.text(), call(1, "x"));
}

#[tokio::test]
async fn jsonrpc_error_has_the_requests_own_id_and_leaves_notifications_alone() {
    let upstream = Upstream::answering("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"f","effect":{"jsonrpc-error":{"code":-32000,"message":"no","data":[1]}}}"#)
        .await;
    let mut client = proxy.connect().await;
    client.send(post("", r#"{"jsonrpc":"2.0","method":"ping","id":"a\u0062"}"#)).await;
    let answer = client.message().await.expect("an answer");
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
    let expected =
        r#"{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-32000,"data":[1],"message":"no"}}"#;
    assert_eq!(answer.text(), expected);

    client
        .send(post(
            "",
            r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"b","id":2}]"#,
        ))
        .await;
    let answer = client.message().await.expect("an answer").json();
    assert_eq!((&answer[0]["id"], &answer[1]["id"]), (&1.into(), &2.into()));

    client.send(post("", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)).await;
    assert_eq!(client.message().await.expect("an answer").status(), 202);
}

#[tokio::test]
async fn reset_before_forwarding_is_a_rst_on_a_connection_in_use_and_the_server_sees_nothing() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    upstream.request().await;

    proxy.add(r#"{"id":"f","match":{"tool":"x"},"effect":{"reset":{}}}"#).await;
    client.send(post("", &call(2, "x"))).await;
    assert_eq!(client.end().await, End::Reset);
    assert_eq!(upstream.unseen().await, 0);
    assert_eq!(proxy.hits("f").await, 1);
}

#[tokio::test]
async fn reset_after_execution_is_a_rst_and_the_server_has_executed() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","match":{"direction":"response"},"effect":{"reset":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.end().await, End::Reset);
    assert_eq!(upstream.request().await.text(), call(1, "x"));
}

#[tokio::test]
async fn reset_after_execution_waits_for_the_answer_in_an_event_stream() {
    let (address, mut connections) = fixture::by_hand().await;
    let proxy = run(fixture::config(&[address]));
    proxy.add(r#"{"id":"f","match":{"direction":"response"},"effect":{"reset":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let mut server = connections.recv().await.expect("a connection");
    server.message().await.expect("the request");
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    server.send("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n").await;
    // Nothing may reach the client yet; that the reset comes only now is seen by the server, whose
    // write still goes through.
    server.send("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n").await;
    assert_eq!(client.end().await, End::Reset);
}

#[tokio::test]
async fn reset_of_connections_reaches_those_that_are_open_already() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    client.message().await.expect("an answer");
    proxy.add(r#"{"id":"f","effect":{"reset":{"at":"connection"}}}"#).await;
    assert_eq!(client.end().await, End::Reset);
    // The RST may be there before the connection is made, as far as the client sees.
    if let Some(mut late) = Wire::try_connect(proxy.address).await {
        assert_eq!(late.end().await, End::Reset);
    }
    assert_eq!(proxy.hits("f").await, 2);
}

#[tokio::test]
async fn drop_holds_the_client_until_the_fault_is_removed_and_then_closes() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"hole","match":{"tool":"x"},"effect":{"drop":{}}}"#).await;
    let mut held = proxy.connect().await;
    held.send(post("", &call(1, "x"))).await;
    proxy.hit("hole").await;
    // Others go on meanwhile.
    let mut other = proxy.connect().await;
    other.send(post("", &call(2, "y"))).await;
    assert_eq!(other.message().await.expect("an answer").status(), 200);

    let removed = proxy.admin.remove(&"hole".parse().expect("an id")).await.expect("it is live");
    assert_eq!(removed.hits, 1);
    assert_eq!(held.end().await, End::Closed);
    assert_eq!(upstream.request().await.text(), call(2, "y"), "the held one never arrived");
}

#[tokio::test]
async fn drop_of_an_answer_lets_the_server_execute() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"hole","match":{"direction":"response"},"effect":{"drop":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(upstream.request().await.text(), call(1, "x"));
    proxy.hit("hole").await;
    proxy.admin.clear().await.expect("the proxy runs");
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn a_stalled_connection_goes_on_when_the_fault_is_removed() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"stall","effect":{"blackhole":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    proxy.hit("stall").await;
    assert_eq!(upstream.unseen().await, 0);
    proxy.admin.clear().await.expect("the proxy runs");
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn latency_of_an_hour_ends_at_once_when_the_fault_is_removed() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    for (id, direction, at) in [
        ("a", "request", "exchange"),
        ("b", "response", "exchange"),
        ("c", "request", "connection"),
    ] {
        let scope = if at == "connection" {
            String::new()
        } else {
            format!(r#""direction":"{direction}""#)
        };
        proxy
            .add(&format!(
                r#"{{"id":"{id}","match":{{{scope}}},"effect":{{"latency":{{"delay":"1h","at":"{at}"}}}}}}"#
            ))
            .await;
        let mut client = proxy.connect().await;
        client.send(post("", &call(1, "x"))).await;
        proxy.hit(id).await;
        proxy.admin.remove(&id.parse().expect("an id")).await.expect("it is live");
        let answer = client.message().await.expect("an answer");
        let touched: &[&str] = if at == "connection" { &[] } else { &[id] };
        assert_eq!((answer.status(), &*answer.all("x-squall-fault")), (200, touched));
    }
}

#[tokio::test]
async fn latency_is_waited_out() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"a","effect":{"latency":{"delay":"30ms"}}}"#).await;
    proxy.add(r#"{"id":"b","effect":{"latency":{"delay":"20ms"}}}"#).await;
    let start = tokio::time::Instant::now();
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    let answer = client.message().await.expect("an answer");
    assert!(start.elapsed().as_millis() >= 50, "both are waited out, one after the other");
    assert_eq!(answer.all("x-squall-fault"), ["a", "b"]);
}

#[tokio::test]
async fn a_lease_that_runs_out_frees_what_the_fault_held() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"a","lease":"100ms","effect":{"blackhole":{}}}"#).await;
    let mut client = proxy.connect().await;
    client.send(post("", &call(1, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    assert_eq!(proxy.admin.faults().await.expect("the proxy runs"), []);
}

#[tokio::test]
async fn an_expired_session_gets_404_until_there_is_a_new_one_even_after_the_fault_has_gone() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy
        .add(r#"{"id":"gone","match":{"session":"s1"},"chance":{"max_hits":1},"effect":{"expire-session":{}}}"#)
        .await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client.send(post("Mcp-Session-Id: s1\r\n", &call(7, "x"))).await;
        let answer = client.message().await.expect("an answer");
        assert_eq!((answer.status(), answer.all("x-squall-fault")), (404, vec!["gone"]));
        assert_eq!(answer.json()["id"], 7);
        let _ = proxy.admin.clear().await;
    }
    client.send(post("Mcp-Session-Id: s2\r\n", &call(8, "x"))).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
    client.send(post("", fixture::INITIALIZE)).await;
    assert_eq!(client.message().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_hundred_operations_meet_the_same_fate_whatever_their_order() {
    let mut fates = Vec::new();
    for order in [(0..100).collect::<Vec<u32>>(), (0..100).rev().collect()] {
        let upstream = Upstream::answering(ok("{}")).await;
        let proxy = run(fixture::config(&[upstream.address]));
        proxy
            .add(r#"{"id":"f","chance":{"probability":0.1},"effect":{"http-status":{"status":500}}}"#)
            .await;
        let mut client = proxy.connect().await;
        let mut fate = Vec::new();
        for number in order {
            let trace = format!("traceparent: 00-{:032x}-{:016x}-01\r\n", number + 1, 1);
            client.send(post(&trace, &call(1, "x"))).await;
            fate.push((number, client.message().await.expect("an answer").status()));
        }
        fate.sort_unstable();
        fates.push(fate);
    }
    assert_eq!(fates[0], fates[1]);
    let victims = fates[0].iter().filter(|(_, status)| *status == 500).count();
    assert!((1..30).contains(&victims), "{victims} of 100");
}

#[tokio::test]
async fn every_injection_is_in_the_history_with_the_operation_it_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.jsonl");
    let upstream = Upstream::answering(ok("{}")).await;
    let mut config = fixture::config(&[upstream.address]);
    config.history = Some(path.clone());
    config.faults = vec![fault(r#"{"id":"f","effect":{"reset":{}}}"#)];
    let proxy = run(config);
    let mut client = Wire::connect(proxy.address).await;
    let trace = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n";
    client.send(post(trace, &call(1, "x"))).await;
    assert_eq!(client.end().await, End::Reset);
    let lines = std::fs::read_to_string(path).expect("a history");
    let records: Vec<Record> =
        lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let [Record::Anchor(_), Record::Injection(injection)] = &records[..] else {
        panic!("an anchor and an injection were expected: {records:?}");
    };
    assert_eq!((injection.fault.as_str(), injection.effect.as_str()), ("f", "reset"));
    let operation = injection.operation.map(|id| id.to_string());
    assert_eq!(operation.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(injection.method.as_deref(), Some("tools/call"));
}

#[tokio::test]
async fn an_answer_in_the_servers_place_arrives_however_large_the_request_is() {
    let upstream = Upstream::answering(ok("{}")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    proxy.add(r#"{"id":"f","effect":{"http-status":{"status":503}}}"#).await;
    let mut client = proxy.connect().await;
    let large = "x".repeat(20 * 1024 * 1024);
    for _ in 0..2 {
        client.send(post("", &large)).await;
        assert_eq!(client.message().await.expect("an answer").status(), 503);
    }
}
