//! What there is to read and to fill in: listed in pages, found by its name, completed.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use crate::world::*;

async fn ask(method: &str, params: Value) -> Answer {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    server.post(request(method, &params)).session(&id).send().await
}

fn names(result: &Value, list: &str, key: &str) -> Vec<String> {
    let name = |item: &Value| item[key].as_str().expect(key).to_owned();
    result[list].as_array().expect(list).iter().map(name).collect()
}

#[tokio::test]
async fn resources_templates_and_prompts_are_listed() {
    for (method, list, key, expected) in [
        (
            "resources/list",
            "resources",
            "uri",
            &["app://static-data", "app://dynamic-data", "app://large-data"][..],
        ),
        ("resources/templates/list", "resourceTemplates", "uriTemplate", &["app://items/{id}"]),
        ("prompts/list", "prompts", "name", &["greeting", "code-review"]),
    ] {
        let result = ask(method, json!({})).await.result();
        assert_eq!(names(&result, list, key), expected, "{method}");
        assert!(result.get("nextCursor").is_none(), "{method}");
    }
}

#[tokio::test]
async fn the_pages_of_resources_put_together_are_the_list() {
    let server = server_with(|config| config.page_size = NonZeroUsize::MIN).await;
    let id = server.session("2025-11-25").await;
    let (mut uris, mut params) = (Vec::new(), json!({}));
    loop {
        let ask = server.post(request("resources/list", &params)).session(&id);
        let result = ask.send().await.result();
        uris.extend(names(&result, "resources", "uri"));
        let Some(cursor) = result.get("nextCursor") else { break };
        params = json!({ "cursor": cursor });
    }
    assert_eq!(uris, ["app://static-data", "app://dynamic-data", "app://large-data"]);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_invalid() {
    for method in ["resources/list", "resources/templates/list", "prompts/list"] {
        for cursor in [json!("after-9"), json!(7)] {
            ask(method, json!({ "cursor": cursor })).await.refuses(200, -32602, "");
        }
    }
}

#[tokio::test]
async fn resources_hold_what_they_are_called() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let read = async |uri: &str| {
        let ask = server.post(request("resources/read", &json!({ "uri": uri }))).session(&id);
        let contents = ask.send().await.result()["contents"].take();
        assert_eq!(
            (contents.as_array().map(Vec::len), &contents[0]["uri"]),
            (Some(1), &json!(uri))
        );
        contents[0]["text"].as_str().expect("text").to_owned()
    };
    assert_eq!(read("app://static-data").await, read("app://static-data").await);
    assert_ne!(read("app://dynamic-data").await, read("app://dynamic-data").await);
    assert_eq!(read("app://large-data").await.len(), 100 * 1024);
    let item: Value = serde_json::from_str(&read("app://items/a-7").await).expect("JSON");
    assert_eq!(item["id"], "a-7");
}

#[tokio::test]
async fn prompts_are_filled_in() {
    let arguments = json!({ "name": "Ada", "language": "fr" });
    let result = ask("prompts/get", json!({ "name": "greeting", "arguments": arguments })).await;
    let message = &result.result()["messages"][0];
    assert_eq!(message["role"], "user");
    assert!(message["content"]["text"].as_str().expect("text").starts_with("Bonjour, Ada"));
}

#[tokio::test]
async fn what_is_in_no_list_is_not_found() {
    let found = ask("resources/read", json!({ "uri": "app://nothing" })).await;
    found.refuses(200, -32002, "app://nothing");
    assert_eq!(found.message()["error"]["data"]["uri"], "app://nothing");
    let found = ask("resources/read", json!({ "uri": "test://static-text" })).await;
    found.refuses(200, -32002, "test://static-text");
    let found = ask("prompts/get", json!({ "name": "nothing" })).await;
    found.refuses(200, -32602, "greeting, code-review");
    let found = ask("prompts/get", json!({ "name": "greeting" })).await;
    found.refuses(200, -32602, "needs the argument `name`");
    for method in ["resources/read", "prompts/get", "completion/complete"] {
        ask(method, json!({})).await.refuses(200, -32602, "missing field");
        ask(method, Value::Null).await.refuses(200, -32602, method);
    }
}

#[tokio::test]
async fn arguments_are_completed() {
    let prompt = json!({ "type": "ref/prompt", "name": "code-review" });
    let template = json!({ "type": "ref/resource", "uri": "app://items/{id}" });
    for (reference, name, value, expected) in [
        (&prompt, "language", "ja", json!(["java", "javascript"])),
        (&prompt, "focus", "x", json!([])),
        (&template, "id", "1", json!(["1", "10", "100"])),
    ] {
        let argument = json!({ "name": name, "value": value });
        let params = json!({ "ref": reference, "argument": argument });
        let completion = ask("completion/complete", params).await.result()["completion"].take();
        assert_eq!(completion["values"], expected, "{name}");
        assert_eq!(completion["total"], expected.as_array().expect("a list").len());
    }
    for (reference, name) in [
        (json!({ "type": "ref/prompt", "name": "nothing" }), "x"),
        (prompt, "nothing"),
        (template, "nothing"),
        (json!({ "type": "ref/other" }), "x"),
    ] {
        let params = json!({ "ref": reference, "argument": { "name": name, "value": "" } });
        ask("completion/complete", params).await.refuses(200, -32602, "");
    }
}
