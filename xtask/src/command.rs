//! Commands that end: run in the workspace's root, within a deadline, their tests counted.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::root;

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

/// Runs a command to its end, and kills it at the deadline. What it prints is passed on.
pub(crate) fn run(command: &mut Command, deadline: Duration) -> Result<Ended> {
    let name = describe(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{name}`"))?;
    let output = child.stdout.take().context("the output is a pipe")?;
    let counted = counted_within(output, deadline);
    if counted.is_none() {
        let _ = child.kill(); // it may have ended just now
    }
    let status = child.wait().with_context(|| format!("cannot await `{name}`"))?;
    match counted {
        Some(counts) => Ok(Ended { success: status.success(), counts }),
        None => bail!("`{name}` was killed: it did not end within {deadline:?}"),
    }
}

/// Whether a command ends well; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command, deadline: Duration) -> bool {
    let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = started else { return false };
    let ended_in_time = drained_within(&mut child, deadline);
    if !ended_in_time {
        let _ = child.kill();
    }
    let success = child.wait().is_ok_and(|status| status.success());
    ended_in_time && success
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

fn drained_within(child: &mut Child, deadline: Duration) -> bool {
    let Some(mut output) = child.stdout.take() else {
        return false;
    };
    let (done, ended) = channel();
    thread::spawn(move || {
        let _ = std::io::copy(&mut output, &mut std::io::sink());
        let _ = done.send(());
    });
    ended.recv_timeout(deadline) != Err(RecvTimeoutError::Timeout)
}

/// Passes lines on until the output ends; `None` if it does not in time.
fn counted_within(output: impl Read + Send + 'static, deadline: Duration) -> Option<Counts> {
    let (done, ended) = channel();
    thread::spawn(move || {
        let mut counts = Counts::default();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts = counts.plus(read_counts(&line).unwrap_or_default());
        }
        let _ = done.send(counts);
    });
    ended.recv_timeout(deadline).ok()
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
        let script = "echo '2 passed, 1 failed'; echo '3 passed, 0 failed'; exit 1";
        let ended = run(command("sh").args(["-c", script]), MINUTE).expect("it ends");
        let expected = Counts { passed: 5, failed: 1 };
        assert_eq!((ended.success, ended.counts), (false, expected));
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let mut endless = command("sleep");
        let error = run(endless.arg("100000"), Duration::ZERO).expect_err("endless");
        assert!(error.to_string().contains("sleep 100000"), "{error}");
        assert!(!succeeds(endless.arg("1"), Duration::ZERO));
    }

    #[test]
    fn a_command_that_is_not_there_does_not_succeed() {
        assert!(!succeeds(&mut command("squall-no-such-command"), MINUTE));
        assert!(succeeds(&mut command("true"), MINUTE));
    }
}
