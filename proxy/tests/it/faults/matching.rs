//! Which traffic a fault acts on, and which of the matches fire.

use super::{Scene, result};
use crate::fixture::{INITIALIZE, Upstream, config, ok, run};
use crate::wire::{call, post};

/// A fault that answers 500.
fn fault(scope: &str, chance: &str) -> String {
    format!(
        r#"{{"id":"f","match":{scope},"chance":{chance},"effect":{{"http-status":{{"status":500}}}}}}"#
    )
}

/// Whether the fault hits this request.
async fn hits(scope: &str, headers: &str, body: &str) -> bool {
    let mut scene = Scene::new(result("{}"), &[&fault(scope, "{}")]).await;
    scene.ask(headers, body).await.status() == 500
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[tokio::test]
async fn a_message_is_matched_by_kind_tool_prompt_and_resource() {
    let prompt = request("prompts/get", r#"{"name":"greeting"}"#);
    let read = request("resources/read", r#"{"uri":"app://static-data"}"#);
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#.to_owned();
    for (scope, body, expected) in [
        (r#"{"tool":"x"}"#, call(1, "x"), true),
        (r#"{"tool":"x"}"#, prompt.clone(), false),
        (r#"{"prompt":"greet*"}"#, prompt.clone(), true),
        (r#"{"prompt":"greet*"}"#, call(1, "greeting"), false),
        (r#"{"resource":"app://*"}"#, read.clone(), true),
        (r#"{"resource":"app://*"}"#, prompt, false),
        (r#"{"kind":"request"}"#, read, true),
        (r#"{"kind":"response"}"#, answer.clone(), true),
        (r#"{"kind":"request"}"#, answer, false),
        (r#"{"kind":"notification"}"#, notification, true),
    ] {
        assert_eq!(hits(scope, "", &body).await, expected, "{scope} {body}");
    }
}

#[tokio::test]
async fn an_exchange_is_matched_by_era_path_and_header() {
    let stateless = "MCP-Protocol-Version: 2026-07-28\r\n";
    for (scope, headers, expected) in [
        (r#"{"era":"session"}"#, "", true),
        (r#"{"era":"stateless"}"#, "", false),
        (r#"{"era":"stateless"}"#, stateless, true),
        (r#"{"path":"/mcp"}"#, "", true),
        (r#"{"path":"/other*"}"#, "", false),
        (r#"{"header":{"x-team":"blue"}}"#, "X-Team: blue\r\n", true),
        (r#"{"header":{"x-team":"blue"}}"#, "X-Team: red\r\n", false),
    ] {
        assert_eq!(hits(scope, headers, &call(1, "x")).await, expected, "{scope} {headers}");
    }
}

#[tokio::test]
async fn a_client_is_matched_by_what_it_says_of_itself() {
    let info = r#"{"name":"inspector","version":"1.2"}"#;
    let initialize = request("initialize", &format!(r#"{{"clientInfo":{info}}}"#));
    let meta = format!(r#"{{"name":"x","_meta":{{"io.modelcontextprotocol/clientInfo":{info}}}}}"#);
    for (scope, expected) in [
        (r#"{"client":"insp*"}"#, true),
        (r#"{"client":"insp*","client_version":"1.*"}"#, true),
        (r#"{"client":"other"}"#, false),
        (r#"{"client_version":"2.*"}"#, false),
    ] {
        assert_eq!(hits(scope, "", &initialize).await, expected, "{scope}");
        assert_eq!(hits(scope, "", &request("tools/call", &meta)).await, expected, "{scope}");
    }
    assert!(!hits(r#"{"client":"*"}"#, "", &call(1, "x")).await, "it says nothing");
}

#[tokio::test]
async fn a_request_opts_in_by_header() {
    for (header, expected) in [
        ("", false),
        ("X-Squall-Inject: other\r\n", false),
        ("X-Squall-Inject: other, f\r\n", true),
        ("X-Squall-Inject: *\r\n", true),
    ] {
        assert_eq!(hits(r#"{"opt_in":true}"#, header, &call(1, "x")).await, expected, "{header}");
    }
}

#[tokio::test]
async fn an_exchange_is_matched_by_its_upstream() {
    let one = Upstream::answering(ok("one")).await;
    let two = Upstream::answering(ok("two")).await;
    let proxy = run(config(&[one.address, two.address]));
    for direction in ["request", "response"] {
        let scope = format!(r#"{{"upstream":"{}","direction":"{direction}"}}"#, two.address);
        proxy.add(&fault(&scope, "{}")).await;
        let mut client = proxy.connect().await;
        let mut answers = Vec::new();
        for _ in 0..4 {
            client.send(post("", &call(1, "x"))).await;
            answers.push(client.message().await.expect("an answer").status());
        }
        answers.sort_unstable();
        assert_eq!(answers, [200, 200, 500, 500], "{direction}");
        proxy.admin.clear().await.expect("the proxy runs");
    }
}

#[tokio::test]
async fn counts_choose_among_the_matches() {
    for (chance, expected) in [
        (r#"{"nth":2}"#, [200, 500, 200, 200]),
        (r#"{"every":2}"#, [200, 500, 200, 500]),
        (r#"{"first":3}"#, [500, 500, 500, 200]),
        (r#"{"max_hits":1}"#, [500, 200, 200, 200]),
        (r#"{"start_after":"1h"}"#, [200, 200, 200, 200]),
    ] {
        let mut scene = Scene::new(result("{}"), &[&fault("{}", chance)]).await;
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(scene.call().await.status());
        }
        assert_eq!(answers, expected, "{chance}");
    }
}

#[tokio::test]
async fn a_fault_that_holds_as_many_as_it_may_lets_the_others_pass() {
    let held = r#"{"id":"f","chance":{"max_concurrent":1},"effect":{"drop":{}}}"#;
    let mut scene = Scene::new(result("{}"), &[held]).await;
    scene.client.send(post("", &call(1, "x"))).await;
    scene.proxy.hit("f").await;
    let mut other = scene.proxy.connect().await;
    other.send(post("", INITIALIZE)).await;
    assert_eq!(other.message().await.expect("an answer").status(), 200);
    drop(scene.client);
    scene.client = scene.proxy.connect().await;
    // The proxy sees that the client has gone when it sees it.
    while scene.proxy.hits("f").await < 2 {
        other.send(post("", INITIALIZE)).await;
        let seen = tokio::select! {
            answer = other.message() => answer.is_some(),
            () = scene.proxy.hit_again("f", 2) => true,
        };
        assert!(seen);
    }
}

#[tokio::test]
async fn a_fault_that_is_switched_off_does_nothing() {
    let off = r#"{"id":"f","enabled":false,"effect":{"http-status":{"status":500}}}"#;
    let mut scene = Scene::new(result("{}"), &[off]).await;
    assert_eq!(scene.call().await.status(), 200);
    assert_eq!(scene.proxy.hits("f").await, 0);
}
