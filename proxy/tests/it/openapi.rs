//! The document of the admin API, held against what the handlers do.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use squall_model::fault::Fault;
use squall_proxy::Config;

use crate::admin::ask;
use crate::fixture::{self, INITIALIZE, Running, Upstream, run, session};
use crate::wire::post;

/// One call of each kind: method, path in the document, path, body.
const CALLS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/healthz", "/healthz", ""),
    ("GET", "/readyz", "/readyz", ""),
    ("GET", "/openapi.json", "/openapi.json", ""),
    ("POST", "/faults", "/faults", r#"{"effect":{"latency":{"delay":"1s"}},"lease":"1h"}"#),
    ("PUT", "/faults", "/faults", r#"[{"id":"a","effect":{"drop":{}},"lease":"1h"}]"#),
    ("GET", "/faults", "/faults", ""),
    ("GET", "/faults/{id}", "/faults/a", ""),
    ("PUT", "/faults/{id}", "/faults/a", r#"{"effect":{"drop":{}},"lease":"1h"}"#),
    ("PATCH", "/faults/{id}", "/faults/a", r#"{"enabled":false}"#),
    ("POST", "/faults/{id}/lease", "/faults/a/lease", r#"{"lease":"2h"}"#),
    ("DELETE", "/faults/{id}", "/faults/a", ""),
    ("DELETE", "/faults", "/faults", ""),
    ("GET", "/schema/fault", "/schema/fault", ""),
    ("GET", "/sessions", "/sessions?limit=1", ""),
    ("GET", "/sessions/{id}", "/sessions/s", ""),
    ("GET", "/stats", "/stats", ""),
    ("GET", "/metrics", "/metrics", ""),
    ("POST", "/routes", "/routes", r#"{"name":"r","listen":"127.0.0.1:0","upstream":"a:1"}"#),
    ("GET", "/routes", "/routes", ""),
    ("GET", "/routes/{name}", "/routes/r", ""),
    ("PATCH", "/routes/{name}", "/routes/r", r#"{"enabled":false}"#),
    ("DELETE", "/routes/{name}", "/routes/r", ""),
    ("GET", "/upstreams", "/upstreams", ""),
    ("PATCH", "/upstreams/{number}", "/upstreams/1", r#"{"draining":true}"#),
    ("GET", "/version", "/version", ""),
    ("POST", "/populate", "/populate", r#"[{"name":"p","listen":"127.0.0.1:0","upstream":"a:1"}]"#),
    ("POST", "/proxies", "/proxies", r#"{"name":"q","listen":"127.0.0.1:0","upstream":"a:1"}"#),
    ("GET", "/proxies", "/proxies", ""),
    ("GET", "/proxies/{proxy}", "/proxies/q", ""),
    ("POST", "/proxies/{proxy}", "/proxies/q", r#"{"enabled":true}"#),
    ("PATCH", "/proxies/{proxy}", "/proxies/q", r#"{"enabled":false}"#),
    (
        "POST",
        "/proxies/{proxy}/toxics",
        "/proxies/q/toxics",
        r#"{"name":"t","type":"latency","attributes":{"latency":5}}"#,
    ),
    ("GET", "/proxies/{proxy}/toxics", "/proxies/q/toxics", ""),
    ("GET", "/proxies/{proxy}/toxics/{toxic}", "/proxies/q/toxics/t", ""),
    ("POST", "/proxies/{proxy}/toxics/{toxic}", "/proxies/q/toxics/t", r#"{"toxicity":0.5}"#),
    ("PATCH", "/proxies/{proxy}/toxics/{toxic}", "/proxies/q/toxics/t", r#"{"toxicity":0.5}"#),
    ("DELETE", "/proxies/{proxy}/toxics/{toxic}", "/proxies/q/toxics/t", ""),
    ("DELETE", "/proxies/{proxy}", "/proxies/q", ""),
    ("POST", "/reset", "/reset", ""),
];

async fn proxy() -> Running {
    let upstream = Upstream::answering(session("s")).await;
    let proxy = run(fixture::config(&[upstream.address]));
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    client.message().await.expect("an answer");
    proxy
}

/// Holds a value against a schema of the document.
fn assert_fits(document: &Value, schema: &Value, value: &Value, what: &str) {
    if schema == true {
        return; // anything fits
    }
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
}

#[tokio::test]
async fn every_call_does_what_the_document_says() {
    let proxy = proxy().await;
    let document = squall_proxy::openapi();
    for (method, template, path, body) in CALLS {
        let what = format!("{method} {template}");
        let said = &document["paths"][template][method.to_lowercase()];
        assert!(said["summary"].is_string(), "{what} is not in the document");
        if !body.is_empty() {
            let content = said["requestBody"]["content"].as_object().expect("a body");
            let schema = &content.values().next().expect("a type")["schema"];
            assert_fits(&document, schema, &serde_json::from_str(body).expect("JSON"), &what);
        }
        let answer = ask(&proxy, method, path, "", body).await;
        let done = &said["responses"][answer.status().to_string()];
        assert!(done.is_object(), "{what}: {} {}", answer.status(), answer.text());
        let Some(content) = done["content"].as_object() else {
            assert_eq!(answer.body, b"", "{what}");
            continue;
        };
        let (media, content) = content.iter().next().expect("a type");
        let is = answer.header("content-type").unwrap_or_default();
        assert!(is.starts_with(media.as_str()), "{what}: {is}");
        if media == "application/json" {
            assert_fits(&document, &content["schema"], &answer.json(), &what);
        }
    }
}

#[tokio::test]
async fn a_call_that_is_refused_is_refused_as_the_document_says() {
    let proxy = proxy().await;
    let document = squall_proxy::openapi();
    let schema = json!({ "$ref": "#/components/schemas/Refusal" });
    for (method, path) in
        [("GET", "/faults/none"), ("POST", "/faults"), ("GET", "/nothing"), ("PUT", "/routes")]
    {
        let answer = ask(&proxy, method, path, "", "").await;
        assert!(answer.status() >= 400);
        assert_fits(&document, &schema, &answer.json(), path);
    }
}

#[test]
fn every_call_of_the_document_is_tried_here() {
    let document = squall_proxy::openapi();
    let paths = document["paths"].as_object().expect("paths");
    let said: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, calls)| {
            calls.as_object().into_iter().flatten().map(move |(m, _)| (m, path))
        })
        .map(|(method, path)| (method.to_uppercase(), path.clone()))
        // It never ends: see `watch`.
        .filter(|(_, path)| path != "/events")
        .collect();
    let tried = CALLS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(said, tried.collect());
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_that_is_printed() {
    let proxy = proxy().await;
    let served = ask(&proxy, "GET", "/openapi.json", "", "").await.json();
    assert_eq!(served, squall_proxy::openapi());
}

#[test]
fn every_effect_of_the_document_is_one_that_a_fault_may_have() {
    let document = squall_proxy::openapi();
    let fault = json!({ "$ref": "#/components/schemas/Fault" });
    for name in squall_model::fault::EFFECT_NAMES {
        let text = format!(r#"{{"id":"f","effect":{{"{name}":{{}}}}}}"#);
        // Those that need fields are tried elsewhere.
        if let Ok(read) = serde_json::from_str::<Fault>(&text) {
            let value = serde_json::to_value(read).expect("JSON");
            assert_fits(&document, &fault, &value, name);
        }
    }
}

#[tokio::test]
async fn it_is_ready_as_long_as_an_upstream_can_be_reached() {
    let (gone, _) = fixture::by_hand().await;
    let nobody = std::net::TcpListener::bind(fixture::any()).expect("a port");
    let closed = nobody.local_addr().expect("an address");
    drop(nobody);
    let proxy = run(fixture::config(&[closed]));
    assert_eq!(ask(&proxy, "GET", "/readyz", "", "").await.status(), 200);
    let mut client = proxy.connect().await;
    client.send(post("", INITIALIZE)).await;
    assert_eq!(client.message().await.expect("an answer").status(), 502);
    assert_eq!(ask(&proxy, "GET", "/readyz", "", "").await.status(), 503);
    let routes_only = run(Config { upstreams: Vec::new(), ..fixture::config(&[gone]) });
    assert_eq!(ask(&routes_only, "GET", "/readyz", "", "").await.status(), 200);
}
