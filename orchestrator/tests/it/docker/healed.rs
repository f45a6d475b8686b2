//! A drill that is killed: `squall heal` puts containers back, and takes stacks down.

use std::time::Duration;

use serde_json::Value;
use squall::shim::tree;
use tokio::time::timeout;

use super::adopted::three_hits;
use super::containers::{Containers, REPLICAS, containers, left_of, seat};
use crate::drills::house::{House, Running, assert_nothing_left, house};
use crate::drills::runbooks::{SHORT, page};
use crate::needs::has_docker;
use crate::support::{DEADLINE, assert_gone};

/// A drill that has stopped one container, paused one and disconnected one.
async fn with_three_hit(house: &House, containers: &Containers) -> Running {
    let mut running = house.start(&three_hits(containers), &["--set", &containers.adopt()]);
    running.until("  wait 10m").await;
    running
}

#[tokio::test]
async fn one_stopped_one_paused_one_disconnected_are_put_back_by_heal_which_says_so() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let mut running = with_three_hit(&house, &containers).await;
    let run = running.run();

    let refused = house.call(&["heal", &run]).await;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    assert!(refused.complaint().contains("alive"), "{}", refused.stderr);
    assert_eq!(containers.state("b"), "paused", "a heal while the drill runs touches nothing");

    running.child.kill().await.expect("killed");
    assert_eq!(REPLICAS.map(|name| containers.state(name)), ["exited", "paused", "running"]);
    assert_eq!(containers.attachment("c"), Value::Null);

    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.code(), 0, "{}", healed.stderr);
    let [a, b, c] = REPLICAS.map(|replica| containers.name(replica));
    let network = containers.network();
    for says in [
        format!("started container {a}"),
        format!("unpaused container {b}"),
        format!("reconnected container {c} to network {network} as c"),
    ] {
        assert!(healed.stdout.contains(&says), "{says} in {}", healed.stdout);
    }
    containers.assert_as_found();
    assert_nothing_left(&run);

    let again = house.call(&["heal"]).await;
    assert_eq!((again.code(), again.stdout.trim()), (0, "nothing to heal"));
}

#[tokio::test]
async fn what_somebody_else_has_put_back_or_removed_is_no_trouble() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let mut running = with_three_hit(&house, &containers).await;
    running.child.kill().await.expect("killed");
    let [a, b, c] = REPLICAS.map(|replica| containers.name(replica));
    super::containers::docker(&["start", &a]);
    super::containers::docker(&["unpause", &b]);
    super::containers::docker(&["rm", "--force", &c]);
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.code(), 0, "{}", healed.stderr);
    for says in [
        format!("container {a} runs already"),
        format!("container {b} is not paused any more"),
        format!("container {c} is gone"),
    ] {
        assert!(healed.stdout.contains(&says), "{says} in {}", healed.stdout);
    }
}

/// Waits until something of the run's stack is there.
async fn until_a_stack_begins(run: &str) {
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let begins = async {
        while left_of(run).is_empty() {
            look.tick().await;
        }
    };
    timeout(DEADLINE, begins).await.expect("a stack in time");
}

/// Kills a drill on a stack of its own at this news, and when there is something of its stack; then
/// heals.
async fn killed_and_healed(house: &House, news: &str) {
    let all: Vec<&str> = SHORT.iter().chain(&["--world", "docker"]).copied().collect();
    let mut running = house.start_file(&page("redis-outage.md"), &all);
    running.until(news).await;
    let run = running.run();
    until_a_stack_begins(&run).await;
    running.child.kill().await.expect("killed");
    assert_gone(tree::strays(&run, None)).await;
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.code(), 0, "{}", healed.stderr);
    assert!(healed.stdout.contains("stack squall-"), "{}", healed.stdout);
    assert_eq!(left_of(&run), "", "{}", healed.stdout);
    let again = house.call(&["heal"]).await;
    assert_eq!(again.stdout.trim(), "nothing to heal");
}

#[tokio::test]
async fn a_stack_of_the_drills_own_is_taken_down_by_heal_whenever_the_drill_was_killed() {
    if !has_docker() {
        return;
    }
    let _seat = seat().await;
    let house = house().await;
    for news in ["run ", "baseline (", "  wait 5s"] {
        killed_and_healed(&house, news).await;
    }
}

#[tokio::test]
async fn a_signal_takes_the_drills_own_stack_down_and_exits_with_5() {
    if !has_docker() {
        return;
    }
    let _seat = seat().await;
    let house = house().await;
    for (signal, news) in
        [(rustix::process::Signal::INT, "run "), (rustix::process::Signal::TERM, "  wait 5s")]
    {
        let all: Vec<&str> = SHORT.iter().chain(&["--world", "docker"]).copied().collect();
        let mut running = house.start_file(&page("redis-outage.md"), &all);
        running.until(news).await;
        let run = running.run();
        running.signal(signal);
        running.end().await.expect(5);
        assert_eq!(left_of(&run), "");
        let healed = house.call(&["heal"]).await;
        assert_eq!(healed.stdout.trim(), "nothing to heal");
    }
}
