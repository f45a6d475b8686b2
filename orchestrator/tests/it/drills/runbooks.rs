//! The runbooks as they are shipped, shortened: each holds as it should, and its negative twin, where
//! something is not as the page says, comes out broken.

use std::path::{Path, PathBuf};

use super::house::{Ended, House, count, finding, house, number};
use crate::needs::has_redis;

/// A runbook of the project.
pub(crate) fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks").join(name)
}

/// What makes a runbook short and wide enough for machines that run tests: less load, shorter phases,
/// and no judgement on latency.
pub(crate) const SHORT: [&str; 14] = [
    "--set",
    "load={sessions: 60, rate: 90, timeout: 10s, mix: 'fast-echo=3,fetch-data=1'}",
    "--set",
    "phases.baseline.lasts=4s",
    "--set",
    "phases.recovery.lasts=9s",
    "--set",
    "steady={window: 2s, hold: 3s, success_drop: 0.3, p95_slack: 30s, baseline_success: 0.9}",
    "--set",
    "stop=[]",
    "--set",
    "thresholds={operation_failed: [rate<0.9]}",
    "--seed",
    "7",
];

/// Runs a runbook, shortened, with these arguments on top.
pub(crate) async fn run(house: &House, name: &str, arguments: &[&str]) -> Ended {
    let all: Vec<&str> = SHORT.iter().chain(arguments).copied().collect();
    house.start_file(&page(name), &all).end().await
}

/// Nobody lost a session.
#[track_caller]
pub(crate) fn assert_all_survived(ended: &Ended) {
    let report = ended.report();
    assert_eq!(count(&report, "/sessions/reinitialised"), 0, "{report:#}");
    assert_eq!(count(&report, "/sessions/never_recovered"), 0, "{report:#}");
    assert!(!report["errors"].to_string().contains("HTTP 404"), "{}", report["errors"]);
}

/// Every session that lived on what was broken started anew, after a 404, and nobody else did.
#[track_caller]
pub(crate) fn assert_lost_came_back(ended: &Ended, share: f64) {
    let report = ended.report();
    let lost = count(&report, "/sessions/on_broken");
    assert!(number(&report, "/sessions/broken_share") >= share, "{report:#}");
    assert_eq!(count(&report, "/sessions/reinitialised"), lost, "{report:#}");
    assert_eq!(count(&report, "/sessions/without_need"), 0, "{report:#}");
    assert_eq!(count(&report, "/reinit/total/count"), lost, "{report:#}");
}

/// Requests met 503, at once and not after a timeout, and the sessions knew how long it took.
#[track_caller]
pub(crate) fn assert_was_refused_meanwhile(ended: &Ended) {
    let report = ended.report();
    assert!(number(&report, "/availability/impact") < 0.9, "{report:#}");
    assert!(report["errors"].to_string().contains("HTTP 503"), "{}", report["errors"]);
    assert!(!report["errors"].to_string().contains("timeout"), "{}", report["errors"]);
    assert!(count(&report, "/reinit/outage/count") > 0);
    assert!(number(&report, "/reinit/outage/p50") > 0.0);
}

#[tokio::test]
async fn with_sessions_in_redis_a_replica_dies_and_nobody_gets_404() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let ended = run(&house, "server-restart.md", &["--variant", "redis"]).await.expect(0);
    assert_all_survived(&ended);
    let report = ended.report();
    assert_eq!(report["drill"], "server-restart-redis");
    assert_eq!(
        report["targets"],
        serde_json::json!(["replica-1", "replica-2", "replica-3", "redis"])
    );
    assert!(number(&report, "/sessions/broken_share") >= 0.3);
}

#[tokio::test]
async fn twin_sessions_that_should_survive_their_replica_and_are_in_memory_are_broken() {
    let house = house().await;
    let ended = run(&house, "server-restart.md", &["--set", "expect.sessions=survive"]).await;
    let report = ended.expect(1).report();
    let said = finding(&report, "reinit")["summary"].to_string();
    assert!(said.contains("20 sessions got 404 though sessions were to survive"), "{said}");
}

#[tokio::test]
async fn twin_sessions_that_should_be_lost_with_their_replica_and_are_in_redis_are_broken() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let lost = ["--variant", "redis", "--set", "expect.sessions=reinitialise"];
    let report = run(&house, "server-restart.md", &lost).await.expect(1).report();
    let said = finding(&report, "reinit")["summary"].to_string();
    assert!(said.contains("20 sessions went on as before"), "{said}");
}

#[tokio::test]
async fn redis_is_stopped_for_a_while_and_every_session_survives() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let ended = run(&house, "redis-outage.md", &[]).await.expect(0);
    assert_all_survived(&ended);
    assert_was_refused_meanwhile(&ended);
    assert!(number(&ended.report(), "/sessions/broken_share") > 0.99);
}

#[tokio::test]
async fn redis_is_stopped_and_forgets_and_every_session_starts_anew() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let ended = run(&house, "redis-outage.md", &["--variant", "amnesia"]).await.expect(0);
    assert_was_refused_meanwhile(&ended);
    assert_lost_came_back(&ended, 0.99);
}

#[tokio::test]
async fn twin_a_redis_that_forgets_where_sessions_should_survive_is_broken() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let forgets = ["--set", "world.process.redis.persist=false"];
    let report = run(&house, "redis-outage.md", &forgets).await.expect(1).report();
    let said = finding(&report, "reinit")["summary"].to_string();
    assert!(said.contains("60 sessions got 404 though sessions were to survive"), "{said}");
}

#[tokio::test]
async fn redis_is_flushed_and_every_session_gets_404_and_starts_anew() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let ended = run(&house, "redis-flush.md", &[]).await.expect(0);
    assert_lost_came_back(&ended, 0.99);
    assert_eq!(ended.report()["breaches"], serde_json::json!([]));
}

#[tokio::test]
async fn twin_a_flush_that_sessions_should_survive_is_broken() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    let survive = ["--set", "expect.sessions=survive"];
    let report = run(&house, "redis-flush.md", &survive).await.expect(1).report();
    assert_eq!(finding(&report, "reinit")["verdict"], "broken");
}

#[tokio::test]
async fn twin_a_redis_that_nobody_uses_proves_nothing() {
    if !has_redis() {
        return;
    }
    let house = house().await;
    // The variable is not one that the servers know.
    let unused = ["--set", "world.process.environment={NOBODY_READS: '{redis}'}"];
    for page in ["redis-flush.md", "redis-outage.md"] {
        let report = run(&house, page, &unused).await.report();
        assert_ne!(report["exit_code"], 0, "{page}");
        let said = finding(&report, "steps")["summary"].to_string();
        assert!(said.contains("nobody is connected to redis"), "{said}");
        assert_eq!(finding(&report, "exercise")["verdict"], "unknown");
    }
}

#[tokio::test]
async fn the_network_gets_slow_and_nobody_loses_a_session_over_it() {
    let house = house().await;
    let ended = run(&house, "high-latency.md", &[]).await.expect(0);
    assert_all_survived(&ended);
    let report = ended.report();
    let faults = report["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 3);
    assert!(faults.iter().all(|fault| fault["hits"].as_u64() > Some(0)), "{faults:?}");
}

#[tokio::test]
async fn twin_a_network_so_slow_that_everybody_gives_up_is_broken() {
    let house = house().await;
    let slow = [
        "--set",
        "load.timeout=1s",
        "--set",
        "phases.impact.steps.0.inject.effect.latency={delay: 5s}",
        "--set",
        "thresholds={'operation_failed{phase:impact}': [rate<0.25]}",
    ];
    let report = run(&house, "high-latency.md", &slow).await.expect(1).report();
    assert_eq!(finding(&report, "thresholds")["verdict"], "broken");
    assert!(report["errors"].to_string().contains("timeout"), "{}", report["errors"]);
}
