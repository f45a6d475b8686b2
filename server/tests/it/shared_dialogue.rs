//! What a session does on one replica concerns it on the others, too.

use serde_json::{Value, json};

use crate::world::*;

#[tokio::test]
async fn an_answer_to_a_request_of_the_server_may_come_to_another_replica() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session_of_client(r#"{"sampling":{}}"#).await;
    let body = call("request-sampling", &json!({ "prompt": "x" }));
    let mut stream = b.post(body).session(&id).open().await;
    let asked = stream.next_message().await.expect("a request");
    let content = json!({ "type": "text", "text": "y".repeat(100_000) });
    let result = json!({ "role": "assistant", "content": content, "model": "m" });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
    assert_eq!(a.post(answer.to_string()).session(&id).send().await.status, 202);
    let result = stream.next_message().await.expect("the result");
    let text = result["result"]["content"][0]["text"].as_str().expect("text");
    assert_eq!(text.len(), "m said: ".len() + 100_000);
}

#[tokio::test]
async fn a_request_goes_out_on_the_get_stream_of_another_replica() {
    let Some(redis) = redis().await else { return };
    let (a, b, c) = (redis.server().await, redis.server().await, redis.server().await);
    let id = a.session_of_client(r#"{"sampling":{}}"#).await;
    let mut stream = b.stream(&id).await;
    let body = call("request-sampling", &json!({ "prompt": "x" }));
    let ask = a.post(body).session(&id).header(http::header::ACCEPT, "application/json");
    let (result, ()) = tokio::join!(ask.send(), async {
        let asked = stream.next_message().await.expect("a request");
        let content = json!({ "type": "text", "text": "y" });
        let result = json!({ "role": "assistant", "content": content, "model": "m" });
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
        c.post(answer.to_string()).session(&id).send().await;
    });
    assert_eq!(result.tool_text(), "m said: y");
}

#[tokio::test]
async fn a_call_is_cancelled_from_another_replica() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session("2025-11-25").await;
    let body = call_with_progress("slow-computation", &json!({ "iterations": 100_000_000 }));
    let mut stream = a.post(body).session(&id).open().await;
    stream.next_message().await.expect("it has begun");
    let params = json!({ "requestId": 1 });
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    b.post(cancel.to_string()).session(&id).send().await;
    while let Some(message) = stream.next_message().await {
        assert_eq!(message["method"], "notifications/progress", "{message}");
    }
}

#[tokio::test]
async fn a_subscription_and_a_log_level_hold_on_every_replica() {
    let Some(redis) = redis().await else { return };
    let (a, b) = (redis.server().await, redis.server().await);
    let id = a.session("2025-11-25").await;
    let uri = "app://dynamic-data";
    let ask = async |server: &TestServer, method: &str, params: Value| {
        server.post(request(method, &params)).session(&id).send().await.result()
    };
    ask(&a, "resources/subscribe", json!({ "uri": uri })).await;
    let mut stream = b.stream(&id).await;
    ask(&a, "resources/subscribe", json!({ "uri": "app://static-data" })).await;
    for uri in [uri, "app://static-data"] {
        a.tool(&id, "trigger-notification", &json!({ "kind": "updated", "uri": uri })).await;
        let heard = stream.next_message().await.expect("a notification");
        assert_eq!(heard["params"]["uri"], uri);
    }
    ask(&a, "logging/setLevel", json!({ "level": "error" })).await;
    let body = call_with_progress("fetch-data", &json!({ "delay_ms": 0 }));
    let messages = b.post(body).session(&id).send().await.messages();
    assert!(messages.iter().all(|one| one["method"] != "notifications/message"), "{messages:?}");
    ask(&b, "resources/unsubscribe", json!({ "uri": uri })).await;
    a.tool(&id, "trigger-notification", &json!({ "kind": "updated", "uri": uri })).await;
    a.tool(&id, "trigger-notification", &json!({ "kind": "tools" })).await;
    let heard = stream.next_message().await.expect("a notification");
    assert_eq!(heard["method"], "notifications/tools/list_changed");
}
