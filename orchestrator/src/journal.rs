//! The undo journal: an append-only file of JSON lines that is on disk before a step is taken.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::shim::identity::ProcessId;
use crate::state::{RunDir, RunId};
use crate::undo::Undo;

/// The number of an undo within its journal, from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(u64);

/// The first line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The run.
    pub run: RunId,
    /// The drill's process.
    #[serde(flatten)]
    pub process: ProcessId,
    /// The boot of the machine that the start times count from: after another boot, no process of
    /// the run can be left.
    pub boot: String,
    /// The drill's name.
    pub drill: String,
    /// The world's name.
    pub world: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    Begin(Begin),
    Undo { seq: Seq, undo: Undo },
    Undone { seq: Seq },
    End,
}

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Not written: the step that it was for must not be taken.
    #[error("cannot write the undo journal {}: nothing is changed without it", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Not read.
    #[error("cannot read the undo journal {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A line before the last is not an entry, so that this journal was not written by this program.
    #[error("line {line} of the undo journal {} is not an entry of this version: undo by hand what it lists, then remove the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The journal has no beginning.
    #[error("the undo journal {} does not begin with a `begin` entry: nothing was changed before it, remove the file", path.display())]
    NoBeginning {
        /// The file.
        path: PathBuf,
    },
}

/// A run's journal, open for writing. Clones write to the same file.
///
/// Each call blocks until its line is on disk (`fdatasync`), typically for a few milliseconds.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    /// Bytes that are known to be whole lines.
    length: u64,
    next: u64,
    outstanding: BTreeMap<Seq, Undo>,
}

impl Journal {
    /// Starts the journal of a new run.
    pub fn create(run: &RunDir, drill: &str, world: &str) -> Result<Self, JournalError> {
        let path = run.journal_path();
        let not_written = |source| JournalError::Write { path: path.clone(), source };
        let begin = Begin {
            run: run.id().clone(),
            process: ProcessId::own().map_err(not_written)?,
            boot: current_boot(),
            drill: drill.to_owned(),
            world: world.to_owned(),
        };
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut open = Open {
            file: file.map_err(not_written)?,
            length: 0,
            next: 1,
            outstanding: BTreeMap::new(),
            path: path.clone(),
        };
        open.append(&Entry::Begin(begin))?;
        sync_folder(run.path()).map_err(not_written)?;
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// Opens the journal of an adopted run, to go on where it ended. A torn last line is cut off.
    pub fn reopen(run: &RunDir) -> Result<(Self, Past), JournalError> {
        let path = run.journal_path();
        let past = Past::read(&path)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.and_then(|file| file.set_len(past.length).map(|()| file));
        let open = Open {
            file: file.map_err(|source| JournalError::Write { path: path.clone(), source })?,
            path,
            length: past.length,
            next: past.next,
            outstanding: past.outstanding.clone(),
        };
        Ok((Self(Arc::new(Mutex::new(open))), past))
    }

    /// Writes an undo down. Take the step only after this has returned `Ok`.
    pub fn register(&self, undo: Undo) -> Result<Seq, JournalError> {
        let mut open = self.0.lock();
        let seq = Seq(open.next);
        open.append(&Entry::Undo { seq, undo: undo.clone() })?;
        open.next += 1;
        open.outstanding.insert(seq, undo);
        Ok(seq)
    }

    /// The same, off the runtime's threads.
    pub(crate) async fn register_aside(&self, undo: Undo) -> Result<Seq, JournalError> {
        self.aside(move |journal| journal.register(undo)).await
    }

    /// Writes off the runtime's threads, which a disk would hold up together with the load.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let journal = self.clone();
        let written = tokio::task::spawn_blocking(move || write(&journal)).await;
        written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Notes that an undo was carried out, or that there is nothing left to undo.
    pub fn undone(&self, seq: Seq) -> Result<(), JournalError> {
        let mut open = self.0.lock();
        open.append(&Entry::Undone { seq })?;
        open.outstanding.remove(&seq);
        Ok(())
    }

    /// What is still to be undone, newest first.
    pub fn outstanding(&self) -> Vec<(Seq, Undo)> {
        newest_first(&self.0.lock().outstanding)
    }

    /// Closes the run: `heal` has nothing to do for it.
    pub fn end(&self) -> Result<(), JournalError> {
        self.0.lock().append(&Entry::End)
    }
}

impl Open {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.try_append(entry).map_err(|source| {
            // A full disk may have taken half of the line: the next one must not follow that.
            let _ = self.file.set_len(self.length);
            JournalError::Write { path: self.path.clone(), source }
        })
    }

    /// One `write` a line, so that a crash can tear only the last one.
    fn try_append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its first line.
    pub begin: Begin,
    /// Whether the run closed it.
    pub ended: bool,
    outstanding: BTreeMap<Seq, Undo>,
    next: u64,
    /// Bytes up to the end of the last whole line.
    length: u64,
}

impl Past {
    /// Reads a journal. A last line that was torn by a crash is as if it had never been begun: its
    /// step was not taken.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let text = fs::read(path)
            .map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut entries = Vec::new();
        for (at, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            entries.push(serde_json::from_slice(line).map_err(|source| JournalError::Damaged {
                path: path.to_owned(),
                line: at + 1,
                source,
            })?);
        }
        Self::from_entries(entries, whole as u64)
            .ok_or_else(|| JournalError::NoBeginning { path: path.to_owned() })
    }

    /// What is still to be undone, newest first.
    pub fn outstanding(&self) -> Vec<(Seq, Undo)> {
        newest_first(&self.outstanding)
    }

    /// Whether the machine was started anew since.
    pub fn is_of_another_boot(&self) -> bool {
        self.begin.boot != current_boot()
    }

    fn from_entries(entries: Vec<Entry>, length: u64) -> Option<Self> {
        let mut entries = entries.into_iter();
        let Some(Entry::Begin(begin)) = entries.next() else {
            return None;
        };
        let mut past = Self { begin, ended: false, outstanding: BTreeMap::new(), next: 1, length };
        entries.for_each(|entry| past.apply(entry));
        Some(past)
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Begin(_) => {}
            Entry::Undo { seq, undo } => {
                self.next = self.next.max(seq.0.saturating_add(1));
                self.outstanding.insert(seq, undo);
            }
            Entry::Undone { seq } => {
                self.outstanding.remove(&seq);
            }
            Entry::End => self.ended = true,
        }
    }
}

fn newest_first(undos: &BTreeMap<Seq, Undo>) -> Vec<(Seq, Undo)> {
    let undos = undos.iter().rev();
    undos.map(|(seq, undo)| (*seq, undo.clone())).collect()
}

fn current_boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The file's name is on disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDir;

    fn fault(id: &str) -> Undo {
        Undo::RemoveFault { admin: "http://127.0.0.1:1".to_owned(), id: id.to_owned() }
    }

    fn new_run() -> (tempfile::TempDir, RunDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let run = StateDir::at(folder.path()).begin("process").expect("a run");
        (folder, run)
    }

    fn names(undos: &[(Seq, Undo)]) -> Vec<String> {
        undos.iter().map(|(_, undo)| undo.to_string()).collect()
    }

    #[test]
    fn what_is_not_undone_is_read_back_newest_first() {
        let (_folder, run) = new_run();
        let journal = Journal::create(&run, "restart", "process").expect("a journal");
        journal.register(fault("a")).expect("written");
        let b = journal.register(fault("b")).expect("written");
        journal.register(fault("c")).expect("written");
        journal.undone(b).expect("written");
        let past = Past::read(&run.journal_path()).expect("a journal");
        assert_eq!(past.outstanding(), journal.outstanding());
        assert!(names(&past.outstanding())[0].contains("fault c"));
        assert_eq!((past.outstanding().len(), past.ended), (2, false));
        assert_eq!(past.begin.drill, "restart");
        assert!(!past.is_of_another_boot());
        journal.end().expect("written");
        assert!(Past::read(&run.journal_path()).expect("a journal").ended);
    }

    #[test]
    fn a_torn_last_line_is_as_if_it_had_never_been_begun() {
        let (_folder, run) = new_run();
        let path = run.journal_path();
        let journal = Journal::create(&run, "restart", "process").expect("a journal");
        journal.register(fault("a")).expect("written");
        let whole = fs::read(&path).expect("bytes");
        journal.register(fault("b")).expect("written");
        let all = fs::read(&path).expect("bytes");
        for length in whole.len()..all.len() {
            fs::write(&path, &all[..length]).expect("torn");
            let past = Past::read(&path).expect("the whole lines");
            assert_eq!(past.outstanding().len(), 1, "torn at {length}");
        }
        let (journal, _) = Journal::reopen(&run).expect("the whole lines");
        journal.register(fault("c")).expect("written behind them");
        let past = Past::read(&path).expect("whole lines only");
        assert!(names(&past.outstanding())[0].contains("fault c"));
    }

    #[test]
    fn a_damaged_line_is_named() {
        let (_folder, run) = new_run();
        let journal = Journal::create(&run, "restart", "process").expect("a journal");
        journal.register(fault("a")).expect("written");
        let mut bytes = fs::read(run.journal_path()).expect("bytes");
        bytes.extend_from_slice(b"garbage\n{\"undone\":{\"seq\":1}}\n");
        fs::write(run.journal_path(), bytes).expect("damaged");
        let error = Past::read(&run.journal_path()).expect_err("damage").to_string();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_journal_without_its_first_line_says_so() {
        let (_folder, run) = new_run();
        for text in ["", "{\"begin\":", "\"end\"\n"] {
            fs::write(run.journal_path(), text).expect("a file");
            let error = Past::read(&run.journal_path()).expect_err(text).to_string();
            assert!(error.contains("`begin`"), "{error}");
        }
    }
}
