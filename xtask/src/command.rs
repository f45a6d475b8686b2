//! Commands that end: run in the workspace's root, within a deadline, their tests counted.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::group::Group;
use crate::root;

/// How long the output of a command that ended may take to end.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How many tests ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Counts {
    #[must_use]
    pub(crate) fn plus(self, more: Self) -> Self {
        Self { passed: self.passed + more.passed, failed: self.failed + more.failed }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) counts: Counts,
    /// The names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Ended {
    /// Something that went well and has no tests.
    pub(crate) fn well() -> Self {
        Self { success: true, counts: Counts::default(), failures: Vec::new() }
    }
}

/// A command in the workspace's root, with nothing to read.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, or kills it at the deadline; in both cases with all that it started.
/// What it prints is passed on.
pub(crate) fn run(command: &mut Command, deadline: Duration) -> Result<Ended> {
    let name = describe(command);
    let group = Group::start(command.stdout(Stdio::piped()));
    let mut group = group.with_context(|| format!("cannot start `{name}`"))?;
    let output = group.leader().stdout.take().context("the output is a pipe")?;
    let counting = count(output);
    let is_in_time = group.ends_within(deadline);
    let status = group.end().with_context(|| format!("cannot await `{name}`"))?;
    // The pipe has no holder left, but for one that fled from the group.
    let (counts, failures) = counting.recv_timeout(LAST_WORDS).unwrap_or_default();
    ensure!(is_in_time, "`{name}` was killed: it did not end within {deadline:?}");
    Ok(Ended { success: status.success(), counts, failures })
}

/// Whether a command ends well; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command, deadline: Duration) -> bool {
    let started = Group::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let Ok(group) = started else { return false };
    let is_in_time = group.ends_within(deadline);
    group.end().is_ok_and(|status| status.success()) && is_in_time
}

/// What a command prints, if it ends well.
pub(crate) fn answer(command: &mut Command, deadline: Duration) -> Option<String> {
    let mut group = Group::start(command.stdout(Stdio::piped()).stderr(Stdio::null())).ok()?;
    let mut output = group.leader().stdout.take()?;
    let (done, printed) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = output.read_to_string(&mut text).map(|_| done.send(text)); // perhaps nobody waits
    });
    let is_in_time = group.ends_within(deadline);
    let is_well = group.end().is_ok_and(|status| status.success());
    let text = printed.recv_timeout(LAST_WORDS).ok()?;
    (is_in_time && is_well).then(|| text.trim().to_owned())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Passes lines on until the output ends, and then tells what they counted and which failures they named.
fn count(output: impl Read + Send + 'static) -> Receiver<(Counts, Vec<String>)> {
    let (done, counted) = channel();
    thread::spawn(move || {
        let mut counts = Counts::default();
        let mut failures = Vec::new();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts = counts.plus(read_counts(&line).unwrap_or_default());
            failures.extend(read_failure(&line).map(str::to_owned));
        }
        let _ = done.send((counts, failures)); // nobody waits for the last words of one that fled
    });
    counted
}

/// The counts of a summary line: `test result: ok. 3 passed; 0 failed; …` of cargo test, or
/// `3 passed, 0 failed` of a peer.
fn read_counts(line: &str) -> Option<Counts> {
    let line = line.trim();
    let summary = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line,
    };
    let mut parts = summary.split([';', ',']);
    let passed = parts.next()?.strip_suffix(" passed")?;
    let failed = parts.next()?.trim().strip_suffix(" failed")?;
    Some(Counts { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

/// The name of a test that failed: `test NAME ... FAILED` of cargo test, or of a peer without `test`.
fn read_failure(line: &str) -> Option<&str> {
    let name = line.trim().strip_suffix(" ... FAILED")?;
    Some(name.strip_prefix("test ").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn summaries_are_counted_and_other_lines_are_not() {
        for (line, expected) in [
            (
                "test result: ok. 24 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
                Some((24, 0)),
            ),
            ("test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured", Some((7, 2))),
            ("11 passed, 1 failed", Some((11, 1))),
            ("test a::b ... ok", None),
            ("every check passed, none failed", None),
            ("", None),
        ] {
            let counts = read_counts(line).map(|counts| (counts.passed, counts.failed));
            assert_eq!(counts, expected, "{line}");
        }
    }

    #[test]
    fn a_command_tells_its_counts_and_whether_it_went_well() {
        let script = "echo 'test a::b ... FAILED'; echo 'test c ... ok'; \
                      echo '2 passed, 1 failed'; echo '3 passed, 0 failed'; exit 1";
        let ended = run(command("sh").args(["-c", script]), MINUTE).expect("it ends");
        let expected = Counts { passed: 5, failed: 1 };
        assert_eq!((ended.success, ended.counts), (false, expected));
        assert_eq!(ended.failures, ["a::b"]);
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let mut endless = command("sleep");
        let error = run(endless.arg("100000"), Duration::ZERO).expect_err("endless");
        assert!(error.to_string().contains("sleep 100000"), "{error}");
        assert!(!succeeds(endless.arg("1"), Duration::ZERO));
    }

    #[test]
    fn what_a_command_prints_is_an_answer_only_if_it_ends_well() {
        let answer_of = |script| answer(command("sh").args(["-c", script]), MINUTE);
        assert_eq!(answer_of("echo ' yes '").as_deref(), Some("yes"));
        assert_eq!(answer_of("echo yes; exit 1"), None);
        assert_eq!(answer(command("sleep").arg("100000"), Duration::ZERO), None);
    }

    #[test]
    fn a_command_that_is_not_there_does_not_succeed() {
        assert!(!succeeds(&mut command("squall-no-such-command"), MINUTE));
        assert!(succeeds(&mut command("true"), MINUTE));
    }
}
