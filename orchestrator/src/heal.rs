//! `squall heal`: undoes what a drill that was killed could not undo itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::causes::in_words;
use crate::journal::{Journal, JournalError, Past};
use crate::shim::identity::ProcessId;
use crate::shim::signal::Signal;
use crate::shim::tree;
use crate::state::{RunDir, RunId, StateDir, StateError};
use crate::undo::{Undo, in_order};
use crate::world::docker::restore;

/// How long a shim may take to end its tree: a little more than it gives itself.
const SHIM_DEADLINE: Duration = Duration::from_secs(12);

/// How long processes may take to go after SIGKILL.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Why a run could not be healed.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// It is alive, unknown, or its folder unusable.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something could not be undone. Heal again when it can.
    #[error(
        "run {run}: cannot {what}: do it by hand, then heal again ({done} other undos are done)"
    )]
    Left {
        /// The run.
        run: RunId,
        /// What is left to do.
        what: String,
        /// How many undos were carried out.
        done: usize,
    },
}

/// What a heal has done.
#[derive(Debug, Default)]
pub struct Healed {
    /// The runs that needed it, oldest first.
    pub runs: Vec<HealedRun>,
    /// Runs that were left alone because their drill lives, or another drills the same world.
    pub alive: Vec<StateError>,
    /// Runs that could not be healed. Empty if a single run was asked for.
    pub failed: Vec<HealError>,
}

impl Healed {
    /// Whether no run needed anything.
    pub fn is_nothing(&self) -> bool {
        self.runs.is_empty() && self.failed.is_empty()
    }
}

/// What was done for one run.
#[derive(Debug)]
pub struct HealedRun {
    /// The run.
    pub run: RunId,
    /// Its drill's name.
    pub drill: String,
    /// What was done, a line each, for people.
    pub lines: Vec<String>,
}

/// Heals one run, or all that need it. Blocks until everything is gone, for seconds at most.
///
/// Asked for one run, it fails if that is alive; asked for all, it leaves the live ones alone.
pub fn heal(state: &StateDir, run: Option<&RunId>) -> Result<Healed, HealError> {
    let mut healed = Healed::default();
    if let Some(run) = run {
        healed.runs.extend(heal_run(state, run)?);
        return Ok(healed);
    }
    for run in state.runs()? {
        match heal_run(state, &run) {
            Ok(run) => healed.runs.extend(run),
            Err(HealError::State(
                alive @ (StateError::Alive { .. } | StateError::WorldInUse { .. }),
            )) => healed.alive.push(alive),
            Err(error) => healed.failed.push(error),
        }
    }
    Ok(healed)
}

/// `None` means that there was nothing to do.
fn heal_run(state: &StateDir, run: &RunId) -> Result<Option<HealedRun>, HealError> {
    if has_ended(state, run) {
        return Ok(None);
    }
    let dir = state.adopt(run)?;
    let Some((journal, past)) = reopen(&dir)? else {
        return Ok(None);
    };
    // Another heal may have been faster than the lock.
    if past.ended {
        return Ok(None);
    }
    // Containers are shared with whoever drills them now; processes are the run's own.
    let outlives = journal.outstanding().iter().any(|(_, undo)| undo.outlives_boots());
    let _world = outlives.then(|| state.lock_world(&past.begin.world, run)).transpose()?;
    let lines = replay(&journal, &past)?;
    journal.end()?;
    Ok(Some(HealedRun { run: run.clone(), drill: past.begin.drill, lines }))
}

/// A look without the lock: most runs have ended, and a drill may be just about to begin.
fn has_ended(state: &StateDir, run: &RunId) -> bool {
    Past::read(&state.journal_path(run)).is_ok_and(|past| past.ended)
}

/// `None` means that the drill died before it wrote a first line, and so before it did anything.
fn reopen(dir: &RunDir) -> Result<Option<(Journal, Past)>, JournalError> {
    if !dir.journal_path().exists() {
        return Ok(None);
    }
    match Journal::reopen(dir) {
        Ok(opened) => Ok(Some(opened)),
        Err(JournalError::NoBeginning { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn replay(journal: &Journal, past: &Past) -> Result<Vec<String>, HealError> {
    let run = &past.begin.run;
    let mut lines = Vec::new();
    let mut left = Vec::new();
    if past.is_of_another_boot() {
        lines.push("the machine was started anew since: none of its processes is left".to_owned());
    }
    for (seq, undo) in in_order(journal.outstanding()) {
        let done = if past.is_of_another_boot() && !undo.outlives_boots() {
            Ok(format!("{undo}: done by the restart"))
        } else {
            carry_out(&undo)
        };
        match done {
            Ok(line) => {
                lines.push(line);
                // A journal that cannot be written keeps nothing from being undone.
                let noted = journal.undone(seq).map_err(|error| in_words(&error));
                left.extend(noted.err().map(|why| format!("{undo} once more ({why})")));
            }
            Err(why) => left.push(format!("{undo}{why}")),
        }
    }
    if left.is_empty() {
        return Ok(lines);
    }
    Err(HealError::Left { run: run.clone(), what: left.join("; "), done: lines.len() })
}

/// Says what was done, or why it could not be done, as far as there is more to say.
fn carry_out(undo: &Undo) -> Result<String, String> {
    let no_more = String::new;
    match undo {
        Undo::StopProcess { name, shim_pid, shim_start, pid, start } => {
            let shim = process(*shim_pid, *shim_start);
            end_child(name, shim, process(*pid, *start)).ok_or_else(no_more)
        }
        Undo::RunProcesses { run } => end_strays(run).ok_or_else(no_more),
        Undo::RemoveFault { admin, id } => {
            Ok(format!("fault {id} at {admin}: ends by its lease, which nobody renews"))
        }
        Undo::StartContainer { .. }
        | Undo::UnpauseContainer { .. }
        | Undo::ReconnectContainer { .. }
        | Undo::RemoveProject { .. } => put_back(undo),
    }
}

/// On a thread of its own: this may be called from within a runtime.
fn put_back(undo: &Undo) -> Result<String, String> {
    let work = || -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!(" ({error})"))?;
        match runtime.block_on(restore::carry_out(undo)) {
            Some(Ok(line)) => Ok(line),
            Some(Err(error)) => Err(format!(" ({})", in_words(&error))),
            None => Err(String::new()),
        }
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn process(pid: u32, start: u64) -> ProcessId {
    ProcessId { pid, start }
}

fn end_child(name: &str, shim: ProcessId, command: ProcessId) -> Option<String> {
    if !shim.is_alive() && !command.is_alive() {
        return Some(format!("{name} ({command}) was gone"));
    }
    if signalled(shim, Signal::Term) && !is_gone_within(shim, SHIM_DEADLINE) {
        signalled(shim, Signal::Kill);
    }
    let ended = end_all(KILL_DEADLINE, || with_descendants(command));
    ended.then(|| format!("ended {name} ({command}) and all below it"))
}

fn end_strays(run: &RunId) -> Option<String> {
    let found = tree::strays(run.as_str(), None);
    if found.is_empty() {
        return Some(format!("no other process of run {run} was left"));
    }
    let names: Vec<String> = found.iter().map(ProcessId::to_string).collect();
    let ended = end_all(KILL_DEADLINE, || tree::strays(run.as_str(), None));
    ended.then(|| format!("ended what run {run} had left behind: {}", names.join(", ")))
}

fn with_descendants(process: ProcessId) -> Vec<ProcessId> {
    if !process.is_alive() {
        return Vec::new();
    }
    let mut all = tree::descendants(process.pid);
    all.push(process);
    all
}

/// Kills what is found until nothing is found any more. `false` if that never happened.
pub(crate) fn end_all(deadline: Duration, find: impl Fn() -> Vec<ProcessId>) -> bool {
    let end = Instant::now() + deadline;
    loop {
        let found = find();
        if found.is_empty() {
            return true;
        }
        for process in &found {
            signalled(*process, Signal::Kill);
        }
        for process in found {
            let left = end.saturating_duration_since(Instant::now());
            if !is_gone_within(process, left) {
                return false;
            }
        }
    }
}

fn signalled(process: ProcessId, signal: Signal) -> bool {
    process.signal(signal).unwrap_or(false)
}

fn is_gone_within(process: ProcessId, deadline: Duration) -> bool {
    process.wait_until_gone(deadline).unwrap_or(false)
}
