//! What takes a step back: written to the journal before the step is taken.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

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
    /// Starts a container that was killed, stopped or restarted.
    StartContainer {
        /// The Docker engine, as `DOCKER_HOST` has it.
        engine: String,
        /// The container.
        id: String,
        /// Its name, for people.
        name: String,
        /// How long an end that was asked for may still be under way.
        #[serde(with = "crate::scalar::time")]
        settle: Duration,
        /// Its address on its first network; networks give addresses away in order.
        address: Option<IpAddr>,
    },
    /// Lets a container go on that was frozen.
    UnpauseContainer {
        /// The Docker engine, as `DOCKER_HOST` has it.
        engine: String,
        /// The container.
        id: String,
        /// Its name, for people.
        name: String,
    },
    /// Puts a container back on a network.
    ReconnectContainer {
        /// The Docker engine, as `DOCKER_HOST` has it.
        engine: String,
        /// The container.
        id: String,
        /// Its name, for people.
        name: String,
        /// How it hung on the network.
        attachment: Attachment,
    },
    /// Removes a Compose project: its containers, networks and volumes.
    RemoveProject {
        /// The Docker engine, as `DOCKER_HOST` has it.
        engine: String,
        /// The project.
        project: String,
    },
}

/// How a container hangs on a network: all that is needed to put it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Names that other containers know it by there.
    pub aliases: Vec<String>,
    /// Links, as the engine writes them: `container:alias`.
    pub links: Vec<String>,
    /// Its IPv4 address there; empty for none.
    pub ipv4: String,
    /// Whether the address was chosen by its owner and not by the network.
    pub ipv4_is_fixed: bool,
    /// Its IPv6 address, where its owner chose one.
    pub ipv6: Option<String>,
    /// Options of the network's driver.
    pub driver_options: BTreeMap<String, String>,
}

impl Attachment {
    /// Its IPv4 address there.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.ipv4.parse().ok()
    }
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

/// The order in which undos are carried out, where they are given newest first: what gives containers
/// an address comes after the rest, the lowest address first, for a network gives the lowest that is
/// free, and so each gets its own again. Last of all a stack goes, when nobody adds to it any more.
pub(crate) fn in_order<T>(mut undos: Vec<(T, Undo)>) -> Vec<(T, Undo)> {
    undos.sort_by_key(|(_, undo)| (matches!(undo, Undo::RemoveProject { .. }), undo.address()));
    undos
}

impl Undo {
    /// The address that a container had, where the undo lets its network give one.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::StartContainer { address, .. } => *address,
            Self::ReconnectContainer { attachment, .. } => attachment.address(),
            _ => None,
        }
    }

    /// Whether it is still to be done after the machine was started anew: containers outlive that,
    /// processes do not.
    pub(crate) fn outlives_boots(&self) -> bool {
        match self {
            Self::StopProcess { .. } | Self::RunProcesses { .. } | Self::RemoveFault { .. } => {
                false
            }
            Self::StartContainer { .. }
            | Self::UnpauseContainer { .. }
            | Self::ReconnectContainer { .. }
            | Self::RemoveProject { .. } => true,
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopProcess { name, pid, .. } => write!(f, "end {name} (pid {pid})"),
            Self::RunProcesses { run } => write!(f, "end what else run {run} has started"),
            Self::RemoveFault { admin, id } => write!(f, "remove fault {id} from {admin}"),
            Self::StartContainer { name, .. } => write!(f, "start container {name}"),
            Self::UnpauseContainer { name, .. } => write!(f, "unpause container {name}"),
            Self::ReconnectContainer { name, attachment, .. } => {
                write!(f, "reconnect container {name} to network {}", attachment.network)
            }
            Self::RemoveProject { project, .. } => write!(f, "take stack {project} down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(address: &str) -> Undo {
        Undo::StartContainer {
            engine: String::new(),
            id: String::new(),
            name: address.to_owned(),
            settle: Duration::ZERO,
            address: address.parse().ok(),
        }
    }

    #[test]
    fn containers_get_their_addresses_back_lowest_first_and_all_else_is_undone_before() {
        let process = Undo::RemoveFault { admin: String::new(), id: "slow".to_owned() };
        let stack = Undo::RemoveProject { engine: String::new(), project: String::new() };
        let undos = [start("10.0.0.12"), stack, start("10.0.0.4"), process, start("")];
        let undos = undos.into_iter().enumerate().collect();
        let order: Vec<usize> = in_order(undos).into_iter().map(|(place, _)| place).collect();
        assert_eq!(order, [3, 4, 2, 0, 1]);
    }
}
