//! Nobody reads what a command says: it goes on to its end all the same, and leaves nothing behind.

use tokio::process::Child;

use crate::drills::house::{self, House};

const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

/// Its readers are gone before it says a word.
fn unread(house: &House, arguments: &[&str]) -> Child {
    let mut child = house.squall(arguments).spawn().expect("a command");
    drop((child.stdout.take(), child.stderr.take()));
    child
}

async fn code(mut child: Child) -> Option<i32> {
    let ended = tokio::time::timeout(LONGEST, child.wait()).await;
    ended.expect("an end in time").expect("a status").code()
}

#[tokio::test]
async fn a_drill_that_nobody_listens_to_runs_and_is_taken_down() {
    let house = house::house().await;
    let runbook = house.runbook(house::FAULT);
    let runbook = runbook.to_str().expect("text");
    assert_eq!(code(unread(&house, &["drill", "run", runbook, "--out", "out"])).await, Some(0));
    let healed = house.call(&["heal"]).await;
    assert_eq!(healed.stdout, "nothing to heal\n", "{}", healed.stderr);
}

#[tokio::test]
async fn what_is_printed_for_a_reader_that_is_gone_is_no_error() {
    let house = house::house().await;
    let runbook = house.runbook(house::FAULT);
    let runbook = runbook.to_str().expect("text");
    for arguments in
        [&["drill", "plan", runbook][..], &["drill", "check", runbook], &["drill", "list", "."]]
    {
        assert_eq!(code(unread(&house, arguments)).await, Some(0), "{arguments:?}");
    }
    assert_eq!(code(unread(&house, &["drill", "check", "none.md"])).await, Some(2));
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_shown_and_never_a_pass() {
    let house = house::house().await;
    let mut running = house.start(house::FAULT, &[]);
    running.until("impact").await;
    std::fs::remove_dir_all(running.out()).expect("it can be removed");
    let ended = running.end().await.expect(3);
    assert!(ended.complaint().contains("report.json; choose another folder"), "{}", ended.stderr);
    assert!(ended.stdout.contains("UNKNOWN"), "{}", ended.stdout);
}
