//! The engine's own events, at the journalled times.

use squall_model::history::Event;

use super::adopted::drill;
use super::containers::{containers, seat};
use crate::drills::house::{house, number};
use crate::drills::runbooks::run;
use crate::needs::has_docker;

/// What the engine says lies between the beginning and the end of the step that brought it about.
#[track_caller]
fn assert_seen_within(events: &[Event], step: &str, seen: &str) {
    let step = events.iter().find(|event| event.kind == "step" && event.what.starts_with(step));
    let step = step.unwrap_or_else(|| panic!("no step in {events:#?}"));
    let is_it = |event: &&Event| event.kind == "engine" && event.what.starts_with(seen);
    let at = events.iter().filter(is_it).map(|event| event.at);
    let until = step.until.expect("an end");
    assert!(
        at.clone().any(|at| step.at <= at && at <= until),
        "{seen} at {:?}, the step from {:?} to {until:?}",
        at.collect::<Vec<_>>(),
        step.at,
    );
}

#[tokio::test]
async fn a_kill_and_a_restart_are_seen_by_the_engine_within_their_steps() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let (a, b) = (containers.name("a"), containers.name("b"));
    let steps =
        format!("kill: {{ replicas: {a} }}\nrestart: {{ replicas: {b}, grace: 2s }}\nstart: {{}}");
    let ended = house.run(&drill(&steps), &["--set", &containers.adopt()]).await.expect(0);
    let events = ended.history().events;
    for (step, seen) in [
        (format!("kill {a}"), format!("{a}: kill (signal 9)")),
        (format!("kill {a}"), format!("{a}: die (exit code 137)")),
        (format!("restart {b}"), format!("{b}: kill (signal 15)")),
        (format!("restart {b}"), format!("{b}: restart")),
        ("start what is down".to_owned(), format!("{a}: start")),
    ] {
        assert_seen_within(&events, &step, &seen);
    }
    let report = ended.report();
    for fault in 0..2 {
        let after = number(&report, &format!("/faults/{fault}/seen_after_ms"));
        assert!(after >= 0.0, "{after}");
    }
}

#[tokio::test]
async fn a_stop_of_redis_is_seen_by_the_engine_within_its_step() {
    if !has_docker() {
        return;
    }
    let _seat = seat().await;
    let house = house().await;
    let ended = run(&house, "redis-outage.md", &["--world", "docker"]).await.expect(0);
    let events = ended.history().events;
    assert_seen_within(&events, "stop redis", "redis: die (exit code 0)");
    assert_seen_within(&events, "stop redis", "redis: stop");
    assert_seen_within(&events, "start redis", "redis: start");
}
