//! Effects of the stateless era (2026-07-28).

use serde_json::json;

use super::{Scene, events, result};
use crate::wire::call;

const HEADERS: &str =
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: x\r\n";

#[tokio::test]
async fn mirror_header_is_out_of_step_with_the_body() {
    for (header, value, expected) in [
        ("Mcp-Method", r#","value":"tools/list""#, vec!["tools/list"]),
        ("Mcp-Name", r#","value":"another""#, vec!["another"]),
        ("Mcp-Name", "", vec![]),
        ("Mcp-Param-Region", r#","value":"north""#, vec!["north"]),
    ] {
        let fault =
            format!(r#"{{"id":"f","effect":{{"mirror-header":{{"header":"{header}"{value}}}}}}}"#);
        let mut scene = Scene::new(result("{}"), &[&fault]).await;
        let headers = format!("{HEADERS}Mcp-Param-Region: south\r\n");
        scene.ask(&headers, &call(1, "x")).await;
        let request = scene.upstream.request().await;
        assert_eq!(request.all(header), expected, "{header}");
        assert_eq!(request.text(), call(1, "x"));
    }
}

#[tokio::test]
async fn unsupported_version_is_the_error_that_the_specification_asks_for() {
    let fault = r#"{"id":"f","effect":{"unsupported-version":{"supported":["2025-11-25"]}}}"#;
    let mut scene = Scene::new(result("{}"), &[fault]).await;
    let answer = scene.ask(HEADERS, &call(7, "x")).await;
    let expected = json!({
        "jsonrpc": "2.0",
        "id": 7,
        "error": {
            "code": -32022,
            "message": "Unsupported protocol version",
            "data": { "supported": ["2025-11-25"], "requested": "2026-07-28" },
        },
    });
    assert_eq!((answer.status(), answer.json()), (400, expected));
    assert_eq!(scene.upstream.unseen().await, 0);
    let other = HEADERS.replace("2026-07-28", "2027-01-01");
    let asked = &scene.ask(&other, &call(8, "x")).await.json()["error"]["data"]["requested"];
    assert_eq!(asked, "2027-01-01");
}

const ACKNOWLEDGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"notifications":{"toolsListChanged":true}}}"#;
const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// What a client gets that listens.
async fn listen(how: &str) -> Vec<serde_json::Value> {
    let fault = format!(r#"{{"id":"f","effect":{{"acknowledge":{how}}}}}"#);
    let stream = format!("data: {ACKNOWLEDGED}\n\ndata: {CHANGED}\n\n");
    let mut scene = Scene::new(events(&stream), &[&fault]).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}"#;
    let answer = scene.ask(HEADERS, body).await;
    assert_eq!(scene.proxy.hits("f").await, 1);
    let lines = answer.text().lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn an_acknowledgement_is_late_and_nothing_overtakes_it() {
    let messages = listen(r#"{"how":"late","delay":"20ms"}"#).await;
    let methods: Vec<_> = messages.iter().map(|message| message["method"].clone()).collect();
    let expected = ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"];
    assert_eq!(methods, expected);
}

#[tokio::test]
async fn an_acknowledgement_never_comes_and_what_is_behind_it_does() {
    let messages = listen(r#"{"how":"never"}"#).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn an_acknowledgement_names_another_subscription() {
    let messages = listen(r#"{"how":"wrong-id"}"#).await;
    let id = &messages[0]["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_ne!(id, &json!(1));
    assert_eq!(messages[0]["params"]["notifications"], json!({ "toolsListChanged": true }));
}

#[tokio::test]
async fn an_acknowledgement_agrees_to_nothing() {
    let messages = listen(r#"{"how":"shrunk"}"#).await;
    assert_eq!(messages[0]["params"]["notifications"], json!({}));
}

fn question(state: &str) -> String {
    result(&format!(r#"{{"resultType":"input_required","requestState":"{state}"}}"#))
}

#[tokio::test]
async fn request_state_comes_back_altered() {
    let fault = r#"{"id":"f","effect":{"request-state":{}}}"#;
    let mut scene = Scene::new(question("sealed"), &[fault]).await;
    let state = scene.ask(HEADERS, &call(1, "x")).await.json()["result"]["requestState"].clone();
    assert_eq!(state, "Aealed");
}

/// What a client gets, call by call, from a server that answers so.
async fn conversation(how: &str, answers: &'static [&str]) -> Vec<serde_json::Value> {
    let said = std::sync::atomic::AtomicUsize::new(0);
    let next = move || said.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let upstream = crate::fixture::Upstream::with(move |_| result(answers[next()])).await;
    let proxy = crate::fixture::run(crate::fixture::config(&[upstream.address]));
    proxy.add(&format!(r#"{{"id":"f","effect":{{"request-state":{{"how":"{how}"}}}}}}"#)).await;
    let mut client = proxy.connect().await;
    let mut results = Vec::new();
    for id in 0..answers.len() {
        client.send(crate::wire::post(HEADERS, &call(id as u32, "x"))).await;
        results.push(client.message().await.expect("an answer").json()["result"].clone());
    }
    results
}

#[tokio::test]
async fn request_state_is_replayed() {
    let answers = &[
        r#"{"resultType":"input_required","requestState":"one"}"#,
        r#"{"resultType":"input_required","requestState":"two"}"#,
    ];
    let results = conversation("replay", answers).await;
    let states: Vec<_> = results.iter().map(|result| result["requestState"].clone()).collect();
    assert_eq!(states, ["one", "one"]);
}

#[tokio::test]
async fn request_state_is_asked_for_ever() {
    let answers = &[
        r#"{"resultType":"input_required","requestState":"one"}"#,
        r#"{"resultType":"complete"}"#,
        r#"{"resultType":"complete"}"#,
    ];
    for result in conversation("endless", answers).await {
        assert_eq!(result["resultType"], "input_required");
    }
}

#[tokio::test]
async fn cache_hints_are_false_where_they_belong_and_nowhere_else() {
    let fault = r#"{"id":"f","effect":{"cache-hints":{"ttl_ms":-5,"cache_scope":"public"}}}"#;
    let hints = r#"{"ttlMs":0,"cacheScope":"private"}"#;
    let mut scene = Scene::new(result(hints), &[fault]).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let altered = scene.ask(HEADERS, list).await.json()["result"].clone();
    assert_eq!(altered, json!({ "ttlMs": -5, "cacheScope": "public" }));
    let call = scene.ask(HEADERS, &call(1, "x")).await.json()["result"].clone();
    assert_eq!(call, json!({ "ttlMs": 0, "cacheScope": "private" }));
}

#[tokio::test]
async fn result_type_is_one_that_nobody_knows() {
    let fault = r#"{"id":"f","effect":{"result-type":{}}}"#;
    let mut scene = Scene::new(result(r#"{"resultType":"complete"}"#), &[fault]).await;
    let answer = scene.ask(HEADERS, &call(1, "x")).await.json();
    assert_eq!(answer["result"]["resultType"], "squall-unknown");
}
