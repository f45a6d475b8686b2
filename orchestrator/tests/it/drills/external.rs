//! The external world: a URL, faults on the wire, and nothing that is restarted.

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::house::{FAULT, House, count, house};
use crate::support::DEADLINE;

/// The drill with a fault on the wire, for whatever world it is asked for.
fn drill() -> String {
    let (head, rest) = FAULT.split_once("world:\n").expect("a world");
    let (_, tail) = rest.split_once("load:").expect("a load");
    format!("{head}world:\n  external: {{ url: http://127.0.0.1:9/mcp }}\nload:{tail}")
}

/// A server that is no child of the drill, and its URL.
async fn somebody_elses(house: &House) -> (tokio::process::Child, String) {
    let mut server = house.squall(["server", "--listen", "127.0.0.1:0"]);
    let mut server = server.spawn().expect("a server");
    let mut lines = BufReader::new(server.stderr.take().expect("its stderr")).lines();
    let said = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("an address");
            if let Some((_, url)) = line.split_once("listening on ") {
                return url.to_owned();
            }
        }
    };
    let url = timeout(DEADLINE, said).await.expect("news in time");
    // Whoever reads no more must not end the server.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (server, url)
}

#[tokio::test]
async fn a_server_of_somebody_elses_is_drilled_on_the_wire_and_runs_on() {
    let house = house().await;
    let (mut server, url) = somebody_elses(&house).await;
    let set = format!("world.external.url={url}");
    let report = house.run(&drill(), &["--set", &set]).await.expect(0).report();
    assert!(count(&report, "/faults/0/hits") > 0);
    assert_eq!((&report["world"], &report["targets"][0]), (&"external".into(), &url.into()));
    assert!(server.try_wait().expect("a status").is_none(), "it runs on");
    server.kill().await.expect("ended");
}

#[tokio::test]
async fn nobody_at_the_url_is_one_line_and_exit_code_3() {
    let house = house().await;
    let ended = house.run(&drill(), &[]).await.expect(3);
    let complaint = ended.complaint();
    for says in ["http://127.0.0.1:9", "0 of 30 sessions", "refused"] {
        assert!(complaint.contains(says), "{says}: {complaint}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_to_a_url_is_refused_when_it_is_read() {
    let house = house().await;
    for step in ["kill: {}", "restart: {}", "disconnect: {}", "flush: {}", "pause: {}"] {
        let runbook = house.runbook(&drill().replace("- wait: 1s", &format!("- {step}")));
        let runbook = runbook.to_str().expect("text");
        for command in ["check", "plan", "run"] {
            let called = house.call(&["drill", command, runbook]).await;
            assert_eq!(called.code(), 2, "{step}: {}", called.stderr);
            let complaint = called.complaint();
            assert!(complaint.contains("step 2") && complaint.contains("external"), "{complaint}");
        }
    }
}

#[tokio::test]
async fn a_world_that_a_drill_does_not_have_is_named_with_those_it_has() {
    let house = house().await;
    let runbook = house.runbook(&drill());
    let runbook = runbook.to_str().expect("text");
    let called = house.call(&["drill", "plan", runbook, "--world", "docker"]).await;
    assert_eq!(called.code(), 2, "{}", called.stderr);
    let complaint = called.complaint();
    assert!(complaint.contains("it has: external") && complaint.contains("--set"), "{complaint}");
    let called = house.call(&["drill", "plan", runbook, "--world", "dokcer"]).await;
    assert_eq!(called.code(), 2);
    assert!(called.stderr.contains("did you mean `docker`?"), "{}", called.stderr);
}
