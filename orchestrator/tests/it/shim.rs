//! The shim takes the whole tree with it, whatever ends it.

use std::process::Stdio;

use squall::shim::report::{Exit, Report};
use squall::shim::signal::Signal;
use tokio::process::Command;

use crate::support::{Roll, SQUALL, assert_gone, shim};

#[tokio::test]
async fn when_its_stdin_ends_the_whole_tree_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut shim = shim(&roll.tree(), "stdin");
    let tree = roll.three().await;
    shim.orders = None;
    assert_gone(tree).await;
    shim.assert_ends_well().await;
}

#[tokio::test]
async fn when_it_is_terminated_the_whole_tree_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut shim = shim(&roll.tree(), "term");
    let tree = roll.three().await;
    shim.id().signal(Signal::Term).expect("sent");
    assert_gone(tree).await;
    shim.assert_ends_well().await;
}

#[tokio::test]
async fn when_it_is_ordered_to_kill_it_reports_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut shim = shim(&roll.tree(), "kill");
    let tree = roll.three().await;
    assert_eq!(shim.report().await, Report::Started(tree[2]));
    shim.order("signal KILL").await;
    assert_eq!(shim.report().await, Report::Signalled { signal: Signal::Kill, processes: 3 });
    assert_eq!(shim.report().await, Report::Exited(Exit::Signal(9)));
    assert_gone(tree).await;
    shim.assert_ends_well().await;
}

#[tokio::test]
async fn when_the_command_ends_what_it_left_behind_goes_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let script = "trap 'exit 3' USR1; (setsid sleep 60 & echo $! >$ROLL); echo $$ >$ROLL; \
                  sleep 60 & wait";
    let mut shim = shim(&roll.shell(script), "exit");
    let [daemon, shell] = [roll.next().await, roll.next().await];
    shell.signal(Signal::Usr1).expect("sent");
    assert_eq!(shim.report().await, Report::Started(shell));
    assert_eq!(shim.report().await, Report::Exited(Exit::Code(3)));
    assert_gone([daemon]).await;
    shim.assert_ends_well().await;
}

#[tokio::test]
async fn a_frozen_tree_goes_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut shim = shim(&roll.tree(), "frozen");
    let tree = roll.three().await;
    assert!(matches!(shim.report().await, Report::Started(_)));
    shim.order("signal STOP").await;
    assert!(matches!(shim.report().await, Report::Signalled { processes: 3, .. }));
    shim.orders = None;
    assert_gone(tree).await;
    shim.assert_ends_well().await;
}

#[tokio::test]
async fn ctrl_c_and_nonsense_leave_it_at_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut shim = shim(&roll.tree(), "ctrl-c");
    let tree = roll.three().await;
    assert!(matches!(shim.report().await, Report::Started(_)));
    for signal in [Signal::Int, Signal::Hup, Signal::Quit] {
        shim.id().signal(signal).expect("sent");
    }
    shim.order("do as you like").await;
    shim.order("signal CONT").await;
    assert!(matches!(shim.report().await, Report::Signalled { processes: 3, .. }));
    shim.orders = None;
    assert_gone(tree).await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_reported_and_not_started() {
    let command = ["no-such-program-of-squall".to_owned()];
    let mut shim = shim(&command, "missing");
    let Report::NotStarted { reason } = shim.report().await else {
        panic!("it cannot have started");
    };
    assert!(reason.contains("`no-such-program-of-squall`"), "{reason}");
    assert!(reason.contains("No such file"), "{reason}");
    shim.assert_ends_well().await;
}

/// The shell that starts the shim here holds the other end of the shim's stdin, and so does the shim
/// itself: its stdin never ends, and only the parent-death signal can tell it.
#[tokio::test]
async fn when_its_parent_is_killed_the_whole_tree_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut roll = Roll::new(folder.path());
    let mut parent = Command::new("sh")
        .args(["-c", "mkfifo stdin; exec 9<>stdin; \"$@\" <stdin & wait", "sh"])
        .args([SQUALL, "shim", "--"])
        .args(roll.tree())
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a parent");
    let tree = roll.three().await;
    parent.kill().await.expect("killed");
    assert_gone(tree).await;
}
