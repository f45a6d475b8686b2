//! Putting containers back as they were: by the drill itself, or by `squall heal` after its death.
//!
//! Each undo looks before it acts, so that it may be carried out twice, and says what it did.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::DockerError;
use super::container::{PROJECT, State};
use super::engine::{Engine, EngineError};
use crate::causes::in_words;
use crate::journal::Journal;
use crate::undo::{Attachment, Undo, in_order};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a container that was started may take to run.
const START: Duration = Duration::from_secs(20);

/// How long nothing of a stack must be found: the engine may be at work on what it was asked for last.
const LATE: Duration = Duration::from_secs(1);

/// How long a stack may take to be gone.
const REMOVE: Duration = Duration::from_secs(60);

/// Carries out what the journal still has of containers. What cannot be done stays in it, and the others
/// are done all the same.
pub(crate) async fn all(journal: &Journal) -> Result<(), DockerError> {
    let mut left = Vec::new();
    for (seq, undo) in in_order(journal.outstanding()) {
        let done = match carry_out(&undo).await {
            None => continue,
            Some(Ok(line)) => {
                tracing::debug!("{line}");
                journal.undone(seq).map_err(|error| in_words(&error))
            }
            Some(Err(error)) => Err(in_words(&error)),
        };
        // A journal that cannot be written keeps no container from being put back.
        left.extend(done.err().map(|why| format!("{undo}: {why}")));
    }
    if left.is_empty() { Ok(()) } else { Err(DockerError::Left(left.join("; "))) }
}

/// Carries out one undo and says what was done; `None` for one that is not about containers.
pub(crate) async fn carry_out(undo: &Undo) -> Option<Result<String, EngineError>> {
    Some(match undo {
        Undo::StartContainer { engine, id, name, settle, .. } => {
            start(engine, id, name, *settle).await
        }
        Undo::UnpauseContainer { engine, id, name } => unpause(engine, id, name).await,
        Undo::ReconnectContainer { engine, id, name, attachment } => {
            reconnect(engine, id, name, attachment).await
        }
        Undo::RemoveProject { engine, project } => remove_project(engine, project).await,
        Undo::StopProcess { .. } | Undo::RunProcesses { .. } | Undo::RemoveFault { .. } => {
            return None;
        }
    })
}

/// Starts a container that was killed or stopped. An end that was asked for before the drill died may
/// still be under way: for as long as it may take, one that runs is not believed.
async fn start(host: &str, id: &str, name: &str, settle: Duration) -> Result<String, EngineError> {
    let engine = Engine::connect(host).await?;
    let settled = Instant::now() + settle;
    loop {
        let Some(state) = state(&engine, id).await? else {
            return Ok(format!("container {name} is gone: nothing to start"));
        };
        if state == State::Down {
            break;
        }
        if Instant::now() >= settled {
            return Ok(format!("container {name} runs already"));
        }
        sleep(LOOK_EVERY).await;
    }
    engine.start(id).await?;
    let end = Instant::now() + START;
    while state(&engine, id).await? == Some(State::Down) {
        if Instant::now() > end {
            let why = format!("it did not run within {START:?}");
            return Err(EngineError::Refused { what: format!("start {name}"), why, status: 0 });
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(format!("started container {name}"))
}

async fn unpause(host: &str, id: &str, name: &str) -> Result<String, EngineError> {
    let engine = Engine::connect(host).await?;
    match state(&engine, id).await? {
        None => Ok(format!("container {name} is gone: nothing to unpause")),
        Some(State::Paused) => {
            engine.unpause(id).await?;
            Ok(format!("unpaused container {name}"))
        }
        Some(_) => Ok(format!("container {name} is not paused any more")),
    }
}

async fn reconnect(
    host: &str,
    id: &str,
    name: &str,
    attachment: &Attachment,
) -> Result<String, EngineError> {
    let engine = Engine::connect(host).await?;
    let network = &attachment.network;
    let container = match engine.inspect(id).await {
        Ok(container) => container,
        Err(error) if error.is_not_found() => {
            return Ok(format!("container {name} is gone: nothing to reconnect"));
        }
        Err(error) => return Err(error),
    };
    if container.networks.iter().any(|at| at.network == *network) {
        return Ok(format!("container {name} is on network {network} already"));
    }
    match engine.connect_to(id, attachment).await {
        Err(error) if error.is_not_found() && !engine.has_network(network).await? => {
            return Ok(format!("network {network} is gone: nothing to reconnect {name} to"));
        }
        connected => connected?,
    }
    let aliases = match &attachment.aliases[..] {
        [] => String::new(),
        aliases => format!(" as {}", aliases.join(", ")),
    };
    Ok(format!("reconnected container {name} to network {network}{aliases}"))
}

/// Removes all containers, networks and volumes of a project.
async fn remove_project(host: &str, project: &str) -> Result<String, EngineError> {
    let engine = Engine::connect(host).await?;
    let mut removed = BTreeSet::new();
    let label = format!("{PROJECT}={project}");
    match timeout(REMOVE, remove_until_none_is_left(&engine, &label, &mut removed)).await {
        Ok(()) if removed.is_empty() => Ok(format!("nothing of stack {project} was left")),
        Ok(()) => {
            let removed: Vec<_> = removed.into_iter().collect();
            Ok(format!("took stack {project} down: {}", removed.join(", ")))
        }
        Err(_) => {
            let what = format!("remove stack {project}");
            // What stands in the way is said by one more try.
            remove_found(&engine, &label, &mut removed).await?;
            Err(EngineError::Silent { what, deadline: REMOVE })
        }
    }
}

/// What the tool had asked for when it was ended may come late: it is looked for until nothing was found
/// for a while.
async fn remove_until_none_is_left(engine: &Engine, label: &str, removed: &mut BTreeSet<String>) {
    let mut last_seen = Instant::now();
    while last_seen.elapsed() < LATE {
        match remove_found(engine, label, removed).await {
            Ok(false) => {}
            Ok(true) => last_seen = Instant::now(),
            Err(error) => {
                tracing::debug!(%error, "once more");
                last_seen = Instant::now();
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// One round; whether anything was found.
async fn remove_found(
    engine: &Engine,
    label: &str,
    removed: &mut BTreeSet<String>,
) -> Result<bool, EngineError> {
    let containers = engine.containers(Some(label)).await?;
    let removals = containers.iter().map(|container| engine.remove_container(&container.id));
    for (container, done) in containers.iter().zip(futures_util::future::join_all(removals).await) {
        unless_gone(done)?;
        removed.insert(container.name.clone());
    }
    let networks = engine.networks(label).await?;
    for network in &networks {
        unless_gone(engine.remove_network(network).await)?;
    }
    let volumes = engine.volumes(label).await?;
    for volume in &volumes {
        unless_gone(engine.remove_volume(volume).await)?;
    }
    Ok(!(containers.is_empty() && networks.is_empty() && volumes.is_empty()))
}

fn unless_gone(done: Result<(), EngineError>) -> Result<(), EngineError> {
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        done => done,
    }
}

/// `None` if it is gone.
async fn state(engine: &Engine, id: &str) -> Result<Option<State>, EngineError> {
    match engine.inspect(id).await {
        Ok(container) => Ok(Some(container.state)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
