//! What a drill does to single containers, each act with its undo on disk before.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::container::{Container, State};
use super::engine::Engine;
use super::select::{Selected, Selection};
use super::{DockerConfig, DockerError};
use crate::causes::in_words;
use crate::journal::{Journal, JournalError, Seq};
use crate::shim::signal::Signal;
use crate::undo::Undo;
use crate::world::ready::{self, Probe};
use crate::world::redis::RedisUrl;
use crate::world::{REDIS, Replica};

/// How long a container may take to end on a signal that it can catch.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between two looks at a container.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a container is asked whether it is ready before it is looked at whether it still runs.
const ASK: Duration = Duration::from_millis(500);

/// How many lines of a container's log are kept.
const LOG_LINES: u32 = 10_000;

/// The containers of a world, and what can be done to them.
#[derive(Debug)]
pub(super) struct Members {
    engine: Engine,
    journal: Journal,
    config: DockerConfig,
    selection: Selection,
    redis_url: Option<RedisUrl>,
    /// The undos that a later act may make needless.
    held: Mutex<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    name: String,
    seq: Seq,
    undo: Undo,
}

/// Writes an undo down, off the runtime's threads, which a disk would hold up together with the load.
pub(super) async fn register(journal: &Journal, undo: Undo) -> Result<Seq, JournalError> {
    let journal = journal.clone();
    let written = tokio::task::spawn_blocking(move || journal.register(undo)).await;
    written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

impl Members {
    pub(super) fn new(
        engine: Engine,
        journal: Journal,
        config: DockerConfig,
        selection: Selection,
    ) -> Result<Self, DockerError> {
        let redis = selection.redis.as_ref();
        let redis_url = redis.map(|redis| config.redis_url(redis)).transpose()?;
        let held = Mutex::default();
        Ok(Self { engine, journal, config, selection, redis_url, held })
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn redis_url(&self) -> Option<RedisUrl> {
        self.redis_url.clone()
    }

    /// The Redis, if it is not the drill's own.
    pub(super) fn borrowed_redis(&self) -> Option<RedisUrl> {
        self.redis_url().filter(|_| !self.config.is_own())
    }

    pub(super) fn replicas(&self) -> Vec<Replica> {
        let replica = |selected: &Selected| Replica {
            name: selected.name.clone(),
            address: self.config.address_of(selected, self.config.port).ok(),
            process: None,
        };
        self.selection.replicas.iter().map(replica).collect()
    }

    /// Who does not run, as the engine says, in the order in which they are to be started: a network
    /// gives each the lowest address that is free, and others know them by those that they had.
    pub(super) async fn down(&self) -> Result<Vec<String>, DockerError> {
        let mut down = Vec::new();
        for selected in self.targets() {
            if self.look(selected).await?.state == State::Down {
                down.push((selected.container.address(), selected.name.clone()));
            }
        }
        down.sort();
        Ok(down.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) async fn kill(&self, name: &str, signal: Signal) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.note(target, self.start_undo(target, Duration::ZERO)).await?;
        self.engine.kill(&target.container.id, signal).await?;
        let end = Instant::now() + KILL_DEADLINE;
        while self.look(target).await?.state != State::Down {
            if Instant::now() > end {
                return Err(DockerError::Stubborn {
                    name: name.to_owned(),
                    container: target.container.name.clone(),
                    deadline: KILL_DEADLINE,
                    signal,
                });
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(super) async fn shut_down(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.note(target, self.start_undo(target, grace)).await?;
        Ok(self.engine.stop(&target.container.id, grace).await?)
    }

    pub(super) async fn restart(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.note(target, self.start_undo(target, grace)).await?;
        self.engine.restart(&target.container.id, grace).await?;
        self.forget(name, |undo| matches!(undo, Undo::StartContainer { .. })).await
    }

    pub(super) async fn start_again(&self, name: &str) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.engine.start(&target.container.id).await?;
        self.forget(name, |undo| matches!(undo, Undo::StartContainer { .. })).await
    }

    pub(super) async fn pause(&self, name: &str) -> Result<(), DockerError> {
        let target = self.target(name)?;
        let (engine, id, name) = self.names_of(target);
        self.note(target, Undo::UnpauseContainer { engine, id, name }).await?;
        Ok(self.engine.pause(&target.container.id).await?)
    }

    pub(super) async fn resume(&self, name: &str) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.engine.unpause(&target.container.id).await?;
        self.forget(name, |undo| matches!(undo, Undo::UnpauseContainer { .. })).await
    }

    /// Takes it off a network, or off all, each with an undo of its own.
    pub(super) async fn disconnect(
        &self,
        name: &str,
        network: Option<&str>,
    ) -> Result<(), DockerError> {
        let target = self.target(name)?;
        let mut attachments = self.look(target).await?.networks;
        if let Some(wanted) = network {
            let known: Vec<_> = attachments.iter().map(|at| at.network.clone()).collect();
            // Compose puts the project's name in front.
            attachments
                .retain(|at| at.network == wanted || at.network.ends_with(&format!("_{wanted}")));
            if attachments.is_empty() {
                let (name, network) = (name.to_owned(), wanted.to_owned());
                return Err(DockerError::NoNetwork { name, network, known: known.join(", ") });
            }
        }
        for attachment in attachments {
            let network = attachment.network.clone();
            let (engine, id, name) = self.names_of(target);
            self.note(target, Undo::ReconnectContainer { engine, id, name, attachment }).await?;
            self.engine.disconnect(&target.container.id, &network).await?;
        }
        Ok(())
    }

    pub(super) async fn reconnect(&self, name: &str) -> Result<(), DockerError> {
        let target = self.target(name)?;
        let attachments: Vec<_> = {
            let held = self.held.lock();
            let attachment = |held: &Held| match &held.undo {
                Undo::ReconnectContainer { attachment, .. } if held.name == name => {
                    Some(attachment.clone())
                }
                _ => None,
            };
            held.iter().filter_map(attachment).collect()
        };
        for attachment in attachments {
            self.engine.connect_to(&target.container.id, &attachment).await?;
            let is_it = |undo: &Undo| matches!(undo, Undo::ReconnectContainer { attachment: held, .. } if *held == attachment);
            self.forget(name, is_it).await?;
        }
        Ok(())
    }

    /// Waits until all replicas, Redis and what stands in front are ready.
    pub(super) async fn wait_all_ready(&self, within: Duration) -> Result<(), DockerError> {
        let end = Instant::now() + within;
        let redis = self.selection.redis.iter();
        for selected in redis.chain(&self.selection.replicas).chain(&self.selection.entry) {
            self.wait_selected(selected, within, end).await?;
        }
        Ok(())
    }

    /// Waits until one is ready. Fails at the deadline, or as soon as it ends.
    pub(super) async fn wait_ready(&self, name: &str, within: Duration) -> Result<(), DockerError> {
        self.wait_selected(self.target(name)?, within, Instant::now() + within).await
    }

    async fn wait_selected(
        &self,
        selected: &Selected,
        within: Duration,
        end: Instant,
    ) -> Result<(), DockerError> {
        loop {
            let Some(why) = self.why_not_ready(selected).await? else { return Ok(()) };
            if Instant::now() > end {
                return Err(DockerError::NotReady {
                    name: selected.name.clone(),
                    container: selected.container.name.clone(),
                    deadline: within,
                    why,
                    said: self.said_last(selected).await,
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What stands in the way of its being ready; nothing if it is. An end is an error.
    async fn why_not_ready(&self, selected: &Selected) -> Result<Option<String>, DockerError> {
        let now = self.look(selected).await?;
        let State::Running { healthy } = now.state else {
            if now.state == State::Paused {
                return Ok(Some("it is paused".to_owned()));
            }
            return Err(DockerError::Ended {
                name: selected.name.clone(),
                container: selected.container.name.clone(),
                how: format!("exit code {}", now.exit_code.unwrap_or_default()),
                said: self.said_last(selected).await,
            });
        };
        let is_entry = self.selection.entry.as_ref() == Some(selected);
        let (probe, port) = match (&*selected.name, &self.config.ready) {
            (REDIS, _) => (&Probe::Redis, None),
            _ if is_entry => (&Probe::Keeps, self.config.entry_port),
            (_, Probe::Connect) => (&Probe::Keeps, self.config.port),
            (_, ready) => (ready, self.config.port),
        };
        match self.config.address_of(selected, port) {
            Ok(address) => {
                let ready = ready::wait(address, probe, ASK).await;
                let no = ready.err().map(|error| format!("{address}: {}", in_words(&error)));
                // Something may accept connections for one that has no health check to say better.
                Ok(no.or_else(|| is_entry.then(|| unhealthy(healthy)).flatten()))
            }
            // Only what stands in front can be asked; the engine knows of the others.
            Err(_) => Ok(unhealthy(healthy)),
        }
    }

    async fn said_last(&self, selected: &Selected) -> String {
        let said = self.engine.last_words(&selected.container.id, 5).await.unwrap_or_default();
        match said.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => format!("it said last: {line}"),
            None => "it said nothing".to_owned(),
        }
    }

    /// Writes what the containers said to `<folder>/<name>.log`, where they are the drill's own: these
    /// logs go with them.
    pub(super) async fn keep_logs(&self, folder: &Path) {
        if !self.config.is_own() {
            return;
        }
        for selected in self.targets().chain(&self.selection.entry) {
            let said = self.engine.last_words(&selected.container.id, LOG_LINES).await;
            let path = folder.join(format!("{}.log", selected.name));
            let kept = said
                .map_err(|error| in_words(&error))
                .and_then(|said| std::fs::write(&path, said).map_err(|error| error.to_string()));
            if let Err(error) = kept {
                tracing::warn!(container = %selected.name, %error, "its log could not be kept");
            }
        }
    }

    fn targets(&self) -> impl Iterator<Item = &Selected> {
        self.selection.replicas.iter().chain(&self.selection.redis)
    }

    fn target(&self, name: &str) -> Result<&Selected, DockerError> {
        self.targets().find(|selected| selected.name == name).ok_or_else(|| {
            let known: Vec<_> = self.targets().map(|selected| selected.name.as_str()).collect();
            DockerError::NoSuchContainer { name: name.to_owned(), known: known.join(", ") }
        })
    }

    async fn look(&self, selected: &Selected) -> Result<Container, DockerError> {
        Ok(self.engine.inspect(&selected.container.id).await?)
    }

    fn start_undo(&self, target: &Selected, settle: Duration) -> Undo {
        let (engine, id, name) = self.names_of(target);
        let address = target.container.address();
        Undo::StartContainer { engine, id, name, settle, address }
    }

    /// The engine, the container's id, and its name.
    fn names_of(&self, target: &Selected) -> (String, String, String) {
        let container = &target.container;
        (self.engine.host().to_owned(), container.id.clone(), container.name.clone())
    }

    /// Writes down how a container is put back. One of the drill's own is taken down instead.
    async fn note(&self, target: &Selected, undo: Undo) -> Result<(), DockerError> {
        let seq = if self.config.is_own() {
            None
        } else {
            Some(register(&self.journal, undo.clone()).await?)
        };
        // What is the drill's own is reconnected in the course of the drill, too.
        let seq = seq.unwrap_or_default();
        self.held.lock().push(Held { name: target.name.clone(), seq, undo });
        Ok(())
    }

    /// Takes back the notes on a container that an act has made needless.
    async fn forget(&self, name: &str, is_done: impl Fn(&Undo) -> bool) -> Result<(), DockerError> {
        let done: Vec<Seq> = {
            let mut held = self.held.lock();
            let done = held.extract_if(.., |held| held.name == name && is_done(&held.undo));
            done.map(|held| held.seq).collect()
        };
        if self.config.is_own() {
            return Ok(());
        }
        let journal = self.journal.clone();
        let write = move || done.into_iter().try_for_each(|seq| journal.undone(seq));
        let written = tokio::task::spawn_blocking(write).await;
        Ok(written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?)
    }
}

fn unhealthy(healthy: Option<bool>) -> Option<String> {
    (healthy == Some(false)).then(|| "its health check does not succeed yet".to_owned())
}
