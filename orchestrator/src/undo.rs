//! What takes a step back: written to the journal before the step is taken.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::shim::identity::ProcessId;
use crate::state::RunId;

/// One act that puts something back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Ends a child of the drill.
    StopProcess {
        /// What the drill calls it: `replica-1`.
        name: String,
        /// Its shim, which takes the whole tree along.
        shim_pid: u32,
        /// When the shim started (see [`ProcessId::start`]).
        shim_start: u64,
        /// The command itself.
        pid: u32,
        /// When the command started.
        start: u64,
    },
    /// Ends everything that has `SQUALL_RUN=<run>` in its environment.
    RunProcesses {
        /// The run.
        run: RunId,
    },
    /// Removes a fault from a proxy. If the drill is gone, the fault's lease ends it.
    RemoveFault {
        /// The proxy's admin address, as a URL.
        admin: String,
        /// The fault.
        id: String,
    },
}

impl Undo {
    /// The undo of a child's start.
    pub fn stop_process(name: &str, shim: ProcessId, process: ProcessId) -> Self {
        Self::StopProcess {
            name: name.to_owned(),
            shim_pid: shim.pid,
            shim_start: shim.start,
            pid: process.pid,
            start: process.start,
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopProcess { name, pid, .. } => write!(f, "end {name} (pid {pid})"),
            Self::RunProcesses { run } => write!(f, "end what else run {run} has started"),
            Self::RemoveFault { admin, id } => write!(f, "remove fault {id} from {admin}"),
        }
    }
}
