//! The `process` world: replicas as child processes of the drill. It needs nothing but the binary.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::child::{Child, ChildError, describe};
use super::children::Children;
use super::ports::free_address;
use super::ready::{self, Probe};
use super::{Replica, WorldError};
use crate::causes::in_words;
use crate::shim::signal::Signal;

/// How long a replica may take to end on a signal that it can catch.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// What the process world is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Draft")]
pub struct ProcessConfig {
    command: Vec<String>,
    replicas: NonZeroU8,
    ready: Probe,
    #[serde(with = "humantime_serde")]
    ready_within: Duration,
    #[serde(with = "humantime_serde")]
    grace: Duration,
    environment: BTreeMap<String, String>,
}

/// A [`ProcessConfig`] as it is written, not yet checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Draft {
    /// The program and its arguments. `{port}`, `{id}` (`replica-1`) and `{run}` are filled in;
    /// `squall` as the first word means this binary.
    pub command: Vec<String>,
    /// How many; from 1 to 255.
    pub replicas: NonZeroU8,
    /// How a replica says that it is ready.
    pub ready: Probe,
    /// How long it may take to be ready.
    #[serde(with = "humantime_serde")]
    pub ready_within: Duration,
    /// How long it may take to end by itself when the world stops.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Variables on top of the drill's own; the same words are filled in.
    pub environment: BTreeMap<String, String>,
}

impl Default for Draft {
    /// Three replicas of `squall server`.
    fn default() -> Self {
        let command = "squall server --listen 127.0.0.1:{port} --id {id}";
        Self {
            command: command.split(' ').map(str::to_owned).collect(),
            replicas: NonZeroU8::MIN.saturating_add(2),
            ready: Probe::default(),
            ready_within: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            environment: BTreeMap::new(),
        }
    }
}

/// A draft that no world can be made of.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// No program.
    #[error("the command of the replicas is empty: give a program and its arguments")]
    NoCommand,
    /// The replicas would not know where to listen.
    #[error(
        "neither the command of the replicas nor their environment says `{{port}}`: put it where the port to listen on belongs"
    )]
    NoPort,
    /// A path that is none.
    #[error("`{0}` is not a path to ask for readiness: expected a form like /readyz")]
    BadPath(String),
}

impl TryFrom<Draft> for ProcessConfig {
    type Error = BadConfig;

    fn try_from(draft: Draft) -> Result<Self, BadConfig> {
        if draft.command.first().is_none_or(String::is_empty) {
            return Err(BadConfig::NoCommand);
        }
        let mut texts = draft.command.iter().chain(draft.environment.values());
        if !texts.any(|text| text.contains("{port}")) {
            return Err(BadConfig::NoPort);
        }
        if let Probe::Path(path) = &draft.ready
            && !is_path(path)
        {
            return Err(BadConfig::BadPath(path.clone()));
        }
        Ok(Self {
            command: draft.command,
            replicas: draft.replicas,
            ready: draft.ready,
            ready_within: draft.ready_within,
            grace: draft.grace,
            environment: draft.environment,
        })
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok()
}

impl ProcessConfig {
    /// The names of the replicas: `replica-1`, `replica-2` …
    pub fn replica_names(&self) -> Vec<String> {
        (1..=self.replicas.get()).map(replica_name).collect()
    }
}

fn replica_name(number: u8) -> String {
    format!("replica-{number}")
}

/// Replicas as children of the drill.
#[derive(Debug)]
pub struct ProcessWorld {
    config: ProcessConfig,
    children: Children,
    slots: Vec<Slot>,
}

/// A replica's place: what stays when the process in it does not.
#[derive(Debug)]
struct Slot {
    name: String,
    address: SocketAddr,
    child: Mutex<Option<Child>>,
}

impl ProcessWorld {
    /// Starts all replicas and waits until all are ready. If one is not, all are ended again.
    pub async fn start(config: ProcessConfig, children: &Children) -> Result<Self, WorldError> {
        let slots = (1..=config.replicas.get()).map(Slot::new);
        let world =
            Self { slots: slots.collect::<Result<_, _>>()?, children: children.clone(), config };
        match world.start_all().await {
            Ok(()) => Ok(world),
            Err(error) => {
                // What could not be ended stays in the journal; the first error says more.
                let _ = world.stop().await;
                Err(error)
            }
        }
    }

    /// The replicas as they are now.
    pub fn replicas(&self) -> Vec<Replica> {
        self.slots.iter().map(Slot::replica).collect()
    }

    /// Sends a signal that ends it to a replica's whole tree and waits until nothing of it is left.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<(), WorldError> {
        let child = self.running(name)?;
        child.kill(signal, KILL_DEADLINE).await?;
        Ok(())
    }

    /// Starts a replica again, at the address that it had. Does not wait until it is ready.
    pub async fn start_again(&self, name: &str) -> Result<(), WorldError> {
        let slot = self.slot(name)?;
        let last = slot.child.lock().clone();
        if let Some(child) = last {
            if child.is_running() {
                let pid = child.process().pid;
                return Err(WorldError::AlreadyRunning(name.to_owned(), pid));
            }
            // What is left of its tree may still hold the port.
            child.stop(Duration::ZERO).await?;
        }
        self.start_slot(slot).await
    }

    /// Waits until a replica is ready. Fails at the deadline, or as soon as the replica ends.
    pub async fn wait_ready(&self, name: &str, deadline: Duration) -> Result<(), WorldError> {
        let slot = self.slot(name)?;
        let child = self.running(name)?;
        tokio::select! {
            // A stranger may answer at the address of a replica that has ended.
            biased;
            exit = child.until_exited() => Err(WorldError::Ended {
                name: name.to_owned(),
                how: describe(exit),
                said: child.said_last(),
            }),
            ready = ready::wait(slot.address, &self.config.ready, deadline) => {
                ready.map_err(|error| WorldError::NotReady {
                    name: name.to_owned(),
                    address: slot.address,
                    deadline,
                    why: in_words(&error),
                    said: child.said_last(),
                })
            }
        }
    }

    /// Freezes a replica's whole tree: its connections stay open and nothing answers.
    pub async fn pause(&self, name: &str) -> Result<(), WorldError> {
        self.running(name)?.signal(Signal::Stop).await?;
        Ok(())
    }

    /// Lets a frozen replica go on.
    pub async fn resume(&self, name: &str) -> Result<(), WorldError> {
        self.running(name)?.signal(Signal::Cont).await?;
        Ok(())
    }

    /// Ends all replicas: SIGTERM, then SIGKILL. May be called again.
    pub async fn stop(&self) -> Result<(), WorldError> {
        let children: Vec<Child> =
            self.slots.iter().filter_map(|slot| slot.child.lock().clone()).collect();
        let stopped = join_all(children.iter().map(|child| child.stop(self.config.grace))).await;
        Ok(stopped.into_iter().collect::<Result<(), ChildError>>()?)
    }

    async fn start_all(&self) -> Result<(), WorldError> {
        for slot in &self.slots {
            self.start_slot(slot).await?;
        }
        let within = self.config.ready_within;
        let ready = self.slots.iter();
        try_join_all(ready.map(|slot| self.wait_ready(&slot.name, within))).await?;
        Ok(())
    }

    async fn start_slot(&self, slot: &Slot) -> Result<(), WorldError> {
        let fill = |text: &String| {
            text.replace("{port}", &slot.address.port().to_string())
                .replace("{id}", &slot.name)
                .replace("{run}", self.children.run().as_str())
        };
        let command: Vec<String> = self.config.command.iter().map(fill).collect();
        let environment = self.config.environment.iter();
        let environment = environment.map(|(name, value)| (name.clone(), fill(value)));
        let environment = environment.collect();
        let child = self.children.spawn(&slot.name, &command, &environment);
        *slot.child.lock() = Some(child.await?);
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<&Slot, WorldError> {
        let mut slots = self.slots.iter();
        slots.find(|slot| slot.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
            WorldError::UnknownReplica(name.to_owned(), known.join(", "))
        })
    }

    fn running(&self, name: &str) -> Result<Child, WorldError> {
        let child = self.slot(name)?.child.lock().clone();
        child.ok_or_else(|| WorldError::NotStarted(name.to_owned()))
    }
}

impl Slot {
    fn new(number: u8) -> Result<Self, WorldError> {
        Ok(Self {
            name: replica_name(number),
            address: free_address().ok_or(WorldError::NoPort)?,
            child: Mutex::new(None),
        })
    }

    fn replica(&self) -> Replica {
        let child = self.child.lock();
        let running = child.as_ref().filter(|child| child.is_running());
        Replica {
            name: self.name.clone(),
            address: self.address,
            process: running.map(Child::process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<ProcessConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_need_be_written() {
        let config = check("{}").expect("the default");
        assert_eq!(config.replicas.get(), 3);
        assert_eq!(config.command[0], "squall");
    }

    #[test]
    fn what_no_world_can_be_made_of_is_refused_with_advice() {
        for (json, says) in [
            (r#"{"command":[]}"#, "give a program"),
            (r#"{"command":["my-server"]}"#, "{port}"),
            (r#"{"replicas":0}"#, "nonzero"),
            (r#"{"ready":{"path":"readyz"}}"#, "/readyz"),
            (r#"{"ready":{"path":"/a b"}}"#, "/readyz"),
            (r#"{"comand":["x"]}"#, "command"),
        ] {
            let error = check(json).expect_err(json);
            assert!(error.contains(says), "{error}");
        }
        let by_environment = r#"{"command":["x"],"environment":{"PORT":"{port}"}}"#;
        assert!(check(by_environment).is_ok());
    }

    #[test]
    fn a_config_is_read_as_it_is_written() {
        let config = check(r#"{"ready":"connect","ready_within":"3s"}"#).expect("a config");
        let written = serde_json::to_string(&config).expect("JSON");
        assert_eq!(check(&written), Ok(config));
    }
}
