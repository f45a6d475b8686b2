//! Whatever ends a drill, nothing of it is left: signals unwind it, and `heal` follows a SIGKILL.

use rustix::process::Signal;
use squall::shim::tree;

use super::house::{FAULT, assert_nothing_left, house, number};
use super::restart::with_command;
use crate::support::SQUALL;

/// Replicas with a child of their own, which has daemonised.
fn with_grandchildren() -> String {
    let script = format!("(setsid sleep 600 &); exec {SQUALL} server --listen 127.0.0.1:$0");
    with_command(&["sh", "-c", &script, "{port}"])
}

fn with_a_fault_for_long() -> String {
    // A blackhole: the load hangs in it, and so may what waits for the load.
    FAULT
        .replace("http-status: { status: 503 }", "drop: {}")
        .replace("wait: 1s", "wait: 10m")
        .replace("timeout: 30s", "timeout: 10m")
}

/// Ends a drill with SIGKILL at this news; then heals what is left.
async fn killed_and_healed(drill: &str, news: &str) {
    let house = house().await;
    let run = house.killed_at(drill, news).await;
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.code(), 0, "{}", healed.stderr);
    assert!(healed.stdout.contains(&run), "{}", healed.stdout);
    assert_nothing_left(&run);
    let again = house.call(&["heal"]).await;
    assert_eq!((again.code(), again.stdout.trim()), (0, "nothing to heal"), "{}", again.stderr);
    let mut next = house.start(FAULT, &[]);
    next.until("run ").await;
    next.signal(Signal::TERM);
    next.end().await.expect(5);
}

#[tokio::test]
async fn a_drill_that_is_killed_while_it_starts_is_healed() {
    killed_and_healed(&with_grandchildren(), "run ").await;
}

#[tokio::test]
async fn a_drill_that_is_killed_in_its_baseline_is_healed() {
    killed_and_healed(&with_grandchildren(), "baseline (").await;
}

#[tokio::test]
async fn a_drill_that_is_killed_while_a_replica_is_down_is_healed() {
    let drill = with_grandchildren().replace("wait: 500ms", "wait: 10m");
    killed_and_healed(&drill, "  wait 10m").await;
}

#[tokio::test]
async fn a_drill_that_is_killed_while_a_fault_is_on_the_wire_is_healed() {
    killed_and_healed(&with_a_fault_for_long(), "  wait 10m").await;
}

#[tokio::test]
async fn a_drill_that_is_killed_in_its_recovery_is_healed() {
    let drill = with_grandchildren().replace("recovery: { lasts: 6s }", "recovery: { lasts: 10m }");
    killed_and_healed(&drill, "recovery (").await;
}

/// A signal in the middle of a blackhole.
async fn interrupted_by(signal: Signal, name: &str) {
    let house = house().await;
    let mut running = house.start(&with_a_fault_for_long(), &[]);
    running.until("  wait 10m").await;
    running.until_injected().await;
    running.signal(signal);
    let ended = running.end().await.expect(5);
    let report = ended.report();
    assert_eq!(report["verdict"], "stopped");
    assert!(report["reason"].as_str().expect("words").contains(name), "{}", report["reason"]);
    assert!(number(&report, "/fault/to_ms") >= number(&report, "/fault/from_ms"));
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
}

#[tokio::test]
async fn sigint_in_the_middle_of_a_fault_unwinds_and_exits_with_5_and_a_report() {
    interrupted_by(Signal::INT, "SIGINT").await;
}

#[tokio::test]
async fn sigterm_in_the_middle_of_a_fault_unwinds_and_exits_with_5_and_a_report() {
    interrupted_by(Signal::TERM, "SIGTERM").await;
}

#[tokio::test]
async fn a_signal_while_replicas_start_takes_everything_down_and_exits_with_5() {
    let house = house().await;
    // These replicas never become ready.
    let drill = with_command(&["sh", "-c", "(setsid sleep 600 &); exec sleep 600", "{port}"])
        .replace("replicas: 3", "replicas: 3\n    ready_within: 10m");
    let mut running = house.start(&drill, &[]);
    running.until("run ").await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(5);
    assert!(ended.complaint().contains("SIGINT before the first phase"), "{}", ended.stderr);
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
}

#[tokio::test]
async fn a_drill_that_is_alive_is_neither_healed_nor_joined() {
    let house = house().await;
    let mut running = house.start(&with_a_fault_for_long(), &[]);
    running.until("  wait 10m").await;
    let run = running.run();
    let pid = running.child.id().expect("a pid").to_string();

    let healed = house.call(&["heal", &run]).await;
    assert_eq!(healed.code(), 3, "{}", healed.stderr);
    let complaint = healed.complaint();
    assert!(complaint.contains(&run) && complaint.contains(&pid), "{complaint}");
    let healed = house.call(&["heal"]).await;
    assert!(healed.stdout.contains("left alone: ") && healed.stdout.contains(&run));
    assert!(!tree::strays(&run, None).is_empty(), "it still runs");

    let history = running.out().join("history.jsonl");
    let out = history.parent().expect("a folder").to_str().expect("text");
    let before = std::fs::metadata(&history).expect("a history").len();
    let runbook = house.runbook(FAULT);
    let second = ["drill", "run", runbook.to_str().expect("text"), "--out", out];
    let second = house.call(&second).await;
    assert_eq!(second.code(), 3, "{}", second.stderr);
    let complaint = second.complaint();
    assert!(complaint.contains("in use") && complaint.contains(&run), "{complaint}");
    assert!(complaint.contains(&pid), "{complaint}");
    let after = std::fs::metadata(&history).expect("a history").len();
    assert!(after >= before, "the live drill's history was touched: {before} and {after} bytes");

    running.signal(Signal::TERM);
    running.end().await.expect(5);
}
