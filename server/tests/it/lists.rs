//! Resources and prompts: declared, listed as none, and not found.

use serde_json::{Value, json};

use crate::world::*;

async fn ask(method: &str, params: Value) -> Answer {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    server.post(request(method, &params)).session(&id).send().await
}

#[tokio::test]
async fn the_lists_of_what_is_not_here_are_empty() {
    for (method, expected) in [
        ("resources/list", json!({ "resources": [] })),
        ("resources/templates/list", json!({ "resourceTemplates": [] })),
        ("prompts/list", json!({ "prompts": [] })),
    ] {
        assert_eq!(ask(method, json!({})).await.result(), expected, "{method}");
    }
}

#[tokio::test]
async fn an_empty_list_has_no_further_page() {
    for method in ["resources/list", "resources/templates/list", "prompts/list"] {
        for cursor in [json!("after-1"), json!(7)] {
            ask(method, json!({ "cursor": cursor })).await.refuses(200, -32602, "");
        }
    }
}

#[tokio::test]
async fn what_is_in_no_list_is_not_found() {
    let found = ask("resources/read", json!({ "uri": "app://static-data" })).await;
    found.refuses(200, -32002, "app://static-data");
    let found = ask("prompts/get", json!({ "name": "greeting" })).await;
    found.refuses(200, -32602, "greeting");
    for method in ["resources/read", "prompts/get"] {
        ask(method, json!({})).await.refuses(200, -32602, "missing field");
        ask(method, Value::Null).await.refuses(200, -32602, method);
    }
}
