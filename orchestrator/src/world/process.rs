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
use super::redis::RedisUrl;
use super::{Cast, Front, REDIS, Replica, WorldError, base_url};
use crate::causes::in_words;
use crate::shim::signal::Signal;
use squall_model::mcp;

/// How long a replica may take to end on a signal that it can catch.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Where `squall server` keeps its sessions; empty means in memory.
const SQUALL_REDIS: &str = "SQUALL_REDIS";

/// What the process world is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Draft")]
pub struct ProcessConfig {
    command: Vec<String>,
    replicas: NonZeroU8,
    ready: Probe,
    #[serde(with = "crate::scalar::time")]
    ready_within: Duration,
    #[serde(with = "crate::scalar::time")]
    grace: Duration,
    environment: BTreeMap<String, String>,
    redis: Option<RedisChild>,
}

/// A Redis as a child of the drill, beside the replicas. It needs `redis-server` on the `PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisChild {
    /// Whether it keeps what it knows on disk, so that a restart loses no session.
    pub persist: bool,
}

impl Default for RedisChild {
    fn default() -> Self {
        Self { persist: true }
    }
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
    #[serde(with = "crate::scalar::time")]
    pub ready_within: Duration,
    /// How long it may take to end by itself when the world stops.
    #[serde(with = "crate::scalar::time")]
    pub grace: Duration,
    /// Variables on top of the drill's own; the same words are filled in.
    pub environment: BTreeMap<String, String>,
    /// A Redis beside the replicas, whose URL fills in `{redis}`.
    pub redis: Option<RedisChild>,
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
            redis: None,
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
    /// A Redis that nobody would know of.
    #[error(
        "there is a `redis`, but neither the command of the replicas nor their environment says `{{redis}}`: put it where its URL belongs"
    )]
    UnusedRedis,
    /// A URL that there is not.
    #[error(
        "`{{redis}}` is the URL of a Redis, and there is none: add `redis: {{}}`, or leave it out"
    )]
    NoRedis,
    /// A question that cannot be asked.
    #[error("{0}")]
    BadProbe(String),
}

impl TryFrom<Draft> for ProcessConfig {
    type Error = BadConfig;

    fn try_from(draft: Draft) -> Result<Self, BadConfig> {
        if draft.command.first().is_none_or(String::is_empty) {
            return Err(BadConfig::NoCommand);
        }
        let says = |word| {
            let mut texts = draft.command.iter().chain(draft.environment.values());
            texts.any(|text| text.contains(word))
        };
        if !says("{port}") {
            return Err(BadConfig::NoPort);
        }
        match (&draft.redis, says("{redis}")) {
            (Some(_), false) => return Err(BadConfig::UnusedRedis),
            (None, true) => return Err(BadConfig::NoRedis),
            _ => {}
        }
        draft.ready.check().map_err(BadConfig::BadProbe)?;
        Ok(Self {
            command: draft.command,
            replicas: draft.replicas,
            ready: draft.ready,
            ready_within: draft.ready_within,
            grace: draft.grace,
            environment: draft.environment,
            redis: draft.redis,
        })
    }
}

impl ProcessConfig {
    /// Who can be hit: `replica-1`, `replica-2` …, and Redis where there is one.
    pub fn cast(&self) -> Cast {
        let replicas = (1..=self.replicas.get()).map(replica_name).collect();
        Cast { replicas, has_redis: self.has_redis(), most_at_once: None }
    }

    pub(super) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }
}

fn replica_name(number: u8) -> String {
    format!("replica-{number}")
}

/// Replicas as children of the drill.
#[derive(Debug)]
pub struct ProcessWorld {
    children: Children,
    slots: Vec<Slot>,
    redis: Option<Box<Slot>>,
    ready_within: Duration,
    grace: Duration,
}

/// The place of a child: its name, its address and its command last longer than its process.
#[derive(Debug)]
struct Slot {
    name: String,
    address: SocketAddr,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    ready: Probe,
    child: Mutex<Option<Child>>,
}

impl ProcessWorld {
    /// Starts everything and waits until all is ready. If something is not, all is ended again.
    pub async fn start(config: ProcessConfig, children: &Children) -> Result<Self, WorldError> {
        let redis = config.redis.as_ref().map(|redis| redis.slot(children)).transpose()?;
        let url = redis.as_ref().map(Slot::redis_url);
        let redis = redis.map(Box::new);
        let url = url.as_ref().map_or("", RedisUrl::as_str);
        let slot = |number| config.slot(replica_name(number), url, children);
        let slots = (1..=config.replicas.get()).map(slot).collect::<Result<_, _>>()?;
        let (ready_within, grace) = (config.ready_within, config.grace);
        let world = Self { children: children.clone(), slots, redis, ready_within, grace };
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

    pub(super) fn front(&self) -> Front {
        Front {
            upstreams: self.slots.iter().map(|slot| base_url(slot.address)).collect(),
            replicas: self.slots.iter().map(|slot| slot.name.clone()).collect(),
            path: mcp::ENDPOINT.to_owned(),
        }
    }

    /// Who does not run.
    pub(super) fn down(&self) -> Vec<String> {
        let down = self.all().filter(|slot| slot.running().is_none());
        down.map(|slot| slot.name.clone()).collect()
    }

    pub(super) fn redis(&self) -> Option<RedisUrl> {
        self.redis.as_deref().map(Slot::redis_url)
    }

    /// Sends a signal that ends it to a replica's whole tree and waits until nothing of it is left.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<(), WorldError> {
        let child = self.running(name)?;
        child.kill(signal, KILL_DEADLINE).await?;
        Ok(())
    }

    /// Asks a replica to end, kills it after `grace`, and waits until nothing of it is left.
    pub async fn shut_down(&self, name: &str, grace: Duration) -> Result<(), WorldError> {
        let child = self.running(name)?;
        child.stop(grace).await?;
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
            ready = ready::wait(slot.address, &slot.ready, deadline) => ready.map_err(|error| {
                WorldError::NotReady {
                    name: name.to_owned(),
                    address: slot.address,
                    deadline,
                    why: in_words(&error),
                    said: child.said_last(),
                }
            }),
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

    /// Ends all replicas: SIGTERM, then SIGKILL; and Redis after them. May be called again.
    pub async fn stop(&self) -> Result<(), WorldError> {
        let stop = |slots: Vec<&Slot>| {
            let children: Vec<Child> =
                slots.into_iter().filter_map(|slot| slot.child.lock().clone()).collect();
            async move {
                let stopping = children.iter().map(|child| child.stop(self.grace));
                join_all(stopping).await.into_iter().collect::<Result<(), ChildError>>()
            }
        };
        let replicas = stop(self.slots.iter().collect()).await;
        let redis = stop(self.redis.as_deref().into_iter().collect()).await;
        Ok(replicas.and(redis)?)
    }

    async fn start_all(&self) -> Result<(), WorldError> {
        let within = self.ready_within;
        if let Some(redis) = &self.redis {
            self.start_slot(redis).await?;
            self.wait_ready(&redis.name, within).await?;
        }
        for slot in &self.slots {
            self.start_slot(slot).await?;
        }
        let ready = self.slots.iter();
        try_join_all(ready.map(|slot| self.wait_ready(&slot.name, within))).await?;
        Ok(())
    }

    async fn start_slot(&self, slot: &Slot) -> Result<(), WorldError> {
        let child = self.children.spawn(&slot.name, &slot.command, &slot.environment).await?;
        *slot.child.lock() = Some(child);
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().chain(self.redis.as_deref())
    }

    fn slot(&self, name: &str) -> Result<&Slot, WorldError> {
        self.all().find(|slot| slot.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.all().map(|slot| slot.name.as_str()).collect();
            WorldError::UnknownReplica(name.to_owned(), known.join(", "))
        })
    }

    fn running(&self, name: &str) -> Result<Child, WorldError> {
        let child = self.slot(name)?.child.lock().clone();
        child.ok_or_else(|| WorldError::NotStarted(name.to_owned()))
    }
}

impl ProcessConfig {
    /// The place of a replica, with all words filled in.
    fn slot(&self, name: String, redis: &str, children: &Children) -> Result<Slot, WorldError> {
        let address = free_address().ok_or(WorldError::NoPort)?;
        let fill = |text: &String| {
            text.replace("{port}", &address.port().to_string())
                .replace("{id}", &name)
                .replace("{run}", children.run().as_str())
                .replace("{redis}", redis)
        };
        let filled = self.environment.iter().map(|(name, value)| (name.clone(), fill(value)));
        // The servers of a drill keep sessions where the drill says, whatever it was started with.
        let environment = [(SQUALL_REDIS.to_owned(), String::new())].into_iter().chain(filled);
        Ok(Slot {
            command: self.command.iter().map(fill).collect(),
            environment: environment.collect(),
            ready: self.ready.clone(),
            child: Mutex::new(None),
            address,
            name,
        })
    }
}

impl RedisChild {
    /// The place of Redis: on loopback, with no state but what is in the run's folder.
    fn slot(&self, children: &Children) -> Result<Slot, WorldError> {
        let address = free_address().ok_or(WorldError::NoPort)?;
        let folder = children.folder(REDIS)?.display().to_string();
        let port = address.port().to_string();
        let persist = if self.persist { "yes" } else { "no" };
        let command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--dir",
            &folder,
            "--save",
            "",
            "--appendonly",
            persist,
        ];
        Ok(Slot {
            name: REDIS.to_owned(),
            command: command.map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
            ready: Probe::Redis(RedisUrl::at(address)),
            child: Mutex::new(None),
            address,
        })
    }
}

impl Slot {
    fn redis_url(&self) -> RedisUrl {
        RedisUrl::at(self.address)
    }

    fn running(&self) -> Option<Child> {
        self.child.lock().clone().filter(Child::is_running)
    }

    fn replica(&self) -> Replica {
        Replica {
            name: self.name.clone(),
            address: self.address,
            process: self.running().map(|child| child.process()),
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
            (r#"{"redis":{}}"#, "put it where its URL belongs"),
            (r#"{"command":["x","{port}","{redis}"]}"#, "add `redis: {}`"),
            (r#"{"command":["x","{port}","{redis}"],"redis":{"save":1}}"#, "persist"),
        ] {
            let error = check(json).expect_err(json);
            assert!(error.contains(says), "{error}");
        }
        let by_environment = r#"{"command":["x"],"environment":{"PORT":"{port}"}}"#;
        assert!(check(by_environment).is_ok());
    }

    #[test]
    fn a_config_is_read_as_it_is_written() {
        let written = r#"{"command":["x","{port}","{redis}"],"redis":{},"ready":"connect"}"#;
        let config = check(written).expect("a config");
        assert!(config.has_redis());
        let written = serde_json::to_string(&config).expect("JSON");
        assert_eq!(check(&written), Ok(config));
    }
}
