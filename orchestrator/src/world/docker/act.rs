//! What a drill does to single containers, each act with its undo on disk before.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::container::{Container, PROJECT, State};
use super::engine::{Engine, settles_within};
use super::select::{Selected, Selection};
use super::{DockerConfig, DockerError};
use crate::causes::in_words;
use crate::journal::{Journal, Seq};
use crate::shim::signal::Signal;
use crate::undo::{Attachment, Undo};
use crate::world::ready::{self, Probe};
use crate::world::redis::RedisUrl;

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
    /// Nothing is done any more: everything is being put back.
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Held {
    name: String,
    /// Its place in the journal, if it is there: what is the drill's own is taken down instead.
    seq: Option<Seq>,
    undo: Undo,
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
        let (held, is_closed) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { engine, journal, config, selection, redis_url, held, is_closed })
    }

    pub(super) fn redis_url(&self) -> Option<RedisUrl> {
        self.redis_url.clone()
    }

    /// From now on nothing is done.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Who does not run, as the engine says, in the order in which they are to be started: a network
    /// gives each the lowest address that is free, and others know them by those that they had.
    pub(super) async fn down(&self) -> Result<Vec<String>, DockerError> {
        let mut down = Vec::new();
        for selected in self.targets() {
            match self.look(selected).await {
                Ok(now) if now.state == State::Down => {
                    down.push((selected.container.address(), selected.name.clone()));
                }
                // It was removed, so that nobody can start it: that must not keep the others down.
                Err(DockerError::Engine(error)) if error.is_not_found() => {
                    tracing::warn!(container = %selected.container.name, "it is gone");
                }
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        down.sort();
        Ok(down.into_iter().map(|(_, name)| name).collect())
    }

    pub(super) async fn kill(&self, name: &str, signal: Signal) -> Result<(), DockerError> {
        let target = self.target(name)?;
        let patience = if signal == Signal::Kill { Duration::ZERO } else { KILL_DEADLINE };
        self.note(target, self.start_undo(target, settles_within(patience))).await?;
        let started_at = self.look(target).await?.started_at;
        self.engine.kill(&target.container.id, signal).await?;
        let end = Instant::now() + KILL_DEADLINE;
        let stubborn = || DockerError::Stubborn {
            name: name.to_owned(),
            container: target.container.name.clone(),
            deadline: KILL_DEADLINE,
            signal,
        };
        // A restart policy takes an end by most signals for one that was not meant, and may have
        // brought it back between two looks: another start is an end, too.
        loop {
            let now = self.look(target).await?;
            if matches!(now.state, State::Down | State::Restarting) || now.started_at != started_at
            {
                break;
            }
            if Instant::now() > end {
                return Err(stubborn());
            }
            sleep(LOOK_EVERY).await;
        }
        // It may be about to come back while it is told not to.
        loop {
            self.engine.stop(&target.container.id, Duration::ZERO).await?;
            if self.look(target).await?.state == State::Down {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(stubborn());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(super) async fn shut_down(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.note(target, self.start_undo(target, settles_within(grace))).await?;
        Ok(self.engine.stop(&target.container.id, grace).await?)
    }

    pub(super) async fn restart(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let target = self.target(name)?;
        self.note(target, self.start_undo(target, settles_within(grace))).await?;
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
        let container = self.look(target).await?;
        let attachments = match network {
            None => container.networks,
            Some(wanted) => vec![network_of(&container, wanted).map_err(|known| {
                let (name, network) = (name.to_owned(), wanted.to_owned());
                DockerError::NoNetwork { name, network, known }
            })?],
        };
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
    pub(super) async fn wait_all_ready(&self) -> Result<(), DockerError> {
        let within = self.config.ready_within;
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
            match now.state {
                State::Paused => return Ok(Some("it is paused".to_owned())),
                State::Restarting => return Ok(Some("it ended and is restarted".to_owned())),
                State::Running { .. } | State::Down => {}
            }
            return Err(DockerError::Ended {
                name: selected.name.clone(),
                container: selected.container.name.clone(),
                how: format!("exit code {}", now.exit_code.unwrap_or_default()),
                said: self.said_last(selected).await,
            });
        };
        let is_entry = self.selection.entry.as_ref() == Some(selected);
        let Some((address, probe)) = self.question(selected, is_entry) else {
            // Only what stands in front can be asked; the engine knows of the others.
            return Ok(unhealthy(healthy));
        };
        let ready = ready::wait(address, &probe, ASK).await;
        let no = ready.err().map(|error| format!("{address}: {}", in_words(&error)));
        Ok(no.or_else(|| is_entry.then(|| unhealthy(healthy)).flatten()))
    }

    /// Where and how one is asked whether it is ready.
    fn question(&self, selected: &Selected, is_entry: bool) -> Option<(SocketAddr, Probe)> {
        let config = &self.config;
        let is_redis = self.selection.redis.as_ref() == Some(selected);
        let (probe, port) = match (&config.ready, &self.redis_url) {
            (_, Some(url)) if is_redis => (Probe::Redis(url.clone()), None),
            _ if is_entry => (Probe::Keeps, config.entry_port),
            (Probe::Connect, _) => (Probe::Keeps, config.port),
            (ready, _) => (ready.clone(), config.port),
        };
        match (&probe, config.address_of(selected, port)) {
            (_, Ok(address)) => Some((address, probe)),
            // The URL that the drill was given says where it is.
            (Probe::Redis(_), Err(_)) => Some((SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), probe)),
            (_, Err(_)) => None,
        }
    }

    async fn said_last(&self, selected: &Selected) -> String {
        let said = self.engine.last_words(&selected.container.id, 5).await.unwrap_or_default();
        match said.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => format!("it said last: {}", clipped(line)),
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
            let kept = match said {
                Ok(said) => tokio::fs::write(&path, said).await.map_err(|error| error.to_string()),
                Err(error) => Err(in_words(&error)),
            };
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
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(DockerError::BrokeOff);
        }
        let seq = if self.config.is_own() {
            None
        } else {
            Some(self.journal.register_aside(undo.clone()).await?)
        };
        self.held.lock().push(Held { name: target.name.clone(), seq, undo });
        Ok(())
    }

    /// Takes back the notes on a container that an act has made needless.
    async fn forget(&self, name: &str, is_done: impl Fn(&Undo) -> bool) -> Result<(), DockerError> {
        let done: Vec<Seq> = {
            let mut held = self.held.lock();
            let done = held.extract_if(.., |held| held.name == name && is_done(&held.undo));
            done.filter_map(|held| held.seq).collect()
        };
        let write =
            move |journal: &Journal| done.into_iter().try_for_each(|seq| journal.undone(seq));
        Ok(self.journal.aside(write).await?)
    }
}

/// The network that is meant: of that name, or of that name in the container's Compose project. Else, what
/// there is.
fn network_of(container: &Container, wanted: &str) -> Result<Attachment, String> {
    let in_project = container.labels.get(PROJECT).map(|project| format!("{project}_{wanted}"));
    let is_called = |name: &str| container.networks.iter().position(|at| at.network == name);
    let place = is_called(wanted).or_else(|| is_called(&in_project?));
    let known = || {
        let names = container.networks.iter().map(|at| at.network.clone());
        names.collect::<Vec<_>>().join(", ")
    };
    let place = place.ok_or_else(known)?;
    Ok(container.networks[place].clone())
}

/// A line that somebody else wrote, fit for one of ours.
fn clipped(line: &str) -> String {
    const MOST: usize = 300;
    line.chars().map(|c| if c.is_control() { '?' } else { c }).take(MOST).collect()
}

fn unhealthy(healthy: Option<bool>) -> Option<String> {
    (healthy == Some(false)).then(|| "its health check does not succeed yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_meant_by_its_name_or_by_that_in_the_containers_project() {
        let at =
            |network: &str| Attachment { network: network.to_owned(), ..Attachment::default() };
        let container = |networks: &[&str]| Container {
            labels: [(PROJECT.to_owned(), "shop".to_owned())].into(),
            networks: networks.iter().map(|network| at(network)).collect(),
            ..Container::default()
        };
        let find = |networks: &[&str], wanted| {
            network_of(&container(networks), wanted).map(|found| found.network)
        };
        assert_eq!(find(&["front", "shop_front"], "front"), Ok("front".to_owned()));
        assert_eq!(find(&["other_front", "shop_front"], "front"), Ok("shop_front".to_owned()));
        assert_eq!(find(&["other_front"], "front"), Err("other_front".to_owned()));
    }
}
