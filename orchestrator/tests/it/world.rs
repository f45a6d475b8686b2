//! The process world starts, breaks and ends replicas, and leaves nothing behind.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use squall::journal::Journal;
use squall::shim::identity::ProcessId;
use squall::shim::signal::Signal;
use squall::shim::tree;
use squall::state::RunDir;
use squall::world::WorldError;
use squall::world::child::Child;
use squall::world::children::Children;
use squall::world::process::{Draft, ProcessConfig, ProcessWorld};
use squall::world::ready::Probe;
use tokio::time::timeout;

use crate::support::{DEADLINE, Roll, SQUALL, assert_gone, scene};

const PORT: &str = "SQUALL_TEST_PORT";
const STATUS: &str = "SQUALL_TEST_STATUS";

struct Stage {
    folder: tempfile::TempDir,
    run: RunDir,
    journal: Journal,
    children: Children,
}

fn stage() -> Stage {
    let scene = scene();
    let journal = Journal::create(&scene.run, "test", "process").expect("a journal");
    let children =
        Children::begin(&scene.run, &journal, scene.folder.path(), PathBuf::from(SQUALL));
    Stage { folder: scene.folder, run: scene.run, journal, children: children.expect("ready") }
}

impl Stage {
    async fn world(&self, draft: Draft) -> Result<ProcessWorld, WorldError> {
        let config = ProcessConfig::try_from(draft).expect("a config");
        ProcessWorld::start(config, &self.children).await
    }

    async fn child(&self, name: &str, command: &[String]) -> Child {
        let child = self.children.spawn(name, command, &BTreeMap::new()).await;
        child.expect("a child")
    }

    fn strays(&self) -> Vec<ProcessId> {
        tree::strays(self.run.id().as_str(), None)
    }

    async fn assert_leaves_nothing(&self) {
        assert_eq!(self.strays(), []);
        self.children.close(Duration::ZERO).await.expect("closed");
        assert_eq!(self.journal.outstanding(), []);
    }
}

/// This binary again, as a server: see [`serve_if_asked`].
fn server(status: u16) -> Draft {
    let this = std::env::current_exe().expect("this binary");
    let test = "world::replicas_answer_until_the_world_stops";
    let command = [&this.display().to_string(), "--exact", test, "--nocapture"];
    Draft {
        command: command.map(str::to_owned).to_vec(),
        replicas: 2.try_into().expect("not zero"),
        environment: [
            (PORT.to_owned(), "{port}".to_owned()),
            (STATUS.to_owned(), status.to_string()),
        ]
        .into(),
        ready_within: DEADLINE,
        ..Draft::default()
    }
}

fn shell(script: &str) -> Draft {
    let command = ["sh", "-c", script, "{port}"];
    Draft {
        command: command.map(str::to_owned).to_vec(),
        ready_within: DEADLINE,
        ..Draft::default()
    }
}

/// Answers everything with the status, for a minute at most.
fn serve_if_asked() {
    let (Ok(port), Ok(status)) = (std::env::var(PORT), std::env::var(STATUS)) else {
        return;
    };
    thread::spawn(|| {
        thread::park_timeout(Duration::from_secs(60));
        std::process::exit(0);
    });
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("a free port");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
    }
}

#[tokio::test]
async fn replicas_answer_until_the_world_stops() {
    serve_if_asked();
    let stage = stage();
    let world = stage.world(server(200)).await.expect("a world");
    let replicas = world.replicas();
    assert_eq!(replicas.len(), 2);
    assert_ne!(replicas[0].address, replicas[1].address);
    let processes: Vec<ProcessId> = replicas.iter().filter_map(|r| r.process).collect();
    assert!(processes.len() == 2 && processes.iter().all(|process| process.is_alive()));
    world.stop().await.expect("stopped");
    assert!(!processes.iter().any(|process| process.is_alive()));
    world.stop().await.expect("stopped already");
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_killed_replica_comes_back_at_its_address() {
    let stage = stage();
    let mut exits = stage.children.exits();
    let world = stage.world(server(200)).await.expect("a world");
    let before = world.replicas().remove(0);
    world.kill("replica-1", Signal::Kill).await.expect("killed");
    assert!(!before.process.expect("it ran").is_alive());
    assert_eq!(world.replicas()[0].process, None);
    let exit = exits.recv().await.expect("an exit");
    assert!(exit.expected && exit.name == "replica-1");
    let error = world.kill("replica-1", Signal::Kill).await.expect_err("dead");
    assert!(error.to_string().contains("ended by SIGKILL"), "{error}");

    world.start_again("replica-1").await.expect("started");
    world.wait_ready("replica-1", DEADLINE).await.expect("ready");
    let after = world.replicas().remove(0);
    assert_eq!(before.address, after.address);
    assert_ne!(before.process, after.process);
    let error = world.start_again("replica-1").await.expect_err("it runs");
    assert!(error.to_string().contains("kill it first"), "{error}");
    let error = world.start_again("replica-9").await.expect_err("unknown");
    assert!(error.to_string().contains("replica-1, replica-2"), "{error}");
    world.stop().await.expect("stopped");
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_kill_takes_the_whole_tree() {
    let stage = stage();
    let mut roll = Roll::new(stage.folder.path());
    let child = stage.child("any", &roll.tree()).await;
    let tree = roll.three().await;
    child.kill(Signal::Kill, DEADLINE).await.expect("killed");
    assert!(!tree.into_iter().any(ProcessId::is_alive));
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_stop_takes_the_whole_tree_even_if_it_is_deaf_or_frozen() {
    let stage = stage();
    for freeze in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut roll = Roll::new(folder.path());
        let script = "trap '' TERM; (setsid sleep 60 & echo $! >$ROLL); echo $$ >$ROLL; wait; \
                      sleep 60 & wait";
        let child = stage.child("deaf", &roll.shell(script)).await;
        let tree = [roll.next().await, roll.next().await];
        if freeze {
            child.signal(Signal::Stop).await.expect("frozen");
        }
        child.stop(Duration::ZERO).await.expect("stopped");
        assert!(!tree.into_iter().any(ProcessId::is_alive));
    }
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn when_all_is_dropped_the_whole_tree_goes() {
    let stage = stage();
    let mut roll = Roll::new(stage.folder.path());
    let child = stage.child("any", &roll.tree()).await;
    let tree = roll.three().await;
    drop((child, stage.children));
    assert_gone(tree).await;
}

#[tokio::test]
async fn a_death_that_nobody_asked_for_is_told() {
    let stage = stage();
    let mut exits = stage.children.exits();
    let world = stage.world(server(200)).await.expect("a world");
    let victim = world.replicas()[1].process.expect("it runs");
    victim.signal(Signal::Term).expect("sent");
    let exit = timeout(DEADLINE, exits.recv()).await.expect("in time");
    let exit = exit.expect("an exit");
    assert_eq!((exit.name.as_str(), exit.expected), ("replica-2", false));
    world.stop().await.expect("stopped");
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn when_a_shim_is_killed_its_strays_are_swept() {
    let stage = stage();
    let mut exits = stage.children.exits();
    let mut roll = Roll::new(stage.folder.path());
    let child = stage.child("any", &roll.tree()).await;
    let tree = roll.three().await;
    child.shim().signal(Signal::Kill).expect("sent");
    let exit = timeout(DEADLINE, exits.recv()).await.expect("in time");
    assert_eq!(exit.expect("an exit").exit, None);
    child.stop(Duration::ZERO).await.expect("nothing is left");
    assert!(!tree.into_iter().any(ProcessId::is_alive));
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_frozen_replica_is_not_ready_until_it_goes_on() {
    let stage = stage();
    let world = stage.world(server(200)).await.expect("a world");
    world.pause("replica-1").await.expect("frozen");
    let ready = world.wait_ready("replica-1", Duration::from_millis(100)).await;
    let error = ready.expect_err("frozen").to_string();
    assert!(error.contains("no answer"), "{error}");
    world.resume("replica-1").await.expect("on it goes");
    world.wait_ready("replica-1", DEADLINE).await.expect("ready");
    world.stop().await.expect("stopped");
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_one_clear_error() {
    let stage = stage();
    let draft = Draft {
        command: ["no-such-program-of-squall", "{port}"].map(str::to_owned).to_vec(),
        ..Draft::default()
    };
    let error = stage.world(draft).await.expect_err("no program").to_string();
    for says in ["replica-1", "`no-such-program-of-squall`", "PATH"] {
        assert!(error.contains(says), "{error}");
    }
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_command_that_ends_at_once_is_quoted() {
    let stage = stage();
    let draft = shell("echo address $0 in use >&2; exit 7");
    let error = stage.world(draft).await.expect_err("it ends").to_string();
    for says in ["replica-", "exit code 7", "address ", "in use", ".log"] {
        assert!(error.contains(says), "{error}");
    }
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_replica_that_never_gets_ready_is_named_and_nothing_is_left() {
    let stage = stage();
    for never in [server(503), shell("exec sleep 60")] {
        let draft = Draft { ready_within: Duration::from_millis(300), ..never };
        let error = stage.world(draft).await.expect_err("not ready").to_string();
        for says in ["replica-", "not ready at 127.0.0.1:", "300ms", ".log"] {
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(stage.strays(), []);
    }
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_server_without_a_readiness_path_is_ready_when_it_accepts() {
    let stage = stage();
    let draft = Draft { ready: Probe::Connect, ..server(404) };
    let world = stage.world(draft).await.expect("a world");
    world.stop().await.expect("stopped");
    stage.assert_leaves_nothing().await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_once_all_is_closed() {
    let stage = stage();
    let (command, environment) = (["sleep", "60"].map(str::to_owned), BTreeMap::new());
    // So many that the thread which spawns them is still at it when all is closed.
    for number in 0..30 {
        let name = format!("replica-{number}");
        let start = stage.children.spawn(&name, &command, &environment);
        assert!(start.now_or_never().is_none(), "asked for, and not waited for");
    }
    stage.children.close(Duration::ZERO).await.expect("closed");
    assert_eq!(stage.strays(), []);
}

#[tokio::test]
async fn closing_ends_what_was_started_beside_the_replicas() {
    let stage = stage();
    let command = ["squall", "--version"].map(str::to_owned);
    let proxy = stage.child("proxy", &command).await;
    timeout(DEADLINE, proxy.until_exited()).await.expect("it ends");
    assert!(proxy.last_words().starts_with("squall "), "{}", proxy.last_words());
    let mut roll = Roll::new(stage.folder.path());
    stage.child("tree", &roll.tree()).await;
    let tree = roll.three().await;
    stage.children.close(Duration::ZERO).await.expect("closed");
    assert!(!tree.into_iter().any(ProcessId::is_alive));
    stage.assert_leaves_nothing().await;
}
