//! Faults on the wire: they fire and are counted, or the drill says that it proves nothing.

use super::house::{FAULT, count, finding, house};

#[tokio::test]
async fn a_fault_on_the_wire_fires_is_counted_and_is_over_when_it_is_removed() {
    let house = house().await;
    let ended = house.run(FAULT, &[]).await.expect(0);
    let report = ended.report();
    let hits = count(&report, "/faults/0/hits");
    assert!(hits > 0);
    assert_eq!(ended.history().injections.len() as u64, hits);
    assert_eq!(report["breaches"], serde_json::json!([]), "what a fault does breaks no rule");
    let errors = report["errors"].to_string();
    assert!(errors.contains("HTTP 503"), "{errors}");
    assert_eq!(count(&report, "/sessions/reinitialised"), 0);
}

#[tokio::test]
async fn a_fault_that_never_fires_proves_nothing_and_the_drill_says_so() {
    let house = house().await;
    let drill = FAULT.replace("method: tools/call", "tool: nobody-calls-this");
    let ended = house.run(&drill, &[]).await.expect(3);
    let report = ended.report();
    assert_eq!(report["verdict"], "unknown");
    assert_eq!(count(&report, "/faults/0/hits"), 0);
    assert_eq!(finding(&report, "exercise")["verdict"], "unknown");
    let reason = report["reason"].as_str().expect("words");
    assert!(reason.contains("Fault flaky") && reason.contains("never fired"), "{reason}");
    assert!(ended.stdout.contains("never fired"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_stop_condition_ends_the_drill_and_rolls_back() {
    let house = house().await;
    // Long enough to time the test out, if nothing stops it.
    let drill = FAULT.replace("wait: 1s", "wait: 10m")
        + "stop:\n  - { when: \"operation_failed: rate>0.5\", for: 1s }\n";
    let ended = house.run(&drill, &[]).await.expect(5);
    let report = ended.report();
    assert_eq!(report["verdict"], "stopped");
    let reason = report["reason"].as_str().expect("words");
    assert!(reason.contains("operation_failed: rate>0.5"), "{reason}");
    assert!(count(&report, "/faults/0/hits") > 0);
    let healed = house.call(&["heal"]).await;
    assert!(healed.stdout.contains("nothing to heal"), "{}", healed.stdout);
}

#[tokio::test]
async fn a_baseline_that_is_not_steady_makes_the_drill_unknown() {
    let house = house().await;
    let drill = super::rude::rude(&["--failing", "98"]);
    let report = house.run(&drill, &[]).await;
    let report = report.report();
    assert_eq!(finding(&report, "baseline")["verdict"], "unknown");
    assert_ne!(report["exit_code"], 0);
}
