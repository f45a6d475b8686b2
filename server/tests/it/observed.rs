//! What a server tells of itself: metrics, and journals of what really happened.

use serde_json::{Value, json};

use crate::world::*;

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn every_call_that_was_executed_is_in_the_journal_with_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.jsonl");
    let path = file.clone();
    let server = server_with(move |config| config.journal = Some(path)).await;
    let id = server.session("2025-11-25").await;
    let trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    let params = json!({
        "name": "fast-echo",
        "arguments": { "message": "x" },
        "_meta": { "traceparent": trace },
    });
    server.post(request("tools/call", &params)).session(&id).send().await.tool_text();
    let refused = call("fast-echo", &json!({}));
    server.post(refused).session(&id).send().await.refuses(200, -32602, "message");
    let failing = json!({ "kind": "tools", "to": "session" });
    server.tool(&id, "trigger-notification", &failing).await;

    let executions = lines(&server.admin("/journal/executions").await);
    let told: Vec<_> = executions.iter().map(|one| (&one["tool"], &one["outcome"])).collect();
    assert_eq!(
        told,
        [(&json!("fast-echo"), &json!("ok")), (&json!("trigger-notification"), &json!("ok"))],
        "what was refused for its arguments was not executed"
    );
    assert_eq!(executions[0]["intent"], "0123456789abcdef0123456789abcdef");
    assert_eq!((&executions[0]["session"], &executions[0]["sequence"]), (&json!(id), &json!(1)));
    assert!(executions[0]["started_ms"].as_u64() <= executions[0]["ended_ms"].as_u64());

    let publications = lines(&server.admin("/journal/publications").await);
    assert_eq!(publications[0]["topic"], "notifications/tools/list_changed");
    assert_eq!((&publications[0]["sequence"], &publications[0]["streams"]), (&json!(1), &json!(0)));

    let written = std::fs::read_to_string(&file).expect("a file");
    let kinds = written.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line.as_object().expect("an object").keys().next().expect("a kind").clone()
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["execution", "publication", "execution"]);
}

#[tokio::test]
async fn a_journal_that_is_full_takes_no_more_and_what_it_lacks_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal");
    std::fs::write(&file, "x".repeat(100)).expect("written");
    let server = server_with(|config| {
        config.journal = Some(file.clone());
        config.journal_limit = 400;
    })
    .await;
    let id = server.session("2025-11-25").await;
    for _ in 0..3 {
        let echo = call("fast-echo", &json!({ "message": "x" }));
        server.post(echo).session(&id).send().await.tool_text();
    }
    let written = std::fs::read_to_string(&file).expect("a file");
    assert_eq!(written.lines().count(), 1, "one call of some 180 bytes fits: {written}");
    assert!(written.len() < 400 && written.ends_with("}\n"));
    let text = server.probe("/metrics").await.text();
    assert!(text.contains("squall_server_journal_lost_total 2"), "{text}");
    assert_eq!(
        lines(&server.admin("/journal/executions").await).len(),
        3,
        "in memory all are kept"
    );
}

#[tokio::test]
async fn the_metrics_count_and_measure() {
    let server = server().await;
    let id = server.session("2025-11-25").await;
    let _stream = server.stream(&id).await;
    let echo = call("fast-echo", &json!({ "message": "x" }));
    server.post(echo).session(&id).send().await.tool_text();
    let read = request("resources/read", &json!({ "uri": "app://static-data" }));
    server.post(read).session(&id).send().await.result();
    server.tool(&id, "trigger-notification", &json!({ "kind": "tools" })).await;
    for answer in [server.probe("/metrics").await, server.admin("/metrics").await] {
        let text = answer.text();
        for line in [
            "squall_server_sessions_created_total 1",
            "squall_server_sessions_active 1",
            "squall_server_streams_open 1",
            "squall_server_resource_reads_total 1",
            "squall_server_notifications_sent_total 1",
            "squall_server_tool_calls_total{tool=\"fast-echo\"} 1",
            "squall_server_tool_call_duration_seconds_count{tool=\"fast-echo\"} 1",
            "squall_server_request_duration_seconds_count{method=\"tools/call\"} 2",
            "squall_server_notification_latency_seconds_count 1",
            "squall_server_store_up 1",
            "squall_server_store_info{kind=\"memory\",on_failure=\"none\"} 1",
            "squall_server_store_mode{mode=\"up\"} 1",
            "squall_server_store_mode{mode=\"refuse\"} 0",
            "squall_server_redis_connections 0",
        ] {
            assert!(text.lines().any(|one| one == line), "no `{line}` in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let descriptions: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let mut once = descriptions.clone();
        once.dedup();
        assert_eq!(descriptions, once, "each metric is described once");
    }
}

#[tokio::test]
async fn the_admin_listener_has_nothing_else() {
    let server = server().await;
    server.admin("/mcp").await.refuses(404, -32000, "/journal/executions");
}
