//! Faults that only a store has: clients dropped, clients kept waiting.

use super::house::{count, finding, house, number};
use crate::needs::has_redis;

/// Three replicas with their sessions in a Redis of the drill's own.
const REDIS: &str = r#"
name: small
world:
  process:
    command: [squall, server, --listen, "127.0.0.1:{port}", --id, "{id}"]
    environment: { SQUALL_REDIS: "{redis}" }
    redis: {}
    replicas: 3
load: { sessions: 30, rate: 60, mix: "fast-echo", timeout: 30s }
phases:
  baseline: { lasts: 2s }
  impact:
    steps:
      - kill-clients: {}
      - wait: 1s
  recovery: { lasts: 6s }
expect: { sessions: survive }
steady: { window: 2s, hold: 2s, success_drop: 0.6, p95_slack: 30s, baseline_success: 0.5 }
"#;

#[tokio::test]
async fn a_redis_that_drops_all_its_clients_costs_nobody_a_session() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let report = house.run(REDIS, &[]).await.expect(0).report();
    assert_eq!(count(&report, "/sessions/on_broken"), 30);
    assert_eq!(count(&report, "/sessions/reinitialised"), 0);
    assert_eq!(report["faults"][0]["hits"], 1);
}

#[tokio::test]
async fn a_redis_that_answers_nobody_for_a_while_is_refused_with_503_and_found_again() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let drill = REDIS
        .replace("kill-clients: {}", "pause-clients: { for: 4s }")
        .replace("wait: 1s", "wait: 4s");
    let report = house.run(&drill, &[]).await.expect(0).report();
    assert!(report["errors"].to_string().contains("HTTP 503"), "{}", report["errors"]);
    assert_eq!(count(&report, "/sessions/survived"), 30);
    assert!(number(&report, "/availability/impact") < 0.9, "{}", report["availability"]);
    assert_eq!(finding(&report, "reinit")["verdict"], "held");
}

#[tokio::test]
async fn a_frozen_redis_is_not_waited_for() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let drill = REDIS
        .replace("kill-clients: {}", "pause: { replicas: redis }")
        .replace("- wait: 1s", "- wait: 4s\n      - unpause: {}");
    let report = house.run(&drill, &[]).await.expect(0).report();
    assert!(report["errors"].to_string().contains("HTTP 503"), "{}", report["errors"]);
    assert!(!report["errors"].to_string().contains("timeout"), "{}", report["errors"]);
}

#[tokio::test]
async fn a_drill_on_a_redis_that_is_not_there_is_refused_when_it_is_read() {
    let house = house().await;
    let drill =
        REDIS.replace("    environment: { SQUALL_REDIS: \"{redis}\" }\n    redis: {}\n", "");
    for drill in [&drill, &drill.replace("kill-clients: {}", "stop: { replicas: redis }")] {
        let runbook = house.runbook(drill);
        let called = house.call(&["drill", "check", runbook.to_str().expect("text")]).await;
        assert_eq!(called.code(), 2, "{}", called.stderr);
        let complaint = called.complaint();
        assert!(
            complaint.contains("step 1") && complaint.contains("world.process.redis"),
            "{complaint}"
        );
    }
}
