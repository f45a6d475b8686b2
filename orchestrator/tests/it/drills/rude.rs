//! Servers that misbehave are seen through: no error text, no wrong status, no silence passes.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::house::{count, finding, house};
use super::restart::with_command;
use crate::support::DEADLINE;

/// The server that misbehaves on request. `cargo test` builds it beside this test.
pub(crate) fn rude_server() -> PathBuf {
    let own = std::env::current_exe().expect("our own path");
    let profile = own.ancestors().nth(2).expect("target/<profile>/deps");
    let path = profile.join("examples/rude_server");
    assert!(path.exists(), "{} is missing: cargo build -p squall --examples", path.display());
    path
}

/// The restart drill with one replica that misbehaves in this way.
pub(super) fn rude(manners: &[&str]) -> String {
    let server = rude_server();
    let mut words = vec![server.to_str().expect("text"), "--listen", "127.0.0.1:{port}"];
    words.extend(manners);
    with_command(&words).replace("replicas: 3", "replicas: 1")
}

/// The rude server by itself, and its URL.
async fn serving(manners: &[&str]) -> (Child, String) {
    let mut child = Command::new(rude_server())
        .args(manners)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a server");
    let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.expect("in time").expect("text");
    (child, format!("http://{}/mcp", line.expect("an address")))
}

async fn restarted_with(unknown: &str) {
    let house = house().await;
    let ended = house.run(&rude(&["--unknown", unknown]), &[]).await.expect(1);
    let report = ended.report();
    assert_eq!(finding(&report, "conformance")["verdict"], "broken");
    let breach = &report["breaches"][0];
    assert_eq!(breach["what"], format!("answered {unknown} where 404 is due"));
    assert!(breach["source"].to_string().contains("Session Management"), "{breach}");
    assert!(count(breach, "/count") >= 30, "{breach}");
    assert_eq!(count(&report, "/sessions/never_recovered"), 30);
    assert!(ended.stdout.contains("broke the specification"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_server_that_answers_500_where_404_is_due_breaks_the_specification() {
    restarted_with("500").await;
}

#[tokio::test]
async fn a_restarted_server_that_answers_400_where_404_is_due_breaks_the_specification() {
    restarted_with("400").await;
}

#[tokio::test]
async fn clients_that_cannot_initialise_again_are_never_recovered() {
    let house = house().await;
    let marker = house.path("marker");
    let drill = rude(&["--dead-if", marker.to_str().expect("text")]);
    let report = house.run(&drill, &[]).await.expect(1).report();
    assert_eq!(count(&report, "/sessions/never_recovered"), 30);
    assert_eq!(count(&report, "/sessions/reinitialised"), 0);
    assert_eq!(finding(&report, "reinit")["verdict"], "broken");
    let retries = count(&report, "/operations/initialize/failed");
    assert!(retries >= 30, "each tried: {retries}");
}

#[tokio::test]
async fn a_server_that_minds_the_specification_gets_what_it_asks_for_and_passes() {
    let house = house().await;
    let report = house.run(&rude(&[]), &[]).await.expect(0).report();
    assert_eq!(count(&report, "/sessions/reinitialised"), 30);
}

/// A short load against the rude server. Gives the exit code and the summary.
async fn load(manners: &[&str]) -> (i32, Value) {
    let house = house().await;
    let (_server, url) = serving(manners).await;
    let run = ["load", "run", &url, "--sessions", "5", "--rate", "100", "-d", "2s", "--json"];
    let called = house.call(&run).await;
    let summary = serde_json::from_str(&called.stdout);
    (called.code(), summary.unwrap_or_else(|error| panic!("{error}: {}", called.stderr)))
}

#[tokio::test]
async fn a_load_sends_the_accept_header_that_a_strict_server_insists_on() {
    let (code, summary) = load(&[]).await;
    assert_eq!((code, count(&summary, "/totals/failed")), (0, 0), "{summary:#}");
    assert!(count(&summary, "/totals/ok") > 0);
}

#[tokio::test]
async fn an_error_text_is_not_a_pass() {
    let (code, summary) = load(&["--error-text"]).await;
    assert_eq!((code, count(&summary, "/totals/ok")), (1, 0), "{summary:#}");
    assert!(count(&summary, "/errors/tool error") > 0);
}

#[tokio::test]
async fn a_load_whose_requests_fail_at_98_in_100_does_not_exit_with_0() {
    let (code, summary) = load(&["--failing", "98"]).await;
    assert_eq!(code, 1, "{summary:#}");
    assert!(10 * count(&summary, "/totals/failed") > 9 * count(&summary, "/totals/operations"));
    assert!(count(&summary, "/errors/HTTP 500") > 0);
}
