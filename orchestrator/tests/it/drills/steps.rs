//! What a drill can do to replicas that are processes, step by step.

use super::house::{RESTART, as_list, count, house};

/// The restart drill with these steps instead.
fn with_steps(steps: &str) -> String {
    let (head, rest) = RESTART.split_once("      - kill").expect("steps");
    let (_, tail) = rest.split_once("  recovery:").expect("a recovery");
    let steps = as_list(steps);
    format!("{head}{steps}  recovery:{tail}")
}

#[tokio::test]
async fn a_restart_in_order_loses_the_sessions_of_its_replica_and_no_other() {
    let house = house().await;
    let drill = with_steps("restart: { replicas: one, grace: 5s, within: 30s }\nwait: 500ms");
    let report = house.run(&drill, &[]).await.expect(0).report();
    assert_eq!(count(&report, "/sessions/reinitialised"), 10);
    assert_eq!(count(&report, "/sessions/untouched"), 20);
}

#[tokio::test]
async fn a_replica_that_is_stopped_in_order_is_started_again_by_start() {
    let house = house().await;
    let drill =
        with_steps("stop: { replicas: replica-2, grace: 5s }\nwait: 500ms\nstart: { within: 30s }");
    let report = house.run(&drill, &[]).await.expect(0).report();
    assert_eq!(count(&report, "/sessions/reinitialised"), 10);
    assert_eq!(report["faults"][0]["what"], "stop replica-2");
}

#[tokio::test]
async fn a_frozen_replica_keeps_its_sessions_and_only_they_wait() {
    let house = house().await;
    let drill = with_steps("pause: { replicas: one }\nwait: 1s\nunpause: {}")
        .replace("sessions: reinitialise", "sessions: survive");
    let ended = house.run(&drill, &[]).await.expect(0);
    let report = ended.report();
    assert_eq!(count(&report, "/sessions/on_broken"), 10);
    assert_eq!(count(&report, "/sessions/reinitialised"), 0);
    assert_eq!(ended.history().injections.len(), 0);
}

#[tokio::test]
async fn a_replica_that_is_left_frozen_is_taken_down_all_the_same() {
    let house = house().await;
    let drill = with_steps("pause: { replicas: one }\nwait: 500ms")
        .replace("timeout: 30s", "timeout: 1s")
        .replace("sessions: reinitialise", "sessions: survive");
    let ended = house.run(&drill, &[]).await;
    assert_eq!(ended.report()["exit_code"], 1, "its sessions never recovered");
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
}

#[tokio::test]
async fn what_cannot_be_done_to_processes_is_refused_when_it_is_read() {
    let house = house().await;
    for (steps, says) in [
        ("disconnect: {}", "step 1 (`disconnect`)"),
        ("kill: {}\nunpause: { replicas: replica-1 }", "must be paused"),
        ("kill: { replicas: redis }", "world.process.redis"),
        ("restart: { replicas: 4 }", "4 of the replicas must be up"),
    ] {
        let runbook = house.runbook(&with_steps(steps));
        let called = house.call(&["drill", "check", runbook.to_str().expect("text")]).await;
        assert_eq!(called.code(), 2, "{steps}: {}", called.stderr);
        assert!(called.complaint().contains(says), "{}", called.complaint());
    }
}
