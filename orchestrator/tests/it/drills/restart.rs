//! A replica dies under load and is started again: who notices, and how each session comes back.

use serde_json::Value;
use squall_model::history::Cause;

use super::house::{House, RESTART, count, house, number};

const HOPS: [&str; 5] = [
    "last_success_to_404",
    "status_404_to_initialize",
    "initialize_to_ready",
    "ready_to_first_success",
    "total",
];

/// Every session that lived on what was killed got a 404, took the whole way, and is accounted for.
#[track_caller]
fn assert_all_came_back(report: &Value) {
    let lost = count(report, "/sessions/on_broken");
    assert!(lost > 0, "{report:#}");
    assert_eq!(count(report, "/sessions/reinitialised"), lost, "{report:#}");
    assert_eq!(count(report, "/sessions/never_recovered"), 0);
    assert!(number(report, "/sessions/broken_share") >= 0.3);
    let fates = ["untouched", "survived", "reinitialised", "never_recovered"];
    let fates: u64 = fates.iter().map(|fate| count(report, &format!("/sessions/{fate}"))).sum();
    assert_eq!(fates, count(report, "/sessions/total"));
    for hop in HOPS {
        for percentile in ["p50", "p95", "p99", "max"] {
            let value = number(report, &format!("/reinit/{hop}/{percentile}"));
            assert!(value >= 0.0, "{hop} {percentile}");
        }
    }
    assert_eq!(report["paths"].as_array().map(|paths| paths.len() as u64), Some(lost));
    for moment in ["first_error_ms", "first_success_ms", "recovered_ms"] {
        assert!(number(report, &format!("/recovery/{moment}")) >= 0.0);
    }
}

#[tokio::test]
async fn one_of_three_replicas_is_killed_under_load_and_every_session_comes_back() {
    let house = house().await;
    let ended = house.run(RESTART, &["--seed", "7"]).await.expect(0);
    let report = ended.report();
    assert_all_came_back(&report);
    assert_eq!(count(&report, "/sessions/total"), 30);
    assert_eq!(count(&report, "/sessions/untouched"), 20);
    assert_eq!(report["breaches"], serde_json::json!([]));
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["verdict"], "held");
    assert_eq!(report["seed"], 7);
    let errors = &report["errors"];
    assert!(errors.to_string().contains("HTTP 404"), "{errors}");
    for name in ["report.html", "report.json", "history.jsonl", "proxy.jsonl", "logs"] {
        let path = ended.out.join(name);
        assert!(path.exists(), "{name}");
        assert!(ended.stdout.contains(path.to_str().expect("text")), "{}", ended.stdout);
    }
    let page = std::fs::read_to_string(ended.out.join("report.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("src=\"http"), "self-contained");
}

#[tokio::test]
async fn where_all_replicas_are_killed_every_session_gets_404_and_not_400_and_starts_anew() {
    let house = house().await;
    let all = ["--set", "phases.impact.steps.0.kill.replicas=all"];
    let ended = house.run(RESTART, &all).await.expect(0);
    let report = ended.report();
    assert_all_came_back(&report);
    assert_eq!(count(&report, "/sessions/reinitialised"), 30);
    assert!(number(&report, "/sessions/broken_share") > 0.99);
    let history = ended.history();
    let causes = history.operations.values().filter_map(|operation| operation.outcome.cause());
    let is_status = |cause: &&Cause| matches!(cause, Cause::Http(_));
    let statuses: Vec<_> = causes.filter(is_status).collect();
    assert!(statuses.len() >= 30, "{statuses:?}");
    assert!(statuses.iter().all(|status| **status == Cause::Http(404)), "{statuses:?}");
}

#[tokio::test]
async fn a_server_that_never_comes_back_is_broken_and_the_lost_sessions_are_named() {
    let house = house().await;
    let drill = RESTART
        .replace("replicas: one", "replicas: all")
        .replace("      - start: { within: 30s }\n", "");
    let ended = house.run(&drill, &[]).await.expect(1);
    let report = ended.report();
    assert_eq!(report["verdict"], "broken");
    assert_eq!(count(&report, "/sessions/never_recovered"), 30);
    let lost = report["never_recovered"].as_array().expect("a list");
    let clients: Vec<_> = lost.iter().filter_map(|lost| lost["client"].as_u64()).collect();
    assert_eq!(clients, (1..=30).collect::<Vec<_>>());
    assert!(lost.iter().all(|lost| lost["session"].is_string() && lost["home"].is_string()));
    assert!(ended.stdout.contains("1 (on replica-"), "{}", ended.stdout);
    assert!(report["recovery"]["recovered_ms"].is_null());
}

#[tokio::test]
async fn a_replica_that_cannot_be_started_again_is_broken_and_says_why() {
    let house = house().await;
    let lives = house.path("lives");
    std::fs::create_dir(&lives).expect("a folder");
    let script = format!(
        "mkdir {}/$1 && exec {} server --listen 127.0.0.1:$0; echo no second life >&2; exit 1",
        lives.display(),
        crate::support::SQUALL,
    );
    let drill = with_command(&["sh", "-c", &script, "{port}", "{id}"]);
    let ended = house.run(&drill, &[]).await.expect(1);
    let report = ended.report();
    let steps = super::house::finding(&report, "steps");
    assert_eq!(steps["verdict"], "broken");
    let summary = steps["summary"].as_str().expect("words");
    assert!(summary.contains("step 3") && summary.contains("no second life"), "{summary}");
}

#[tokio::test]
async fn a_second_run_into_the_same_folder_counts_its_own_injections_only() {
    let house = house().await;
    let fires = super::house::FAULT;
    let ended = house.run(fires, &[]).await.expect(0);
    let out = ended.out.to_str().expect("text");
    let runbook = house.runbook(&fires.replace("tools/call }", "nobody/calls }"));
    let runbook = runbook.to_str().expect("text");
    let again = house.call(&["drill", "run", runbook, "--out", out]).await;
    assert_eq!(again.code(), 3, "{}", again.stdout);
    assert_eq!(ended.report()["faults"][0]["hits"], 0);
}

#[tokio::test]
async fn json_prints_the_report_and_nothing_else() {
    let house = house().await;
    let ended = house.run(RESTART, &["--json"]).await.expect(0);
    let report = std::fs::read_to_string(ended.out.join("report.json")).expect("a report");
    assert_eq!(ended.stdout, report);
}

#[tokio::test]
async fn a_plan_touches_nothing_and_names_the_victims_that_the_run_then_hits() {
    let house = house().await;
    let planned = plan(&house, "11").await;
    assert!(!house.path("state").exists() && !house.path("squall-out").exists());
    let others = [plan(&house, "12").await, plan(&house, "13").await, plan(&house, "14").await];
    assert!(others.iter().any(|other| *other != planned), "another seed, another victim");
    let ended = house.run(RESTART, &["--seed", "11"]).await.expect(0);
    assert!(ended.stderr.contains(&planned), "{planned} in {}", ended.stderr);
    let hit = ended.report()["faults"][0]["what"].to_string();
    assert!(hit.contains(&planned), "{planned} in {hit}");
}

/// The victim that a plan names.
async fn plan(house: &House, seed: &str) -> String {
    let runbook = house.runbook(RESTART);
    let called =
        house.call(&["drill", "plan", runbook.to_str().expect("text"), "--seed", seed]).await;
    assert_eq!(called.code(), 0, "{}", called.stderr);
    let line = called.stdout.lines().find(|line| line.contains("kill one replica"));
    let (_, victim) = line.expect("a kill").split_once('(').expect("a victim");
    victim.trim_end_matches(')').to_owned()
}

/// The drill with other replicas.
pub(super) fn with_command(words: &[&str]) -> String {
    let ours = r#"[squall, server, --listen, "127.0.0.1:{port}", --id, "{id}"]"#;
    let theirs = serde_json::to_string(words).expect("JSON");
    assert!(RESTART.contains(ours));
    RESTART.replace(ours, &theirs)
}
