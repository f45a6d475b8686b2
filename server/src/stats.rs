//! What the server counts about itself.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::methods::{Outcome, Success};
use crate::tools::Tool;

/// Counters since the start of the process.
#[derive(Default)]
pub(crate) struct Stats {
    /// HTTP requests, of every path.
    pub(crate) requests: Counter,
    /// Answers that were an HTTP status from 400, a JSON-RPC error or a tool's error.
    pub(crate) errors: Counter,
    /// Sessions that began or ended here; with a shared store, other replicas have their own.
    pub(crate) sessions_created: Counter,
    pub(crate) sessions_closed: Counter,
    pub(crate) resource_reads: Counter,
    pub(crate) prompts: Counter,
    pub(crate) notifications_sent: Counter,
    pub(crate) notifications_failed: Counter,
    calls: [Counter; Tool::ALL.len()],
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increase(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stats {
    /// Counts an answer among the errors, if it is one.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let is_error = match outcome {
            Ok(Success::Call(result)) => result.is_error,
            Ok(_) => false,
            Err(_) => true,
        };
        if is_error {
            self.errors.increase();
        }
    }

    pub(crate) fn calls_of(&self, tool: Tool) -> &Counter {
        &self.calls[tool as usize]
    }
}

/// This process's resident memory in bytes, where the operating system tells it (Linux: proc(5),
/// `VmRSS`, in kB).
pub(crate) fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
