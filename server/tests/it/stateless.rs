//! The stateless era, 2026-07-28: no session, and every request says for itself what it speaks.

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use squall_model::mcp::header::{EVENT_STREAM, METHOD, NAME, PROTOCOL_VERSION, SESSION_ID};

use crate::world::*;

const VERSION: &str = "2026-07-28";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

fn params_of_client(client: &Value, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = client.clone();
    params
}

/// A request with everything that it needs.
fn ask_of_client(server: &TestServer, client: &Value, method: &str, params: Value) -> Ask {
    let params = params_of_client(client, params);
    let ask = server.post(request(method, &params)).header(PROTOCOL_VERSION, VERSION);
    let ask = ask.header(METHOD, method);
    match params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str) {
        Some(name) if !method.starts_with("completion") => ask.header(NAME, name),
        _ => ask,
    }
}

fn ask(server: &TestServer, method: &str, params: Value) -> Ask {
    ask_of_client(server, &json!({}), method, params)
}

fn tool(server: &TestServer, name: &str, arguments: &Value) -> Ask {
    ask(server, "tools/call", json!({ "name": name, "arguments": arguments }))
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let server = server().await;
    let answer = ask(&server, "server/discover", json!({})).send().await;
    assert_eq!(answer.header(SESSION_ID.as_str()), None);
    let result = answer.result();
    let versions = json!([VERSION, "2025-11-25", "2025-06-18", "2025-03-26"]);
    assert_eq!(
        (&result["supportedVersions"], &result["resultType"]),
        (&versions, &json!("complete"))
    );
    assert_eq!(result["_meta"][SERVER_INFO]["name"], "squall-server");
    assert_eq!(result["capabilities"]["resources"]["subscribe"], true);
}

#[tokio::test]
async fn what_both_eras_have_is_said_the_same_with_what_the_era_adds() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for (method, params) in [
        ("tools/list", json!({})),
        ("tools/call", json!({ "name": "fast-echo", "arguments": { "message": "x" } })),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({ "uri": "app://static-data" })),
        ("prompts/list", json!({})),
        ("prompts/get", json!({ "name": "greeting", "arguments": { "name": "Ada" } })),
        (
            "completion/complete",
            json!({
                "ref": { "type": "ref/prompt", "name": "greeting" },
                "argument": { "name": "language", "value": "" },
            }),
        ),
    ] {
        let of_session = server.post(request(method, &params)).session(&id).send().await.result();
        let mut result = ask(&server, method, params).send().await.result();
        let fields = result.as_object_mut().expect("an object");
        assert_eq!(fields.remove("resultType"), Some(json!("complete")), "{method}");
        assert!(fields.remove("_meta").expect(method)[SERVER_INFO]["version"].is_string());
        let is_cacheable = method.ends_with("/list") || method == "resources/read";
        let caching = (fields.remove("ttlMs"), fields.remove("cacheScope"));
        assert_eq!(caching.0.is_some_and(|ttl| ttl.is_u64()), is_cacheable, "{method}");
        assert_eq!(caching.1.is_some_and(|scope| scope.is_string()), is_cacheable, "{method}");
        assert_eq!(result, of_session, "{method}");
    }
}

#[tokio::test]
async fn a_request_says_in_its_body_and_its_headers_what_it_is() {
    let server = server().await;
    let whole = || tool(&server, "fast-echo", &json!({ "message": "x" }));
    assert_eq!(whole().send().await.status, StatusCode::OK);
    for (ask, code, word) in [
        (whole().without(&PROTOCOL_VERSION), -32020, "mcp-protocol-version"),
        (whole().header(PROTOCOL_VERSION, "2025-11-25"), -32020, "2025-11-25"),
        (whole().without(&METHOD), -32020, "mcp-method"),
        (whole().header(METHOD, "TOOLS/CALL"), -32020, "TOOLS/CALL"),
        (whole().another(METHOD, "tools/call"), -32020, "more than once"),
        (whole().without(&NAME), -32020, "mcp-name"),
        (whole().header(NAME, "fetch-data"), -32020, "fetch-data"),
        (whole().header(NAME, "=?base64?ZmFzdC1lY2h?="), -32020, "base64"),
    ] {
        ask.send().await.refuses(400, code, word);
    }
    let encoded = whole().header(NAME, "=?base64?ZmFzdC1lY2hv?=").send().await;
    assert_eq!(encoded.tool_text(), "x");

    for (meta, word) in [
        (json!({}), "protocolVersion"),
        (json!({ "io.modelcontextprotocol/protocolVersion": VERSION }), "clientCapabilities"),
        (json!({ "io.modelcontextprotocol/clientCapabilities": {} }), "protocolVersion"),
    ] {
        let body = request("server/discover", &json!({ "_meta": meta }));
        let ask = server.post(body).header(PROTOCOL_VERSION, VERSION);
        ask.header(METHOD, "server/discover").send().await.refuses(400, -32602, word);
    }
    let bare = request("server/discover", &json!({}));
    server.post(bare).header(PROTOCOL_VERSION, VERSION).send().await.refuses(400, -32602, "_meta");
}

#[tokio::test]
async fn another_version_is_refused_with_those_that_are_spoken() {
    let server = server().await;
    let mut params = params_of_client(&json!({}), json!({}));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let ask = server.post(request("tools/list", &params)).header(METHOD, "tools/list");
    let answer = ask.header(PROTOCOL_VERSION, "2099-01-01").send().await;
    answer.refuses(400, -32022, "2099-01-01");
    let data = &answer.message()["error"]["data"];
    assert_eq!(
        (&data["supported"][0], &data["requested"]),
        (&json!(VERSION), &json!("2099-01-01"))
    );
}

#[tokio::test]
async fn what_the_era_has_not_is_not_found() {
    let server = server().await;
    for method in
        ["initialize", "ping", "logging/setLevel", "resources/subscribe", "unknown/method"]
    {
        ask(&server, method, json!({})).send().await.refuses(404, -32601, method);
    }
    for method in [Method::GET, Method::DELETE] {
        let answer = server.ask(method).header(PROTOCOL_VERSION, VERSION).send().await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some("POST")));
    }
    let unknown = ask(&server, "resources/read", json!({ "uri": "app://nothing" })).send().await;
    unknown.refuses(200, -32602, "app://nothing");
    let batch = format!("[{PING}]");
    let answer = server.post(batch).header(PROTOCOL_VERSION, VERSION).send().await;
    answer.refuses(400, -32600, "batch");
}

#[tokio::test]
async fn a_session_header_means_nothing() {
    let server = server().await;
    let echo = tool(&server, "fast-echo", &json!({ "message": "x" })).session("\u{e9} gone");
    let answer = echo.send().await;
    assert_eq!((answer.session(), answer.tool_text().as_str()), (None, "x"));
}

#[tokio::test]
async fn a_client_is_asked_in_the_result_and_comes_back_with_its_answer() {
    let server = server().await;
    let client = json!({ "sampling": {}, "elicitation": {} });
    let call = |more: Value| {
        let mut params = json!({ "name": "request-input", "arguments": {} });
        params.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
        ask_of_client(&server, &client, "tools/call", params).send()
    };
    let asked = call(json!({})).await.result();
    assert_eq!(asked["resultType"], "input_required");
    let (key, request) =
        asked["inputRequests"].as_object().expect("requests").iter().next().expect("one");
    assert_eq!(request["method"], "elicitation/create");
    let elicited = json!({ "action": "accept", "content": { "name": "Ada" } });
    let responses = json!({ key: elicited, "what nobody asked for": 7 });
    let done = call(json!({ "inputResponses": responses })).await.result();
    assert_eq!(done["content"][0]["text"], "The user gave the name Ada.");
    let again = call(json!({ "inputResponses": { "other": elicited } })).await.result();
    assert_eq!(again["resultType"], "input_required", "what is missing is asked for again");
    call(json!({ "inputResponses": { key: 7 } })).await.refuses(200, -32602, key);
    call(json!({ "inputResponses": 7 })).await.refuses(200, -32602, "inputResponses");
}

#[tokio::test]
async fn a_client_is_never_asked_what_it_cannot_answer() {
    let server = server_with(|config| config.fixtures = true).await;
    let answer = tool(&server, "request-sampling", &json!({ "prompt": "x" })).send().await;
    assert!(answer.tool_text().contains("does not support sampling"));
    let answer = tool(&server, "test_input_required_result_sampling", &json!({})).send().await;
    answer.refuses(400, -32021, "sampling");
    let needed = &answer.message()["error"]["data"]["requiredCapabilities"];
    assert_eq!(needed, &json!({ "sampling": {} }));
}

#[tokio::test]
async fn a_state_is_taken_back_unaltered_by_any_server_of_the_same_key_and_for_the_same_request() {
    let with_key = |key: &str| {
        let key = key.to_owned();
        server_with(move |config| {
            config.fixtures = true;
            config.state_key = Some(key);
        })
    };
    let (first, second, stranger) = (with_key("k").await, with_key("k").await, with_key("o").await);
    let client = json!({ "elicitation": {} });
    let call = |server: &TestServer, name: &str, more: Value| {
        let mut params = json!({ "name": name, "arguments": {} });
        params.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
        ask_of_client(server, &client, "tools/call", params).send()
    };
    let name = "test_input_required_result_request_state";
    let asked = call(&first, name, json!({})).await.result();
    let state = asked["requestState"].as_str().expect("a state");
    let confirm = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let back = |state: &str| json!({ "inputResponses": confirm, "requestState": state });
    let done = call(&second, name, back(state)).await.result();
    assert!(done["content"][0]["text"].as_str().expect("text").contains("state-ok"));
    call(&stranger, name, back(state)).await.refuses(200, -32602, "altered");
    call(&second, name, back(&format!("{state}x"))).await.refuses(200, -32602, "altered");
    let other = "test_input_required_result_tampered_state";
    call(&second, other, back(state)).await.refuses(200, -32602, "another request");
}

#[tokio::test]
async fn progress_and_logs_come_on_the_stream_of_an_answer_that_asked_for_them() {
    let server = server().await;
    let call = |meta: Value| {
        let params = json!({ "name": "fetch-data", "arguments": { "delay_ms": 0 }, "_meta": meta });
        ask(&server, "tools/call", params).send()
    };
    let methods = |answer: &Answer| -> Vec<String> {
        let messages = answer.messages();
        messages.iter().filter_map(|one| Some(one["method"].as_str()?.to_owned())).collect()
    };
    assert!(!call(json!({})).await.is_stream());
    let progress = call(json!({ "progressToken": 7 })).await;
    assert_eq!(methods(&progress), ["notifications/progress"; 5]);
    let logged = call(json!({ "io.modelcontextprotocol/logLevel": "info" })).await;
    assert_eq!(methods(&logged), ["notifications/message"]);
    assert_eq!(logged.message()["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call() {
    let server = server_with(|config| config.max_calls = 1).await;
    let client = json!({});
    let params = json!({
        "name": "slow-computation",
        "arguments": { "iterations": 100_000_000 },
        "_meta": { "progressToken": 7 },
    });
    let mut stream = ask_of_client(&server, &client, "tools/call", params).open().await;
    stream.next_message().await.expect("it has begun");
    let busy = tool(&server, "fetch-data", &json!({ "delay_ms": 0 })).send().await;
    busy.refuses(200, -32000, "1 tool calls");
    drop(stream);
    let free = async {
        let call = || tool(&server, "fetch-data", &json!({ "delay_ms": 0 })).send();
        while call().await.message().get("error").is_some() {}
    };
    soon(free).await;
}

#[tokio::test]
async fn a_listener_hears_what_it_asked_for_and_nothing_else() {
    let server = server().await;
    let uri = "app://dynamic-data";
    let filter = json!({
        "promptsListChanged": true,
        "resourceSubscriptions": [uri, "app://nothing"],
        "fromTheFuture": true,
    });
    let listen = ask(&server, "subscriptions/listen", json!({ "notifications": filter }));
    let mut stream = listen.open().await;
    assert_eq!(stream.status, StatusCode::OK);
    let first = stream.next_message().await.expect("the acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let agreed = json!({ "promptsListChanged": true, "resourceSubscriptions": [uri] });
    assert_eq!(first["params"]["notifications"], agreed);
    for (kind, reached) in [
        (json!({ "kind": "tools" }), 0),
        (json!({ "kind": "custom" }), 0),
        (json!({ "kind": "updated", "uri": "app://static-data" }), 0),
        (json!({ "kind": "updated", "uri": uri }), 1),
        (json!({ "kind": "prompts" }), 1),
    ] {
        let text = tool(&server, "trigger-notification", &kind).send().await.tool_text();
        let sent: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(sent["streams"], reached, "{kind}");
    }
    for method in ["notifications/resources/updated", "notifications/prompts/list_changed"] {
        let heard = stream.next_message().await.expect(method);
        assert_eq!(heard["method"], method);
        assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_what_listens_in_order() {
    let mut server = server().await;
    let listen = ask(&server, "subscriptions/listen", json!({ "notifications": {} }));
    let mut stream = listen.open().await;
    stream.next_message().await.expect("the acknowledgement");
    server.ask_to_stop();
    let last = stream.next_message().await.expect("the result");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(stream.next_message().await, None);
}

#[tokio::test]
async fn an_answer_is_a_stream_where_a_client_takes_nothing_else() {
    let server = server().await;
    let echo = tool(&server, "fast-echo", &json!({ "message": "x" })).header(ACCEPT, EVENT_STREAM);
    let answer = echo.send().await;
    assert!(answer.is_stream());
    assert_eq!(answer.tool_text(), "x");
}
