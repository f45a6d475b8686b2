//! The runbooks on the Compose stack: up, drilled, judged, and taken down without a trace.

use std::path::Path;

use super::containers::{left_of, seat};
use crate::drills::house::{Ended, House, count, finding, house, number};
use crate::drills::runbooks::{
    assert_all_survived, assert_lost_came_back, assert_was_refused_meanwhile, run,
};
use crate::needs::has_docker;

/// Runs a runbook on a stack of its own, and sees that nothing of it is left.
async fn on_containers(page: &str, arguments: &[&str], code: i32) -> (Ended, House) {
    let _seat = seat().await;
    let house = house().await;
    let arguments: Vec<&str> = ["--world", "docker"].iter().chain(arguments).copied().collect();
    let ended = run(&house, page, &arguments).await.expect(code);
    let report = ended.report();
    assert_eq!(left_of(report["run"].as_str().expect("a run")), "");
    assert_eq!(report["world"], "docker");
    for name in ["report.html", "report.json", "logs/compose.log", "logs/server-1.log"] {
        assert!(ended.out.join(name).exists(), "{name}");
    }
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
    keep_report(&ended);
    (ended, house)
}

/// Leaves the report where it can be read after the tests: `target/tmp/reports/`.
fn keep_report(ended: &Ended) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
    std::fs::create_dir_all(&folder).expect("a folder");
    let report = ended.report();
    let name = format!("{}-{}", report["drill"], report["verdict"]).replace('"', "");
    for kind in ["html", "json"] {
        let to = folder.join(format!("{name}.{kind}"));
        std::fs::copy(ended.out.join(format!("report.{kind}")), &to).expect("copied");
        eprintln!("report: {}", to.display());
    }
}

#[tokio::test]
async fn without_redis_the_sessions_of_the_killed_container_start_anew_and_the_others_notice_nothing()
 {
    if !has_docker() {
        return;
    }
    let (ended, _house) = on_containers("server-restart.md", &[], 0).await;
    assert_lost_came_back(&ended, 0.3);
    assert_eq!(count(&ended.report(), "/sessions/untouched"), 40);
}

#[tokio::test]
async fn with_redis_a_killed_container_costs_no_session() {
    if !has_docker() {
        return;
    }
    let (ended, _house) = on_containers("server-restart.md", &["--variant", "redis"], 0).await;
    assert_all_survived(&ended);
    // Behind nginx, every session meets every server.
    assert!(number(&ended.report(), "/sessions/broken_share") > 0.99);
}

#[tokio::test]
async fn twin_sessions_that_should_survive_their_container_and_are_in_memory_are_broken() {
    if !has_docker() {
        return;
    }
    let survive = ["--set", "expect.sessions=survive"];
    let (ended, _house) = on_containers("server-restart.md", &survive, 1).await;
    let report = ended.report();
    let said = finding(&report, "reinit")["summary"].to_string();
    assert!(said.contains("20 sessions got 404 though sessions were to survive"), "{said}");
}

#[tokio::test]
async fn the_redis_container_is_stopped_for_a_while_and_every_session_survives() {
    if !has_docker() {
        return;
    }
    let (ended, _house) = on_containers("redis-outage.md", &[], 0).await;
    assert_all_survived(&ended);
    assert_was_refused_meanwhile(&ended);
}

#[tokio::test]
async fn twin_a_redis_container_that_forgets_where_sessions_should_survive_is_broken() {
    if !has_docker() {
        return;
    }
    let forgets = ["--set", "world.docker.environment={SQUALL_REDIS_APPENDONLY: 'no'}"];
    let (ended, _house) = on_containers("redis-outage.md", &forgets, 1).await;
    let report = ended.report();
    let said = finding(&report, "reinit")["summary"].to_string();
    assert!(said.contains("60 sessions got 404 though sessions were to survive"), "{said}");
}

#[tokio::test]
async fn the_redis_container_is_flushed_and_every_session_gets_404_and_starts_anew() {
    if !has_docker() {
        return;
    }
    let (ended, _house) = on_containers("redis-flush.md", &[], 0).await;
    assert_lost_came_back(&ended, 0.99);
    assert_eq!(ended.report()["breaches"], serde_json::json!([]));
}

#[tokio::test]
async fn the_network_to_the_containers_gets_slow_and_nobody_loses_a_session_over_it() {
    if !has_docker() {
        return;
    }
    let (ended, _house) = on_containers("high-latency.md", &[], 0).await;
    assert_all_survived(&ended);
}
