//! CPU time of a process and its children, as the kernel counts it.

use std::fs;

use anyhow::{Context as _, Result};

/// What the process and those that it has started have spent, in microseconds.
pub(super) fn micros(pid: u32) -> Result<f64> {
    let mut total = 0.0;
    for pid in tree(pid) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")?;
        for task in tasks.flatten() {
            let spent = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let spent = spent.split(' ').next().and_then(|spent| spent.parse::<f64>().ok());
            total += spent.unwrap_or_default() / 1000.0;
        }
    }
    Ok(total)
}

/// A process and its children, theirs included.
fn tree(pid: u32) -> Vec<u32> {
    let mut pids = vec![pid];
    let mut next = 0;
    while let Some(pid) = pids.get(next).copied() {
        next += 1;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    pids
}
