//! The processes below a process, as `/proc` shows them, and the strays of a run.

use std::collections::HashSet;
use std::fs;

use super::identity::{self, ProcessId};
use super::signal::Signal;

/// The environment variable that names the run; every process below a shim inherits it.
pub const RUN_VARIABLE: &str = "SQUALL_RUN";

/// The environment variable that names the child (`replica-1`); inherited as well.
pub const CHILD_VARIABLE: &str = "SQUALL_CHILD";

/// How often a tree is read again because it grew while it was read.
const PASSES: usize = 64;

/// All live descendants of a process, parents before their children. Needs a kernel with
/// `CONFIG_PROC_CHILDREN`, as all distributions have.
pub fn descendants(of: u32) -> Vec<ProcessId> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([of]);
    let mut next = vec![of];
    while let Some(pid) = next.pop() {
        for child in children(pid) {
            if seen.insert(child) {
                next.push(child);
                found.extend(ProcessId::of(child).filter(|process| process.is_alive()));
            }
        }
    }
    found
}

/// Sends a signal to all descendants, and for `STOP` and `KILL` also to those that are born
/// meanwhile. Gives the number of processes that got it. One that ended or that is not ours to
/// signal (setuid) is passed over: whoever needs it gone looks again.
pub fn signal_descendants(of: u32, signal: Signal) -> usize {
    let passes = match signal {
        Signal::Stop | Signal::Kill => PASSES,
        _ => 1,
    };
    let mut reached = HashSet::new();
    for _ in 0..passes {
        let mut fresh = descendants(of);
        fresh.retain(|process| reached.insert(*process));
        if fresh.is_empty() {
            break;
        }
        for process in fresh {
            let _ = process.signal(signal);
        }
    }
    reached.len()
}

/// Whether all descendants have stopped, each with all its threads. A thread that runs on another
/// core, or waits for a disk, goes on for a moment after SIGSTOP was sent.
pub fn is_frozen(of: u32) -> bool {
    let threads = |process: &ProcessId| {
        let tasks = fs::read_dir(format!("/proc/{}/task", process.pid));
        tasks.into_iter().flatten().flatten()
    };
    descendants(of)
        .iter()
        .flat_map(threads)
        .filter_map(|thread| fs::read(thread.path().join("stat")).ok())
        .all(|stat| identity::is_stopped(&stat))
}

/// All live processes whose environment names this run (and child, if one is given), whoever their
/// parent is now. This process is not among them. Only the user's own processes can be read.
pub fn strays(run: &str, child: Option<&str>) -> Vec<ProcessId> {
    let run = format!("{RUN_VARIABLE}={run}");
    let child = child.map(|name| format!("{CHILD_VARIABLE}={name}"));
    let wanted: Vec<&[u8]> =
        [Some(&run), child.as_ref()].into_iter().flatten().map(String::as_bytes).collect();
    all_pids()
        .filter(|pid| *pid != std::process::id())
        .filter_map(ProcessId::of)
        .filter(|process| has_environment(process.pid, &wanted) && process.is_alive())
        .collect()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| parse_pids(&line))
        .collect()
}

fn parse_pids(line: &str) -> Vec<u32> {
    line.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_environment(pid: u32, wanted: &[&[u8]]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let variables: HashSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
    wanted.iter().all(|variable| variables.contains(variable))
}
