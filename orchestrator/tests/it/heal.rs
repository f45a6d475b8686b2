//! Healing ends what a killed drill left behind, and nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;

use squall::heal::{HealError, heal};
use squall::journal::Journal;
use squall::shim::identity::ProcessId;
use squall::shim::report::Report;
use squall::shim::signal::Signal;
use squall::state::StateError;
use squall::undo::Undo;
use tokio::process::{Child, Command};

use crate::support::{Roll, SQUALL, Scene, assert_gone, scene, shim};

fn bystander() -> (Child, ProcessId) {
    let child = Command::new("sleep").arg("60").kill_on_drop(true).spawn().expect("a bystander");
    let id = ProcessId::of(child.id().expect("a pid")).expect("a process");
    (child, id)
}

fn journal(scene: &Scene) -> Journal {
    let journal = Journal::create(&scene.run, "restart", "process").expect("a journal");
    let run = scene.run.id().clone();
    journal.register(Undo::RunProcesses { run }).expect("written");
    journal
}

#[tokio::test]
async fn after_the_drill_and_the_shim_were_killed_the_strays_are_found_and_ended() {
    let scene = scene();
    let journal = journal(&scene);
    let id = scene.run.id().clone();
    let mut roll = Roll::new(scene.folder.path());
    let mut shim = shim(&roll.tree(), id.as_str());
    let [daemon, child, shell] = roll.three().await;
    assert_eq!(shim.report().await, Report::Started(shell));
    let undo = Undo::stop_process("replica-1", shim.id(), shell);
    journal.register(undo).expect("written");
    shim.child.kill().await.expect("the shim is killed");
    assert_gone([shell]).await;
    assert!(daemon.is_alive() && child.is_alive());
    drop(scene.run);

    let healed = heal(&scene.state, None).expect("healed");
    assert_eq!(healed.runs.len(), 1);
    let lines = healed.runs[0].lines.join("\n");
    assert!(lines.contains("replica-1"), "{lines}");
    assert!(lines.contains(&daemon.to_string()), "{lines}");
    assert!(!daemon.is_alive() && !child.is_alive());
    assert!(heal(&scene.state, None).expect("healed").is_nothing());
    assert!(heal(&scene.state, Some(&id)).expect("healed").is_nothing());
}

#[tokio::test]
async fn a_shim_that_still_lives_is_asked_to_take_its_tree_along() {
    let scene = scene();
    let journal = journal(&scene);
    let mut roll = Roll::new(scene.folder.path());
    // Its environment names another run: only the journal leads to it.
    let shim = shim(&roll.tree(), "another");
    let tree = roll.three().await;
    let undo = Undo::stop_process("replica-1", shim.id(), tree[2]);
    journal.register(undo).expect("written");
    drop(scene.run);
    heal(&scene.state, None).expect("healed");
    assert_gone(tree).await;
}

#[tokio::test]
async fn a_drill_that_is_alive_is_left_alone() {
    let scene = scene();
    journal(&scene);
    let mut roll = Roll::new(scene.folder.path());
    let _shim = shim(&roll.tree(), scene.run.id().as_str());
    let tree = roll.three().await;
    let error = heal(&scene.state, Some(scene.run.id())).expect_err("alive");
    assert!(matches!(error, HealError::State(StateError::Alive { .. })));
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    let healed = heal(&scene.state, None).expect("nothing");
    assert!(healed.is_nothing());
    assert_eq!(healed.alive.len(), 1);
    assert!(tree.into_iter().all(ProcessId::is_alive));
}

#[tokio::test]
async fn a_stranger_with_a_recycled_pid_is_not_ended() {
    let scene = scene();
    let journal = journal(&scene);
    let (_child, stranger) = bystander();
    let predecessor = ProcessId { start: stranger.start - 1, ..stranger };
    let undo = Undo::stop_process("replica-1", predecessor, predecessor);
    journal.register(undo).expect("written");
    drop(scene.run);
    let healed = heal(&scene.state, None).expect("healed");
    assert!(healed.runs[0].lines[0].contains("was gone"), "{healed:?}");
    assert!(stranger.is_alive());
}

#[tokio::test]
async fn after_another_boot_no_process_is_touched() {
    let scene = scene();
    let journal = journal(&scene);
    let (_child, stranger) = bystander();
    let undo = Undo::stop_process("replica-1", stranger, stranger);
    journal.register(undo).expect("written");
    let path = scene.run.journal_path();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    let text = fs::read_to_string(&path).expect("a journal");
    fs::write(&path, text.replace(boot.trim(), "another")).expect("rewritten");
    drop(scene.run);
    let healed = heal(&scene.state, None).expect("healed");
    assert!(healed.runs[0].lines[0].contains("started anew"), "{healed:?}");
    assert!(stranger.is_alive());
}

#[tokio::test]
async fn a_torn_last_line_does_not_stop_it() {
    let scene = scene();
    journal(&scene);
    let mut roll = Roll::new(scene.folder.path());
    let _shim = shim(&roll.tree(), scene.run.id().as_str());
    let tree = roll.three().await;
    let mut file =
        OpenOptions::new().append(true).open(scene.run.journal_path()).expect("the journal");
    file.write_all(b"{\"undo\":{\"seq\":2,\"un").expect("torn");
    drop(scene.run);
    heal(&scene.state, None).expect("healed");
    assert_gone(tree).await;
    assert!(heal(&scene.state, None).expect("healed").is_nothing());
}

#[tokio::test]
async fn a_run_that_died_before_its_first_line_needs_nothing() {
    let scene = scene();
    fs::write(scene.run.journal_path(), "").expect("an empty journal");
    let other = scene.state.begin("docker").expect("a run without a journal");
    drop((scene.run, other));
    assert!(heal(&scene.state, None).expect("healed").is_nothing());
}

#[tokio::test]
async fn a_damaged_journal_is_named_and_the_other_runs_are_healed() {
    let scene = scene();
    journal(&scene);
    let other = scene.state.begin("docker").expect("another run");
    let path = other.journal_path();
    fs::write(&path, "nonsense\n\"end\"\n").expect("damaged");
    drop((scene.run, other));
    let healed = heal(&scene.state, None).expect("healed");
    assert_eq!((healed.runs.len(), healed.failed.len()), (1, 1));
    let text = healed.failed[0].to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
}

#[tokio::test]
async fn a_fault_is_left_to_its_lease() {
    let scene = scene();
    let journal = journal(&scene);
    let undo = Undo::RemoveFault { admin: "http://127.0.0.1:9".to_owned(), id: "slow".to_owned() };
    journal.register(undo).expect("written");
    drop(scene.run);
    let healed = heal(&scene.state, None).expect("healed");
    assert!(healed.runs[0].lines[0].contains("lease"), "{healed:?}");
}

#[tokio::test]
async fn the_command_says_when_there_is_nothing_to_do() {
    let scene = scene();
    let output = Command::new(SQUALL)
        .arg("heal")
        .env("SQUALL_STATE_DIR", scene.folder.path().join("nothing"))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("an answer");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("nothing to heal"), "{said}");
}

#[tokio::test]
async fn containers_are_left_alone_while_another_drill_is_at_work_on_them() {
    let scene = scene();
    let dead = scene.state.begin("docker").expect("a run");
    let journal = Journal::create(&dead, "outage", "docker").expect("a journal");
    let (engine, project) = ("unix:///nowhere".to_owned(), "squall-x".to_owned());
    journal.register(Undo::RemoveProject { engine, project }).expect("written");
    drop(dead);
    let alive = scene.state.begin("docker").expect("another run");
    let healed = heal(&scene.state, None).expect("left alone");
    let is_in_use = |error: &StateError| matches!(error, StateError::WorldInUse { .. });
    assert!(healed.is_nothing() && healed.alive.iter().any(is_in_use), "{healed:?}");
    drop(alive);
    let healed = heal(&scene.state, None).expect("tried");
    let error = healed.failed.first().expect("there is no engine").to_string();
    assert!(error.contains("take stack squall-x down") && error.contains("DOCKER_HOST"), "{error}");
}

#[tokio::test]
async fn signals_reach_nobody_by_a_stale_name() {
    let (mut child, id) = bystander();
    child.kill().await.expect("killed and reaped");
    assert!(!id.signal(Signal::Kill).expect("nobody"));
}
