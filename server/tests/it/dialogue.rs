//! What the server asks its client in the session era: a model's words, a user's.

use std::time::Duration;

use http::header::ACCEPT;
use serde_json::{Value, json};
use squall_model::mcp::header::JSON;

use crate::world::*;

const EVERYTHING: &str = r#"{"sampling":{},"elicitation":{"form":{},"url":{}}}"#;

fn answer(request: &Value, result: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string()
}

fn said(text: &str) -> Value {
    let content = json!({ "type": "text", "text": text });
    json!({ "role": "assistant", "content": content, "model": "test-model" })
}

#[tokio::test]
async fn a_model_is_asked_on_the_stream_of_the_answer() {
    let server = server().await;
    let id = server.session_of_client(EVERYTHING).await;
    let body = call("request-sampling", &json!({ "prompt": "2 + 2?", "max_tokens": 7 }));
    let mut stream = server.post(body).session(&id).open().await;
    let asked = stream.next_message().await.expect("a request");
    assert_eq!(asked["method"], "sampling/createMessage");
    assert_eq!(asked["params"]["maxTokens"], 7);
    assert_eq!(asked["params"]["messages"][0]["content"]["text"], "2 + 2?");
    let taken = server.post(answer(&asked, &said("4"))).session(&id).send().await;
    assert_eq!((taken.status.as_u16(), taken.body.len()), (202, 0));
    let result = stream.next_message().await.expect("the result");
    assert_eq!(result["result"]["content"][0]["text"], "test-model said: 4");
    assert_eq!(stream.next_message().await, None);
}

#[tokio::test]
async fn a_user_is_asked_by_a_form_or_a_page() {
    let server = server().await;
    let id = server.session_of_client(EVERYTHING).await;
    for (arguments, mode, said, expected) in [
        (
            json!({}),
            Value::Null,
            json!({ "action": "accept", "content": { "name": "Ada" } }),
            "The user gave the name Ada.",
        ),
        (
            json!({ "mode": "url" }),
            json!("url"),
            json!({ "action": "accept" }),
            "The user agreed to open the page.",
        ),
        (json!({}), Value::Null, json!({ "action": "decline" }), "The user declined."),
        (json!({}), Value::Null, json!({ "action": "cancel" }), "The user did not choose."),
    ] {
        let body = call("request-input", &arguments);
        let mut stream = server.post(body).session(&id).open().await;
        let asked = stream.next_message().await.expect("a request");
        assert_eq!(
            (&asked["method"], &asked["params"]["mode"]),
            (&json!("elicitation/create"), &mode)
        );
        server.post(answer(&asked, &said)).session(&id).send().await;
        let result = stream.next_message().await.expect("the result");
        assert_eq!(result["result"]["content"][0]["text"], expected);
    }
}

#[tokio::test]
async fn what_a_form_lacks_is_asked_for_again() {
    let server = server().await;
    let id = server.session_of_client(EVERYTHING).await;
    let mut stream = server.post(call("request-input", &json!({}))).session(&id).open().await;
    let first = stream.next_message().await.expect("a request");
    let nothing = json!({ "action": "accept", "content": {} });
    server.post(answer(&first, &nothing)).session(&id).send().await;
    let second = stream.next_message().await.expect("another request");
    assert_eq!(second["method"], "elicitation/create");
    assert_ne!(second["id"], first["id"]);
}

#[tokio::test]
async fn a_client_that_cannot_do_it_is_told_so_and_not_asked() {
    let server = server().await;
    for (client, tool, arguments, word) in [
        ("{}", "request-sampling", json!({ "prompt": "x" }), "does not support sampling"),
        ("{}", "request-input", json!({}), "does not support elicitation by forms"),
        (r#"{"elicitation":{}}"#, "request-input", json!({ "mode": "url" }), "by pages"),
    ] {
        let id = server.session_of_client(client).await;
        let answer = server.post(call(tool, &arguments)).session(&id).send().await;
        assert!(answer.tool_text().contains(word), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_a_client_answers_wrongly_or_with_an_error_is_said_in_the_result() {
    let server = server().await;
    let id = server.session_of_client(EVERYTHING).await;
    let body = call("request-sampling", &json!({ "prompt": "x" }));
    for (said, word) in [
        (json!({ "error": { "code": -1, "message": "the user said no" } }), "the user said no"),
        (json!({ "result": { "role": "nobody" } }), "nobody"),
    ] {
        let mut stream = server.post(body.clone()).session(&id).open().await;
        let asked = stream.next_message().await.expect("a request");
        let mut message = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        message.as_object_mut().expect("an object").extend(said.as_object().expect("one").clone());
        server.post(message.to_string()).session(&id).send().await;
        let answer = stream.next_message().await.expect("the result").to_string();
        assert!(answer.contains(word), "{answer}");
    }
}

#[tokio::test]
async fn nobody_answers_for_another_session() {
    let server = server_with(|config| config.input_deadline = Duration::from_millis(300)).await;
    let id = server.session_of_client(EVERYTHING).await;
    let stranger = server.session_of_client(EVERYTHING).await;
    let body = call("request-sampling", &json!({ "prompt": "x" }));
    let mut stream = server.post(body).session(&id).open().await;
    let asked = stream.next_message().await.expect("a request");
    server.post(answer(&asked, &said("forged"))).session(&stranger).send().await;
    let result = stream.next_message().await.expect("the result");
    assert_eq!(result["result"]["isError"], true);
    assert!(result.to_string().contains("did not answer"), "{result}");
}

#[tokio::test]
async fn a_client_that_takes_no_stream_as_an_answer_is_asked_on_its_get_stream() {
    let server = server().await;
    let id = server.session_of_client(EVERYTHING).await;
    let body = call("request-sampling", &json!({ "prompt": "x" }));
    let ask = || server.post(body.clone()).session(&id).header(ACCEPT, JSON);
    let result = ask().send().await.result();
    assert_eq!(result["isError"], true);
    assert!(result.to_string().contains("no GET stream"), "{result}");

    let mut stream = server.stream(&id).await;
    let (result, ()) = tokio::join!(ask().send(), async {
        let asked = stream.next_message().await.expect("a request");
        server.post(answer(&asked, &said("y"))).session(&id).send().await;
    });
    assert_eq!(result.tool_text(), "test-model said: y");
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_without_an_answer() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let body = call_with_progress("slow-computation", &json!({ "iterations": 100_000_000 }));
    let mut stream = server.post(body).session(&id).open().await;
    stream.next_message().await.expect("it has begun");
    let cancel = |id: u32| {
        json!({
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": { "requestId": id, "reason": "enough" },
        })
        .to_string()
    };
    server.post(cancel(7)).session(&id).send().await;
    stream.next_message().await.expect("another request's cancellation is not this one's");
    server.post(cancel(1)).session(&id).send().await;
    while let Some(message) = stream.next_message().await {
        assert_eq!(message["method"], "notifications/progress", "{message}");
    }
}

#[tokio::test]
async fn logs_are_as_grave_as_the_client_wants_them() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let told = async || {
        let body = call_with_progress("fetch-data", &json!({ "delay_ms": 0 }));
        let messages = server.post(body).session(&id).send().await.messages();
        let logs = messages.iter().filter(|one| one["method"] == "notifications/message");
        logs.map(|one| one["params"]["level"].as_str().expect("a level").to_owned()).collect()
    };
    let set = async |level: &str| {
        let body = request("logging/setLevel", &json!({ "level": level }));
        server.post(body).session(&id).send().await
    };
    let no_logs: Vec<String> = Vec::new();
    assert_eq!(told().await, ["info"]);
    assert_eq!(set("debug").await.result(), json!({}));
    assert_eq!(told().await, ["debug", "info"]);
    assert_eq!(set("error").await.result(), json!({}));
    let after: Vec<String> = told().await;
    assert_eq!(after, no_logs);
    set("loud").await.refuses(200, -32602, "loud");
}

#[tokio::test]
async fn who_subscribed_to_a_resource_hears_that_it_was_updated() {
    let server = server().await;
    let (id, other) = (server.session("2025-11-25").await, server.session("2025-11-25").await);
    let (mut stream, mut others) = (server.stream(&id).await, server.stream(&other).await);
    let uri = "app://dynamic-data";
    let subscribe = async |method: &str, uri: &str| {
        server.post(request(method, &json!({ "uri": uri }))).session(&id).send().await
    };
    subscribe("resources/subscribe", "app://nothing").await.refuses(200, -32002, "app://nothing");
    let updated = json!({ "kind": "updated", "uri": uri });
    let update =
        async || server.tool(&id, "trigger-notification", &updated).await["streams"].take();
    assert_eq!(update().await, 0);
    assert_eq!(subscribe("resources/subscribe", uri).await.result(), json!({}));
    assert_eq!(update().await, 1);
    let heard = stream.next_message().await.expect("a notification");
    assert_eq!(heard["method"], "notifications/resources/updated");
    assert_eq!(heard["params"], json!({ "uri": uri }));

    drop(stream);
    let mut stream = loop {
        // The server sees by and by that the first is gone.
        let opened = server.ask_for_stream(&id).open().await;
        if opened.status == http::StatusCode::OK {
            break opened;
        }
    };
    assert_eq!(update().await, 1, "a subscription outlives its stream");
    stream.next_message().await.expect("a notification");
    assert_eq!(subscribe("resources/unsubscribe", uri).await.result(), json!({}));
    assert_eq!(update().await, 0);
    server.tool(&id, "trigger-notification", &json!({ "kind": "tools" })).await;
    for stream in [&mut stream, &mut others] {
        let next = stream.next_message().await.expect("a notification");
        assert_eq!(next["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn a_session_has_a_bounded_number_of_subscriptions() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let subscribe = async |number: u32| {
        let uri = format!("app://items/{number}");
        let body = request("resources/subscribe", &json!({ "uri": uri }));
        server.post(body).session(&id).send().await
    };
    for number in 0..100 {
        subscribe(number).await.result();
    }
    subscribe(100).await.refuses(200, -32000, "100 resources");
}
