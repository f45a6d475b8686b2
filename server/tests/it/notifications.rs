//! `trigger-notification`: what it sends, to whom, and what it says of it.

use serde_json::{Value, json};

use crate::world::*;

/// Two sessions of one server, each with its stream.
struct Pair {
    server: TestServer,
    ids: [String; 2],
    streams: [Opened; 2],
}

async fn pair() -> Pair {
    let server = server().await;
    let ids = [server.session("2025-11-25").await, server.session("2025-11-25").await];
    let streams = [server.stream(&ids[0]).await, server.stream(&ids[1]).await];
    Pair { server, ids, streams }
}

impl Pair {
    /// Calls the tool on the first session.
    async fn trigger(&self, arguments: Value) -> Value {
        self.server.tool(&self.ids[0], "trigger-notification", &arguments).await
    }
}

#[tokio::test]
async fn a_list_change_reaches_every_stream() {
    let mut pair = pair().await;
    for kind in ["tools", "resources", "prompts"] {
        let method = format!("notifications/{kind}/list_changed");
        let told = pair.trigger(json!({ "kind": kind })).await;
        let expected = json!({ "sent": method, "to": "all", "streams": 2, "replicas": 1 });
        assert_eq!(told, expected);
        for stream in &mut pair.streams {
            let message = stream.next_message().await.expect("a notification");
            assert_eq!(message, json!({ "jsonrpc": "2.0", "method": method }));
        }
    }
}

#[tokio::test]
async fn what_is_for_the_session_reaches_its_stream_alone() {
    let mut pair = pair().await;
    let told = pair.trigger(json!({ "kind": "tools", "to": "session" })).await;
    assert_eq!((&told["to"], &told["streams"]), (&json!("session"), &json!(1)));
    pair.trigger(json!({ "kind": "prompts" })).await;
    let methods =
        async |stream: &mut Opened| stream.next_message().await.expect("one")["method"].clone();
    let [first, second] = &mut pair.streams;
    assert_eq!(methods(first).await, "notifications/tools/list_changed");
    assert_eq!(methods(first).await, "notifications/prompts/list_changed");
    assert_eq!(methods(second).await, "notifications/prompts/list_changed");
}

#[tokio::test]
async fn a_custom_notification_carries_its_data_as_it_was_written() {
    let mut pair = pair().await;
    for (data, written) in [
        ("{}", "{}"),
        (
            "{\"n\":\r123456789012345678901234567890,\r\n\"x\":\"\\r\"}",
            "123456789012345678901234567890",
        ),
    ] {
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\
             \"name\":\"trigger-notification\",\
             \"arguments\":{{\"kind\":\"custom\",\"data\":{data}}}}}}}"
        );
        pair.server.post(body).session(&pair.ids[0]).send().await.tool_text();
        let event = pair.streams[1].next_event().await.expect("an event");
        let event = String::from_utf8(event.to_vec()).expect("UTF-8");
        assert!(
            event.contains("notifications/squall/custom") && event.contains(written),
            "{event}"
        );
        let lines: Vec<_> = event.split(['\r', '\n']).filter(|line| !line.is_empty()).collect();
        let [_, _, line] = lines[..] else { panic!("an id, a kind and data: {event:?}") };
        let sent: Value = serde_json::from_str(data).expect("JSON");
        let got: Value = serde_json::from_str(&line["data: ".len()..]).expect("JSON");
        assert_eq!(got["params"]["data"], sent);
    }
}

#[tokio::test]
async fn data_has_a_limit() {
    let pair = pair().await;
    let data = json!({ "x": "x".repeat(16 * 1024) });
    let body = call("trigger-notification", &json!({ "kind": "custom", "data": data }));
    let answer = pair.server.post(body).session(&pair.ids[0]).send().await;
    answer.refuses(200, -32602, "16384 at most");
}

#[tokio::test]
async fn a_notification_without_a_stream_to_take_it_is_sent_and_says_so() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for to in ["all", "session"] {
        let body = call("trigger-notification", &json!({ "kind": "tools", "to": to }));
        let told = server.post(body).session(&id).send().await.tool_text();
        assert!(told.contains(r#""streams":0"#), "{told}");
    }
    let stats = server.tool(&id, "get-server-stats", &json!({})).await;
    assert_eq!(stats["notifications"], json!({ "sent": 2, "failed": 0 }));
}
