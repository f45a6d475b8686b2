//! Streams that were cut go on where they were (basic/transports, resumability and redelivery).

use http::StatusCode;
use serde_json::{Value, json};
use squall_model::mcp::header::LAST_EVENT_ID;

use crate::world::*;

fn after(server: &TestServer, session: &str, event: &str) -> Ask {
    server.ask_for_stream(session).header(LAST_EVENT_ID, event)
}

/// Opens the stream once the server has seen that the one before is gone.
async fn again(server: &TestServer, session: &str, event: &str) -> Opened {
    let opened = async {
        loop {
            let opened = after(server, session, event).open().await;
            if opened.status != StatusCode::CONFLICT {
                return opened;
            }
        }
    };
    soon(opened).await
}

async fn send(server: &TestServer, session: &str, number: usize) {
    let arguments = json!({ "kind": "custom", "data": { "number": number } });
    server.tool(session, "trigger-notification", &arguments).await;
}

fn number(message: &Value) -> usize {
    message["params"]["data"]["number"].as_u64().expect("a number") as usize
}

#[tokio::test]
async fn a_get_stream_goes_on_after_the_last_event_that_its_client_saw() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let mut stream = server.stream(&id).await;
    send(&server, &id, 0).await;
    send(&server, &id, 1).await;
    let (last, first) = stream.next_with_id().await.expect("a notification");
    assert_eq!(number(&first), 0);
    drop(stream);
    send(&server, &id, 2).await;
    let stranger = server.session("2025-11-25").await;
    let to_other = json!({ "kind": "custom", "to": "session", "data": { "number": 99 } });
    server.tool(&stranger, "trigger-notification", &to_other).await;
    let mut stream = again(&server, &id, &last).await;
    send(&server, &id, 3).await;
    for expected in 1..4 {
        let (event, message) = stream.next_with_id().await.expect("a notification");
        assert_eq!(number(&message), expected);
        assert_ne!(event, last);
    }
}

#[tokio::test]
async fn a_stream_that_said_nothing_yet_can_be_resumed_too() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    send(&server, &id, 0).await;
    let mut stream = server.stream(&id).await;
    let start = stream.priming_id().await;
    drop(stream);
    send(&server, &id, 1).await;
    let mut stream = again(&server, &id, &start).await;
    let message = stream.next_message().await.expect("a notification");
    assert_eq!(number(&message), 1, "what came before the stream began is not its own");
}

#[tokio::test]
async fn older_versions_know_no_priming_event() {
    let server = server().await;
    let id = server.session("2025-06-18").await;
    let mut stream = server.stream(&id).await;
    send(&server, &id, 0).await;
    let event = stream.next_event().await.expect("an event");
    assert!(String::from_utf8_lossy(&event).contains("notifications/squall/custom"));
}

#[tokio::test]
async fn an_id_that_was_never_given_out_begins_a_stream_like_any_other() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for event in ["nonsense", "stream-", "stream-1", "7", "answer-1"] {
        let mut stream = again(&server, &id, event).await;
        assert_eq!(stream.status, StatusCode::OK, "{event}");
        stream.priming_id().await;
    }
    after(&server, &id, "answer-1-0-0").send().await.refuses(400, -32000, "no such answer");
}

#[tokio::test]
async fn the_stream_of_an_answer_goes_on_after_the_last_event_that_its_client_saw() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let body = call_with_progress("fetch-data", &json!({ "delay_ms": 100 }));
    let mut stream = server.post(body).session(&id).open().await;
    let start = stream.priming_id().await;
    let (event, first) = stream.next_with_id().await.expect("progress");
    assert_eq!(first["params"]["progress"], 1);
    drop(stream);
    for (event, expected) in [(event, vec![2, 3, 4, 5]), (start, vec![1, 2, 3, 4, 5])] {
        let mut stream = after(&server, &id, &event).open().await;
        let (mut told, mut result) = (Vec::new(), None);
        while let Some(message) = stream.next_message().await {
            told.extend(message["params"]["progress"].as_u64());
            result = message.get("result").cloned().or(result);
        }
        assert_eq!(told, expected);
        assert_eq!(result.expect("the result")["structuredContent"]["delay_ms"], 100);
    }
    let stranger = server.session("2025-11-25").await;
    after(&server, &stranger, "answer-0-0-0").send().await.refuses(400, -32000, "");
}

#[tokio::test]
async fn a_stream_that_the_server_closes_is_gone_on_with_by_its_client() {
    let server = server_with(|config| config.fixtures = true).await;
    let id = server.session("2025-11-25").await;
    let body = call("test_reconnection", &json!({}));
    let mut stream = server.post(body).session(&id).open().await;
    let start = stream.priming_id().await;
    while let Some(message) = stream.next_message().await {
        assert_eq!(message["method"], "notifications/message", "{message}");
    }
    let mut stream = after(&server, &id, &start).open().await;
    let mut last = Value::Null;
    while let Some(message) = stream.next_message().await {
        last = message;
    }
    assert_eq!(last["result"]["content"][0]["text"], "Reconnection test completed");
}

#[tokio::test]
async fn a_get_stream_goes_on_through_another_replica() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session("2025-11-25").await;
    let mut stream = a.stream(&id).await;
    let start = stream.priming_id().await;
    for number in 0..3 {
        send(&b, &id, number).await;
    }
    let (last, first) = stream.next_with_id().await.expect("a notification");
    assert_eq!(number(&first), 0);
    for (event, expected) in [(last, 1..5), (start, 0..7)] {
        send(&a, &id, expected.end - 2).await;
        let mut stream = after(&b, &id, &event).open().await;
        send(&a, &id, expected.end - 1).await;
        for expected in expected {
            let message = stream.next_message().await.expect("a notification");
            assert_eq!(number(&message), expected);
        }
    }
}

#[tokio::test]
async fn the_stream_of_an_answer_goes_on_through_another_replica() {
    let Some(redis) = redis().await else { return };
    let short = |config: &mut squall_server::Config| {
        config.redis_deadline = std::time::Duration::from_secs(2);
    };
    let (a, b) = (redis.server().await, redis.server_with(short).await);
    let id = a.session("2025-11-25").await;
    let body = call_with_progress("fetch-data", &json!({ "delay_ms": 200 }));
    let mut stream = a.post(body).session(&id).open().await;
    let (event, first) = stream.next_with_id().await.expect("progress");
    assert_eq!(first["params"]["progress"], 1);
    drop(stream);
    let mut stream = after(&b, &id, &event).open().await;
    let (mut told, mut result) = (Vec::new(), None);
    while let Some(message) = stream.next_message().await {
        told.extend(message["params"]["progress"].as_u64());
        result = message.get("result").cloned().or(result);
    }
    assert_eq!(told, [2, 3, 4, 5]);
    assert!(result.is_some());
    let nobody = after(&b, &id, "answer-1-0-0").send().await;
    nobody.refuses(400, -32000, "no such answer");
}
