//! Containers that run already: drilled, and put back as they were found. Nothing else is touched.

use rustix::process::Signal;
use serde_json::Value;
use squall_model::history::Event;

use super::containers::{Containers, REPLICAS, containers};
use crate::drills::house::{as_list, count, house};
use crate::needs::{IMAGE, REDIS_IMAGE, has_docker};

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

/// A server in a container that takes no notice of SIGTERM, or only after a while.
fn stubborn(containers: &Containers, on_term: &str) -> String {
    let port = squall::world::free_address().expect("a port").port();
    let script = format!(
        "trap '{on_term}' TERM; squall server --listen 0.0.0.0:3000 & while :; do wait; done"
    );
    let more = format!("--publish 127.0.0.1:{port}:3000 --entrypoint sh");
    containers.run_as("stubborn", &more, &[IMAGE, "-c", &script])
}

#[tokio::test]
async fn a_signal_while_a_container_is_just_being_stopped_leaves_it_running() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let name = stubborn(&containers, ":");
    let drill = drill(&format!("stop: {{ replicas: {name}, grace: 4s }}\nwait: 10m"));
    let adopt = format!("world.docker={{ adopt: {{ containers: [{name}] }} }}");
    let mut running = house.start(&drill, &["--set", &adopt]);
    running.until("  stop ").await;
    running.signal(Signal::INT);
    let ended = running.end().await.expect(5);
    let stopped = ended.history().events.iter().any(|event| event.what.starts_with("stop "));
    assert!(!stopped, "the step was still under way");
    assert_eq!(containers.state("stubborn"), "running");
}

#[tokio::test]
async fn heal_waits_for_an_end_that_is_still_under_way() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let name = stubborn(&containers, "sleep 3; exit");
    let drill = drill(&format!("kill: {{ replicas: {name}, signal: TERM }}\nwait: 10m"));
    let adopt = format!("world.docker={{ adopt: {{ containers: [{name}] }} }}");
    let mut running = house.start(&drill, &["--set", &adopt]);
    running.until("  kill ").await;
    running.until_recorded("kill (signal 15)").await;
    running.child.kill().await.expect("killed");
    assert_eq!(containers.state("stubborn"), "running", "its end takes three seconds");
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.code(), 0, "{}", healed.stderr);
    assert!(healed.stdout.contains(&format!("started container {name}")), "{}", healed.stdout);
    assert_eq!(containers.state("stubborn"), "running");
}

#[tokio::test]
async fn a_restart_policy_does_not_bring_back_what_a_drill_has_killed() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let port = squall::world::free_address().expect("a port").port();
    // An end by another signal than this is one that the policy takes for not meant.
    let more = format!("--restart always --stop-signal SIGQUIT --publish 127.0.0.1:{port}:3000");
    let name = containers.another("revenant", &more);
    let steps = "kill: { replicas: all, signal: TERM }\nwait: 2s\nstart: { within: 30s }";
    let adopt = format!("world.docker={{ adopt: {{ containers: [{name}] }} }}");
    let ended = house.run(&drill(steps), &["--set", &adopt]).await.expect(0);
    let events = ended.history().events;
    let step = |name: &str| {
        let is_it = |event: &&Event| event.kind == "step" && event.what.starts_with(name);
        events.iter().find(is_it).expect("a step").clone()
    };
    // The engine may have begun to bring it back before it could be told not to.
    let (down, up) = (step("kill").until.expect("an end"), step("start").at);
    let is_start = |event: &&Event| event.what == format!("{name}: start");
    let meanwhile = events.iter().filter(is_start).find(|event| (down..up).contains(&event.at));
    assert_eq!(meanwhile, None);
}

#[tokio::test]
async fn a_redis_with_a_password_is_adopted_and_hit_in_every_way() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let [redis_port, port] =
        [(); 2].map(|()| squall::world::free_address().expect("a port").port());
    let more = format!("--publish 127.0.0.1:{redis_port}:6379");
    let redis = "redis-server --protected-mode no --appendonly yes --requirepass secret";
    let redis: Vec<&str> = std::iter::once(REDIS_IMAGE).chain(redis.split(' ')).collect();
    let redis = containers.run_as("store", &more, &redis);
    let more =
        format!("--publish 127.0.0.1:{port}:3000 --env SQUALL_REDIS=redis://:secret@store:6379/");
    let server = containers.another("shared", &more);
    let steps = "pause: { replicas: redis }\nwait: 2s\nunpause: {}\nwait: 3s\nkill-clients: {}\nwait: 2s\nrestart: { replicas: redis, grace: 5s, within: 20s }\nwait: 3s\npause-clients: { for: 1s }\nwait: 3s\nstop: { replicas: redis, grace: 5s }\nwait: 1s";
    let drill = drill(steps).replace("lasts: 5s", "lasts: 6s") + "expect: { sessions: survive }\n";
    let url = format!("redis://:secret@127.0.0.1:{redis_port}/");
    let adopt = format!(
        "world.docker={{ adopt: {{ containers: [{server}] }}, redis: {redis}, redis_url: '{url}' }}"
    );
    let ended = house.run(&drill, &["--set", &adopt]).await;
    let report = ended.report();
    let faults = report["faults"].as_array().expect("faults");
    assert!(faults.iter().all(|fault| fault["hits"] == 1), "{faults:#?}\n{}", ended.stdout);
    assert!(report["errors"].to_string().contains("HTTP 503"), "{}", report["errors"]);
    assert!(!report["errors"].to_string().contains("404"), "{}", report["errors"]);
    assert_eq!(containers.state("store"), "running", "it was left stopped");
    for name in ["report.json", "report.html", "history.jsonl"] {
        let text = std::fs::read_to_string(ended.out.join(name)).expect("a file");
        assert!(!text.contains("secret"), "the password is in {name}");
    }
}
