//! Where runs keep what must outlive them, and the locks that die with their holders.
//!
//! `$SQUALL_STATE_DIR`, else `$XDG_STATE_HOME/squall`, else `~/.local/state/squall` holds
//! `runs/<run id>/` (`journal.jsonl` and `lock`) and `locks/<world>.lock`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// A run's name: when it began (UTC) and four hexadecimal digits, `20261123T154501-ab12`. Names sort
/// by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// A text that does not name a run.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a run id: expected a form like 20261123T154501-ab12")]
pub struct NotARunId(String);

impl RunId {
    /// A new name for a run that begins at `now`.
    pub fn new(now: SystemTime, random: u16) -> Self {
        let time = humantime::format_rfc3339_seconds(now).to_string();
        let time = time.replace(['-', ':', 'Z'], "");
        Self(format!("{time}-{random:04x}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let bytes = text.as_bytes();
        let fits = bytes.len() == 20
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                8 => *byte == b'T',
                15 => *byte == b'-',
                16.. => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
                _ => byte.is_ascii_digit(),
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(NotARunId(text.to_owned())) }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id of the drill, or of the heal.
    pub pid: u32,
    /// Its run.
    pub run: RunId,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} (pid {})", self.run, self.pid)
    }
}

/// Why the state directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No place to put it.
    #[error("no place for the state of runs: set HOME, XDG_STATE_HOME or SQUALL_STATE_DIR")]
    NoHome,
    /// The system refused.
    #[error("cannot {what} {}: make it writable, or set SQUALL_STATE_DIR to a folder that is", path.display())]
    Unusable {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Another drill is at work in this world.
    #[error("the {world} world is in use by {}: one drill runs per world; wait for it, or end it", named(.holder.as_ref()))]
    WorldInUse {
        /// The world.
        world: String,
        /// Who uses it, if that can be read.
        holder: Option<Holder>,
    },
    /// The run's drill lives, or another heal is at work on it.
    #[error("run {run} is alive, held by {}: end that process first (SIGTERM makes a drill unwind)", named(.holder.as_ref()))]
    Alive {
        /// The run.
        run: RunId,
        /// Who holds it, if that can be read.
        holder: Option<Holder>,
    },
    /// No such run.
    #[error("there is no run {run} in {}: `squall heal` without a run heals all that need it", path.display())]
    NoSuchRun {
        /// The run that was asked for.
        run: RunId,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No randomness.
    #[error("cannot draw a run id")]
    Random(#[source] getrandom::Error),
}

fn named(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "an unknown process".to_owned(), Holder::to_string)
}

fn unusable(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Unusable { what, path, source }
}

/// The folder that holds the state of all runs of this user.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Where the environment says it is.
    pub fn locate() -> Result<Self, StateError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        variable("SQUALL_STATE_DIR")
            .map(PathBuf::from)
            .or_else(|| {
                let base = variable("XDG_STATE_HOME").map(PathBuf::from);
                base.or_else(home).map(|base| base.join("squall"))
            })
            .map(Self)
            .ok_or(StateError::NoHome)
    }

    /// This folder; it is made when it is needed.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Begins a run: locks the world (`process`, or another name of a file) for it, makes its
    /// folder and locks that too. Both locks last until the [`RunDir`] is dropped or this process
    /// is gone, however it went.
    pub fn begin(&self, world: &str) -> Result<RunDir, StateError> {
        let random = getrandom::u32().map_err(StateError::Random)? as u16;
        let id = RunId::new(SystemTime::now(), random);
        let holder = Holder { pid: std::process::id(), run: id.clone() };
        let WorldLock(world_lock) = self.lock_world(world, &id)?;
        let path = self.run_path(&id);
        make_dir(&path)?;
        let lock = lock_run(&path, &holder)?;
        Ok(RunDir { id, path, _locks: vec![lock, world_lock] })
    }

    /// Locks a world for a run whose drill is gone, as that had: another drill may be at work on the same
    /// containers.
    pub(crate) fn lock_world(&self, world: &str, run: &RunId) -> Result<WorldLock, StateError> {
        let holder = Holder { pid: std::process::id(), run: run.clone() };
        let locks = self.0.join("locks");
        make_dir(&locks)?;
        let locked = lock(&locks.join(format!("{world}.lock")), &holder)?;
        let in_use = |holder| StateError::WorldInUse { world: world.to_owned(), holder };
        locked.map(WorldLock).map_err(in_use)
    }

    /// Takes over a run whose drill is gone. Fails with [`StateError::Alive`] if it is not.
    pub fn adopt(&self, id: &RunId) -> Result<RunDir, StateError> {
        let path = self.run_path(id);
        if !path.is_dir() {
            return Err(StateError::NoSuchRun { run: id.clone(), path: self.0.join("runs") });
        }
        let holder = Holder { pid: std::process::id(), run: id.clone() };
        let lock = lock_run(&path, &holder)?;
        Ok(RunDir { id: id.clone(), path, _locks: vec![lock] })
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> Result<Vec<RunId>, StateError> {
        let path = self.0.join("runs");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable("read", &path)(error)),
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut runs: Vec<RunId> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        runs.sort();
        Ok(runs)
    }

    /// Where a run's journal is.
    pub fn journal_path(&self, id: &RunId) -> PathBuf {
        self.run_path(id).join(JOURNAL)
    }

    fn run_path(&self, id: &RunId) -> PathBuf {
        self.0.join("runs").join(id.as_str())
    }
}

const JOURNAL: &str = "journal.jsonl";

/// A run's own folder, held as long as this value lives.
#[derive(Debug)]
pub struct RunDir {
    id: RunId,
    path: PathBuf,
    _locks: Vec<Lock>,
}

impl RunDir {
    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its journal is.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }
}

/// A world that this process has for itself, until this is dropped.
#[derive(Debug)]
pub(crate) struct WorldLock(Lock);

/// A lock that this process holds.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Closing is not enough: a child that was just forked and has not yet become its command shares
    /// the open file, and with it the lock.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn make_dir(path: &Path) -> Result<(), StateError> {
    fs::create_dir_all(path).map_err(unusable("make the folder", path))
}

fn lock_run(path: &Path, holder: &Holder) -> Result<Lock, StateError> {
    lock(&path.join("lock"), holder)?
        .map_err(|found| StateError::Alive { run: holder.run.clone(), holder: found })
}

/// Takes the lock, or says who has it. The file stays: only the lock on it counts.
fn lock(path: &Path, holder: &Holder) -> Result<Result<Lock, Option<Holder>>, StateError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(unusable("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            write_holder(&mut file, holder).map_err(unusable("write", path))?;
            Ok(Ok(Lock(file)))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Err(read_holder(&mut file))),
        Err(error) => Err(unusable("lock", path)(error.into())),
    }
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(holder)?)
}

/// Its holder may be just about to write: then nobody is named.
fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_run_id_tells_the_time_and_sorts_by_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let id = RunId::new(at(1_795_448_701), 0xab1);
        assert_eq!(id.as_str(), "20261123T154501-0ab1");
        assert_eq!(id.as_str().parse::<RunId>().ok(), Some(id.clone()));
        assert!(id < RunId::new(at(1_795_448_702), 0));
    }

    #[test]
    fn what_could_leave_the_folder_is_not_a_run_id() {
        for bad in ["", "..", "../../../../etc/pass", "20261123T154501-AB12"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_drill_runs_per_world_and_the_next_is_told_who_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::at(folder.path());
        let first = state.begin("process").expect("a free world");
        let error = state.begin("process").expect_err("taken").to_string();
        assert!(error.contains(first.id().as_str()), "{error}");
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        state.begin("docker").expect("another world is free");
        drop(first);
        state.begin("process").expect("free again");
    }

    #[test]
    fn a_run_is_adopted_only_when_its_drill_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::at(folder.path());
        let run = state.begin("process").expect("a run");
        let id = run.id().clone();
        assert!(matches!(state.adopt(&id), Err(StateError::Alive { .. })));
        drop(run);
        assert_eq!(state.adopt(&id).expect("a dead run").id(), &id);
        assert_eq!(state.runs().expect("a listing"), [id]);
    }

    #[test]
    fn an_unknown_run_and_an_unusable_folder_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        let error = StateDir::at(&file).begin("process").expect_err("a file");
        assert!(error.to_string().contains("SQUALL_STATE_DIR"), "{error}");
        let id: RunId = "20261123T154501-ab12".parse().expect("an id");
        let error = StateDir::at(folder.path()).adopt(&id).expect_err("no run");
        assert!(error.to_string().contains(id.as_str()), "{error}");
    }
}
