//! The tools: listed in pages, called with valid arguments, out of each other's way.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::StatusCode;
use http::header::ACCEPT;
use serde_json::{Value, json};
use squall_model::mcp::header::{EVENT_STREAM, JSON};

use crate::world::*;

const NAMES: [&str; 7] = [
    "fast-echo",
    "slow-computation",
    "fetch-data",
    "trigger-notification",
    "request-sampling",
    "request-input",
    "get-server-stats",
];

#[tokio::test]
async fn the_tools_are_listed_with_their_schemas() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let without_params = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let result = server.post(without_params).session(&id).send().await.result();
    let tools = result["tools"].as_array().expect("tools");
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    assert_eq!(names, NAMES);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object");
        let changes_something = tool["name"] == "trigger-notification";
        assert_eq!(tool["annotations"]["readOnlyHint"], !changes_something);
        assert_ne!(tool["annotations"]["destructiveHint"], true);
    }
    assert!(result.get("nextCursor").is_none());
}

#[tokio::test]
async fn the_pages_of_the_list_put_together_are_the_list() {
    let server = server_with(|config| config.page_size = NonZeroUsize::MIN).await;
    let id = server.session("2025-11-25").await;
    let (mut names, mut params) = (Vec::new(), json!({}));
    loop {
        let ask = server.post(request("tools/list", &params)).session(&id);
        let result = ask.send().await.result();
        names.push(result["tools"][0]["name"].clone());
        let Some(cursor) = result.get("nextCursor") else {
            break;
        };
        params = json!({ "cursor": cursor });
    }
    assert_eq!(names, NAMES);
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_invalid() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for cursor in [json!("nonsense"), json!(7), json!("after-7")] {
        let body = request("tools/list", &json!({ "cursor": cursor }));
        server.post(body).session(&id).send().await.refuses(200, -32602, "");
    }
}

#[tokio::test]
async fn fast_echo_says_back_what_it_was_told() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for message in ["", "hello", "\u{0}\n\"\u{1f980}", &"x".repeat(100_000)] {
        let body = call("fast-echo", &json!({ "message": message }));
        for accept in [JSON, EVENT_STREAM] {
            let ask = server.post(body.clone()).session(&id).header(ACCEPT, accept);
            assert_eq!(ask.send().await.tool_text(), message);
        }
    }
}

#[tokio::test]
async fn an_answer_in_json_says_how_long_it_is() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let body = call("fast-echo", &json!({ "message": "x" }));
    let answer = server.post(body).session(&id).send().await;
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[tokio::test]
async fn bad_calls_are_invalid_params() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for (params, word) in [
        (json!({ "name": "nonsense" }), "fast-echo"),
        (json!({}), "name"),
        (json!([1]), "tools/call"),
        (json!({ "name": "fast-echo" }), "message"),
        (json!({ "name": "fast-echo", "arguments": { "message": 1 } }), "string"),
        (json!({ "name": "fetch-data", "arguments": { "delay_ms": 10_001 } }), "10000"),
        (json!({ "name": "slow-computation", "arguments": { "iterations": 0 } }), "1 to"),
        (json!({ "name": "get-server-stats", "arguments": { "x": 0 } }), "unknown field"),
    ] {
        let ask = server.post(request("tools/call", &params)).session(&id);
        ask.send().await.refuses(200, -32602, word);
    }
}

#[tokio::test]
async fn a_wrong_argument_is_refused_with_its_path() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for (tool, arguments, path) in [
        ("fast-echo", json!({}), "message"),
        ("fast-echo", json!({ "message": 1 }), "message"),
        ("fast-echo", json!({ "message": "x", "extra": 1 }), "extra"),
        ("fast-echo", json!(["x"]), "."),
        ("fetch-data", json!({ "delay_ms": 10_001 }), "delay_ms"),
        ("trigger-notification", json!({ "kind": "tools", "data": {} }), "data"),
        ("trigger-notification", json!({ "kind": "updated" }), "uri"),
        ("trigger-notification", json!({ "kind": "nonsense" }), "kind"),
        ("request-input", json!({ "mode": "voice" }), "mode"),
    ] {
        let answer = server.post(call(tool, &arguments)).session(&id).send().await;
        let error = answer.refuses(200, -32602, &format!("at `{path}`"));
        assert_eq!(error["data"], json!({ "path": path }));
    }
}

#[tokio::test]
async fn trace_context_and_unknown_meta_are_taken_and_ignored() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    let params = json!({
        "name": "fast-echo",
        "arguments": { "message": "x" },
        "_meta": { "traceparent": trace, "example.com/x": [1] },
    });
    let ask = server.post(request("tools/call", &params)).session(&id);
    let ask = ask.header(squall_model::mcp::header::TRACEPARENT, trace);
    assert_eq!(ask.send().await.tool_text(), "x");
}

#[tokio::test]
async fn slow_computation_and_fetch_data_do_their_work() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let body = call("slow-computation", &json!({ "iterations": 7 }));
    let text = server.post(body).session(&id).send().await.tool_text();
    assert!(text.ends_with("after 7 iterations"), "{text}");

    let begun = tokio::time::Instant::now();
    let body = call("fetch-data", &json!({ "delay_ms": 50, "url": "label" }));
    let text = server.post(body).session(&id).send().await.tool_text();
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let data: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&data["url"], &data["delay_ms"]), (&json!("label"), &json!(50)));
}

#[tokio::test]
async fn progress_is_told_on_the_stream_of_the_answer() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    for (tool, arguments) in [
        ("fetch-data", json!({ "delay_ms": 5 })),
        ("slow-computation", json!({ "iterations": 10 })),
    ] {
        let body = call_with_progress(tool, &arguments);
        let answer = server.post(body.clone()).session(&id).send().await;
        assert!(answer.is_stream());
        let messages = answer.messages();
        let (result, news) = messages.split_last().expect("messages");
        assert_eq!((&result["id"], &result["result"]["isError"]), (&json!(1), &json!(false)));
        let progress = news.iter().filter(|one| one["method"] != "notifications/message");
        let told = progress.map(|one| {
            assert_eq!(one["method"], "notifications/progress");
            assert_eq!(one["params"]["progressToken"], "p");
            one["params"]["progress"].as_u64().expect("a number")
        });
        let told: Vec<_> = told.collect();
        assert!(!told.is_empty() && told.is_sorted_by(|a, b| a < b), "{told:?}");

        let ask = server.post(body).session(&id).header(ACCEPT, JSON);
        assert!(!ask.send().await.is_stream());
    }
}

#[tokio::test]
async fn slow_computations_do_not_hold_up_an_echo() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let body = call_with_progress("slow-computation", &json!({ "iterations": 100_000_000 }));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut streams = Vec::new();
    for _ in 0..8 * cores {
        streams.push(server.post(body.clone()).session(&id).open().await);
    }
    streams[0].next_message().await.expect("the first has begun");
    let echo = call("fast-echo", &json!({ "message": "x" }));
    assert_eq!(server.post(echo).session(&id).send().await.tool_text(), "x");
    // The last of the queue has yet to say a word: the echo did not wait for it.
    let last = streams.last_mut().expect("many");
    let silence = tokio::time::timeout(Duration::ZERO, last.next_message()).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn one_call_too_many_is_put_off() {
    let server = server_with(|config| config.max_calls = 1).await;
    let id = server.session("2025-11-25").await;
    let body = call("fetch-data", &json!({ "delay_ms": 10_000 }));
    let ask = server.post(body).session(&id).header(ACCEPT, EVENT_STREAM);
    let _long = ask.open().await;
    let body = call("fetch-data", &json!({ "delay_ms": 0 }));
    server.post(body).session(&id).send().await.refuses(200, -32000, "1 tool calls");
    let echo = call("fast-echo", &json!({ "message": "x" }));
    assert_eq!(server.post(echo).session(&id).send().await.tool_text(), "x");
}

#[tokio::test]
async fn the_stats_count_what_happened() {
    let server = server_with(|config| config.id = "replica-7".to_owned()).await;
    let id = server.session("2025-11-25").await;
    let gone = server.session("2025-11-25").await;
    server.ask(http::Method::DELETE).session(&gone).send().await;
    let refused = server.post(PING).session(&gone).send().await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let echo = call("fast-echo", &json!({ "message": "x" }));
    server.post(echo).session(&id).send().await;
    let ask = server.ask(http::Method::GET).session(&id).header(ACCEPT, EVENT_STREAM);
    let _stream = ask.open().await;

    let answer = server.post(call("get-server-stats", &json!({}))).session(&id).send().await;
    let stats: Value = serde_json::from_str(&answer.tool_text()).expect("JSON");
    assert_eq!(stats["server_id"], "replica-7");
    assert_eq!(stats["requests"], 7);
    assert_eq!(stats["errors"], 1);
    assert_eq!(stats["sessions"], json!({ "active": 1, "created": 2, "closed": 1 }));
    assert_eq!(stats["open_streams"], 1);
    assert_eq!(stats["tool_calls"]["fast-echo"], 1);
    assert_eq!(stats["tool_calls"]["get-server-stats"], 1);
    assert!(stats["uptime_seconds"].is_f64());
    assert_eq!(stats["memory"]["rss_bytes"].is_u64(), cfg!(target_os = "linux"));
}

/// What the schemas say is what is taken, and what is given back.
#[tokio::test]
async fn the_schemas_are_true() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let result = server.post(request("tools/list", &json!({}))).session(&id).send().await.result();
    let schemas = |name: &str, which: &str| {
        let tools = result["tools"].as_array().expect("tools");
        let tool = tools.iter().find(|tool| tool["name"] == name).expect(name);
        jsonschema::draft202012::new(&tool[which]).expect("a schema")
    };
    for (name, arguments) in [
        ("fast-echo", json!({ "message": "x" })),
        ("fast-echo", json!({})),
        ("fast-echo", json!({ "message": 7 })),
        ("fast-echo", json!({ "message": "x", "more": 1 })),
        ("fast-echo", json!([])),
        ("slow-computation", json!({ "iterations": 1 })),
        ("slow-computation", json!({ "iterations": 0 })),
        ("fetch-data", json!({ "delay_ms": 1, "url": "x" })),
        ("fetch-data", json!({ "delay_ms": -1 })),
        ("fetch-data", json!({ "delay_ms": 10_001 })),
        ("trigger-notification", json!({ "kind": "custom", "data": {} })),
        ("trigger-notification", json!({ "kind": "nothing" })),
        ("trigger-notification", json!({ "kind": "updated", "uri": "app://static-data" })),
        ("request-sampling", json!({ "prompt": "x", "max_tokens": 1 })),
        ("request-sampling", json!({ "prompt": "x", "max_tokens": 0 })),
        ("request-input", json!({ "mode": "url", "message": "x" })),
        ("request-input", json!({ "mode": "fax" })),
        ("get-server-stats", json!({})),
        ("get-server-stats", json!({ "x": 1 })),
    ] {
        let is_valid = schemas(name, "inputSchema").is_valid(&arguments);
        let answer = server.post(call(name, &arguments)).session(&id).send().await.message();
        assert_eq!(answer.get("result").is_some(), is_valid, "{name} {arguments}: {answer}");
        let Some(structured) = answer["result"].get("structuredContent") else { continue };
        let schema = schemas(name, "outputSchema");
        assert!(schema.is_valid(structured), "{name}: {structured}");
        let text = answer["result"]["content"][0]["text"].as_str().expect("text");
        assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), *structured);
    }
}
