//! Faults that come from a file, and change with it.

use std::sync::Arc;

use squall_model::fault::{Fault, FaultId};

use crate::board::Board;

/// Puts the faults of a file on the board, again and again. Faults that were added otherwise stay.
#[derive(Debug)]
pub struct Reloader {
    board: Arc<Board>,
    /// Those that the file has said before.
    ids: Vec<FaultId>,
}

/// Why what the file says could not be applied. The faults stay as they were.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(String);

impl Reloader {
    pub(crate) fn new(board: Arc<Board>, ids: Vec<FaultId>) -> Self {
        Self { board, ids }
    }

    /// Applies what the file says now, all at once. A fault that is the same goes on.
    pub fn reload(&mut self, faults: Vec<Fault>) -> Result<(), ReloadError> {
        let ids: Vec<_> = faults.iter().map(|fault| fault.id.clone()).collect();
        let mut new = faults;
        let mut all = Vec::new();
        for live in self.board.snapshot().faults() {
            let fault = &live.fault;
            if !self.ids.contains(&fault.id) {
                all.push(fault.clone());
            } else if let Some(place) = new.iter().position(|other| other.id == fault.id) {
                all.push(new.remove(place));
            }
        }
        all.append(&mut new);
        self.board.apply(all).map_err(|error| ReloadError(error.to_string()))?;
        self.ids = ids;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::chance::Seed;

    fn faults(ids: &[&str]) -> Vec<Fault> {
        let fault = |id| format!(r#"{{"id":"{id}","effect":{{"drop":{{}}}}}}"#);
        ids.iter().map(|id| serde_json::from_str(&fault(id)).expect("a fault")).collect()
    }

    #[test]
    fn the_file_changes_its_own_faults_only() {
        let board = Arc::new(Board::new(Seed::new(1)));
        let ids = || -> Vec<_> {
            board.snapshot().faults().iter().map(|live| live.fault.id.to_string()).collect()
        };
        let mut reloader = Reloader::new(board.clone(), Vec::new());
        reloader.reload(faults(&["a", "b"])).expect("they are new");
        board.add(faults(&["hand"]).remove(0)).expect("it is new");
        reloader.reload(faults(&["b", "c"])).expect("they are its own");
        assert_eq!(ids(), ["b", "hand", "c"]);
        assert!(reloader.reload(faults(&["hand"])).is_err(), "it was added by hand");
        assert_eq!(ids(), ["b", "hand", "c"]);
    }
}
