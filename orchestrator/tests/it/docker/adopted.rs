//! Containers that run already: drilled, and put back as they were found. Nothing else is touched.

use rustix::process::Signal;
use serde_json::Value;

use super::containers::{Containers, REPLICAS, containers};
use crate::drills::house::{as_list, count, house};
use crate::needs::has_docker;

/// A drill on containers that a test names with `--set`, with these steps.
pub(super) fn drill(steps: &str) -> String {
    let steps = as_list(steps);
    format!(
        r#"
name: adopted
world:
  docker: {{ adopt: {{ containers: [nobody] }} }}
load: {{ sessions: 30, rate: 60, mix: "fast-echo", timeout: 2s }}
phases:
  baseline: {{ lasts: 2s }}
  impact:
    steps:
{steps}  recovery: {{ lasts: 5s }}
steady: {{ window: 2s, hold: 2s, success_drop: 0.6, p95_slack: 30s, baseline_success: 0.5 }}
"#
    )
}

/// Each is hit in another way, and stays so for as long as the drill lives.
pub(super) fn three_hits(containers: &Containers) -> String {
    let [a, b, c] = REPLICAS.map(|replica| containers.name(replica));
    drill(&format!(
        "stop: {{ replicas: {a}, grace: 2s }}\npause: {{ replicas: {b} }}\ndisconnect: {{ replicas: {c} }}\nwait: 10m"
    ))
}

/// The states of a container that must be as they were, but for what the engine counts.
fn found(containers: &Containers, replica: &str) -> (String, Value, Value) {
    let inspected = containers.inspect(replica);
    let attachment = &inspected["NetworkSettings"]["Networks"][&containers.network()];
    (
        inspected["Id"].as_str().expect("an id").to_owned(),
        attachment["Aliases"].clone(),
        attachment["IPAddress"].clone(),
    )
}

#[tokio::test]
async fn everything_that_was_hit_is_as_it_was_found_afterwards() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let before: Vec<_> = REPLICAS.iter().map(|name| found(&containers, name)).collect();
    let [a, b, c] = REPLICAS.map(|replica| containers.name(replica));
    let steps = format!(
        "kill: {{ replicas: {a} }}\npause: {{ replicas: {b} }}\ndisconnect: {{ replicas: {c} }}\nwait: 1s"
    );
    let ended = house.run(&drill(&steps), &["--set", &containers.adopt()]).await;
    let report = ended.report();
    assert_eq!(report["targets"], serde_json::json!([a, b, c]));
    assert!(report["faults"].as_array().expect("faults").iter().all(|fault| fault["hits"] == 1));
    containers.assert_as_found();
    let after: Vec<_> = REPLICAS.iter().map(|name| found(&containers, name)).collect();
    assert_eq!(after, before);
    assert_eq!(containers.state("stranger"), "running");
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal");
}

#[tokio::test]
async fn a_container_that_was_disconnected_answers_again_when_it_is_reconnected() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let name = containers.name("a");
    let network = containers.network();
    let steps = format!(
        "disconnect: {{ replicas: {name}, network: {network} }}\nwait: 1s\nreconnect: {{}}"
    );
    let label = containers.label();
    let by_label = format!("world.docker={{ adopt: {{ label: '{label}' }}, unlabelled: true }}");
    // By that label, the stranger is one of them.
    let ended = house.run(&drill(&steps), &["--set", &by_label]).await.expect(0);
    let report = ended.report();
    assert_eq!(report["targets"].as_array().map(Vec::len), Some(4));
    assert_eq!(count(&report, "/sessions/never_recovered"), 0);
    let events = ended.history().events;
    for says in [format!("{name}: disconnect ({network})"), format!("{name}: connect ({network})")]
    {
        assert!(events.iter().any(|event| event.what == says), "{says} in {events:?}");
    }
    containers.assert_as_found();
}

#[tokio::test]
async fn sigint_and_sigterm_in_the_middle_put_everything_back() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    for signal in [Signal::INT, Signal::TERM] {
        let house = house().await;
        let mut running = house.start(&three_hits(&containers), &["--set", &containers.adopt()]);
        running.until("  wait 10m").await;
        assert_eq!(REPLICAS.map(|name| containers.state(name)), ["exited", "paused", "running"]);
        assert_eq!(containers.attachment("c"), Value::Null);
        running.signal(signal);
        let report = running.end().await.expect(5).report();
        assert_eq!(report["verdict"], "stopped");
        containers.assert_as_found();
    }
}

#[tokio::test]
async fn a_signal_while_a_container_is_just_being_stopped_leaves_it_running() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let name = containers.name("a");
    // A frozen container takes no signal: the stop is under way for its whole grace.
    let drill = drill(&format!("stop: {{ replicas: {name}, grace: 5s }}\nwait: 10m"));
    let mut running = house.start(&drill, &["--set", &containers.adopt()]);
    running.until("  stop ").await;
    running.signal(Signal::INT);
    running.end().await.expect(5);
    containers.assert_as_found();
}
