//! The state file: the faults of a proxy survive its restart.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use squall_model::fault::Fault;

use crate::board::{Board, LiveFault};

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    faults: Vec<Saved>,
}

/// A fault, and what had become of it.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    fault: Fault,
    matches: u64,
    hits: u64,
    /// When its lease ends, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
}

impl Saved {
    fn of(live: &LiveFault) -> Self {
        let end = live.time_left().map(|left| now() + left);
        Self {
            fault: live.fault.clone(),
            matches: live.matches(),
            hits: live.hits(),
            ends_at: end.map(|end| end.as_millis() as u64),
        }
    }
}

fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    #[error("it is not the state of a proxy ({0}); move it away to begin without one")]
    Parse(serde_json::Error),
    #[error("it cannot be written: {0}")]
    Write(io::Error),
}

/// Puts the faults of the file on the board, with their counters and what is left of their leases.
/// Without a file there are none. Nothing is overwritten that cannot be read.
pub(crate) fn restore(path: &Path, board: &Board) -> Result<(), StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return write(path, board),
        Err(error) => return Err(StateError::Read(error)),
    };
    let state: State = serde_json::from_slice(&text).map_err(StateError::Parse)?;
    for Saved { fault, matches, hits, ends_at } in state.faults {
        let left = ends_at.map(|end| Duration::from_millis(end).saturating_sub(now()));
        if left.is_none_or(|left| !left.is_zero()) {
            board.restore(fault, matches, hits, left);
        }
    }
    Ok(())
}

/// Writes the faults down whenever they change, for as long as it is polled, and once more at the end.
pub(crate) async fn keep(path: PathBuf, board: Arc<Board>) {
    let mut changes = board.subscribe();
    let keeper = Arc::new(Keeper { path, board, writing: Mutex::new(()) });
    let _last = LastWord(keeper.clone());
    while changes.changed().await.is_ok() {
        let keeper = keeper.clone();
        let _ = tokio::task::spawn_blocking(move || keeper.write()).await;
    }
}

/// Writes one after the other.
#[derive(Debug)]
struct Keeper {
    path: PathBuf,
    board: Arc<Board>,
    writing: Mutex<()>,
}

impl Keeper {
    fn write(&self) {
        let _writing = self.writing.lock();
        if let Err(error) = write(&self.path, &self.board) {
            tracing::error!(%error, path = %self.path.display(), "the state is not kept");
        }
    }
}

/// Writes the counters down as they are in the end.
struct LastWord(Arc<Keeper>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.write();
    }
}

/// Writes beside the file and then takes its place, so that there is never half of it.
fn write(path: &Path, board: &Board) -> Result<(), StateError> {
    let snapshot = board.snapshot();
    let faults = snapshot.faults().iter().map(|live| Saved::of(live)).collect();
    let text = serde_json::to_vec_pretty(&State { faults }).map_err(StateError::Parse)?;
    let beside = path.with_added_extension("new");
    let replace = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    replace().map_err(StateError::Write)
}
