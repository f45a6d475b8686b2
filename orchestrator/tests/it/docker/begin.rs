//! What cannot begin on containers: one clear line, the documented exit code, and nothing touched.

use super::adopted::drill;
use super::containers::{containers, docker, left_of, seat};
use crate::drills::house::{Called, House, house};
use crate::needs::has_docker;

/// A drill on a stack of its own, from this Compose file beside it.
fn own(compose: &str) -> String {
    let adopt = "docker: { adopt: { containers: [nobody] } }";
    let drill = drill("kill: {}\nwait: 1s");
    assert!(drill.contains(adopt));
    drill.replace(
        adopt,
        &format!("docker: {{ compose: {compose}, replicas: [web], ready_within: 8s }}"),
    )
}

/// Runs a drill that does not begin, and leaves nothing running and nothing to heal.
async fn refused(house: &House, drill: &str, arguments: &[&str], code: i32) -> String {
    let ended = house.run(drill, arguments).await.expect(code);
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout.trim(), "nothing to heal", "{}", healed.stdout);
    if let Some(run) = ended.stderr.lines().find_map(|line| line.strip_prefix("run ")) {
        assert_eq!(left_of(run.split(',').next().expect("an id")), "");
    }
    ended.complaint().to_owned()
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named() {
    let house = house().await;
    for (host, says) in [
        ("unix:///nowhere/docker.sock", "unix:///nowhere/docker.sock"),
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9"),
        ("tcp://10.0.0.7:2375", "another machine"),
        ("ssh://somebody@somewhere", "unix:///PATH or tcp://HOST:PORT"),
    ] {
        let runbook = house.runbook(&drill("kill: {}\nwait: 1s"));
        let mut command = house.squall(["drill", "run", runbook.to_str().expect("text")]);
        let output = command.env("DOCKER_HOST", host).output().await.expect("an answer");
        let called = Called {
            status: output.status,
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        };
        assert_eq!(called.code(), 3, "{}", called.stderr);
        assert!(called.complaint().contains(says), "{}", called.stderr);
    }
}

#[tokio::test]
async fn a_container_without_the_label_an_empty_selection_and_a_missing_one_are_refused_untouched()
{
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let drill = drill("kill: { replicas: one }\nwait: 1s");
    let (a, stranger, label) =
        (containers.name("a"), containers.name("stranger"), containers.label());
    let adopt = |what: &str| format!("world.docker={{ adopt: {what} }}");
    for (adopted, says) in [
        (adopt(&format!("{{ containers: [{stranger}] }}")), "squall.target=true"),
        (adopt(&format!("{{ label: '{label}' }}")), "squall.target=true"),
        (adopt(&format!("{{ containers: [{a}] }}, redis: {stranger}")), "squall.target=true"),
        (adopt(&format!("{{ containers: [{a}, {a}] }}")), "selected twice"),
        (adopt("{ label: squall.test=nobody-has-it }"), "no container is selected"),
        (adopt("{ containers: [nobody-is-called-so] }"), "nobody-is-called-so"),
    ] {
        let complaint = refused(&house, &drill, &["--set", &adopted], 3).await;
        assert!(complaint.contains(says), "{complaint}");
    }
    containers.assert_as_found();
    assert_eq!(containers.state("stranger"), "running");
}

#[tokio::test]
async fn more_at_once_than_the_cap_is_refused_untouched() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let names = ["a", "b", "c"].map(|replica| containers.name(replica)).join(", ");
    let by_name = format!("world.docker={{ adopt: {{ containers: [{names}] }} }}");
    let label = containers.label();
    let by_label = format!("world.docker={{ adopt: {{ label: '{label}' }}, unlabelled: true }}");
    for adopted in [by_name, by_label] {
        for steps in ["kill: { replicas: all }", "kill: {}\npause: {}"] {
            let complaint = refused(&house, &drill(steps), &["--set", &adopted], 2).await;
            assert!(complaint.contains("1 at most may be"), "{complaint}");
        }
    }
    containers.assert_as_found();
}

#[tokio::test]
async fn what_could_not_be_put_back_or_cannot_be_reached_is_refused() {
    if !has_docker() {
        return;
    }
    let containers = containers().await;
    let house = house().await;
    let drill = drill("kill: {}\nwait: 1s");
    for (name, more, says) in [
        ("moving", "--publish 127.0.0.1::3000", "changes with every restart"),
        ("fleeting", "--rm --publish 127.0.0.1::3000", "started with --rm"),
        ("closed", "", "publishes no port"),
    ] {
        let name = containers.another(name, more);
        let adopt = format!("world.docker={{ adopt: {{ containers: [{name}] }} }}");
        let complaint = refused(&house, &drill, &["--set", &adopt], 3).await;
        assert!(complaint.contains(says), "{complaint}");
    }

    docker(&["stop", "--time", "1", &containers.name("a")]);
    let complaint = refused(&house, &drill, &["--set", &containers.adopt()], 3).await;
    assert!(complaint.contains("not running"), "{complaint}");
    assert_eq!(containers.state("a"), "exited", "it is left as it was found");
}

#[tokio::test]
async fn a_compose_file_that_does_not_parse_or_is_not_there_is_unusable() {
    if !has_docker() {
        return;
    }
    let _seat = seat().await;
    let house = house().await;
    std::fs::write(house.path("bad.yml"), "services:\n  web: [\n").expect("a file");
    std::fs::write(house.path("odd.yml"), "services:\n  web:\n    imagge: x\n").expect("a file");
    for file in ["bad.yml", "odd.yml", "missing.yml"] {
        let complaint = refused(&house, &own(file), &[], 2).await;
        assert!(complaint.contains(file), "{complaint}");
    }
}

#[tokio::test]
async fn a_container_that_never_gets_ready_or_ends_at_once_is_named_with_its_last_words() {
    if !has_docker() {
        return;
    }
    let _seat = seat().await;
    let house = house().await;
    let service = |command: &str| {
        format!(
            "services:\n  web:\n    image: squall-debian:local\n    command: [sh, -c, \"{command}\"]\n    stop_grace_period: 1s\n    ports: [\"127.0.0.1:${{PORT:-13999}}:3000\"]\n"
        )
    };
    for (command, says) in [
        (
            "echo still thinking; exec sleep 600",
            vec!["web", "was not ready within 8s", "still thinking"],
        ),
        ("echo no licence; exit 7", vec!["web", "exit code 7", "no licence"]),
    ] {
        std::fs::write(house.path("stack.yml"), service(command)).expect("a file");
        let port = ["--set", "world.docker.environment={PORT: '{port}'}"];
        let complaint = refused(&house, &own("stack.yml"), &port, 3).await;
        for says in says {
            assert!(complaint.contains(says), "{says}: {complaint}");
        }
    }
    let unknown = "services:\n  web:\n    image: squall-no-such-image:local\n";
    std::fs::write(house.path("stack.yml"), unknown).expect("a file");
    let complaint = refused(&house, &own("stack.yml"), &[], 3).await;
    // docker-compose names the image, `docker compose` the service.
    let is_named = complaint.contains("squall-no-such-image") || complaint.contains("web Error");
    assert!(is_named, "{complaint}");
}
