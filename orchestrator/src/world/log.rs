//! What a child writes: one file a name, appended to by each of its lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a log is looked at for its last words.
const TAIL_BYTES: u64 = 4096;

/// How many lines are last words.
const TAIL_LINES: usize = 8;

/// A child's log file, and where in it its present life begins.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    begins: u64,
}

impl Log {
    /// Opens `<folder>/<name>.log` for a new life.
    pub(super) fn open(folder: &Path, name: &str) -> io::Result<(Self, File)> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let begins = file.metadata()?.len();
        Ok((Self { path, begins }, file))
    }

    /// The last lines of this life; empty if it said nothing, or nothing that can be read.
    pub(super) fn tail(&self) -> String {
        let bytes = self.read_tail().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// The last line of this life that says something: an error's one line quotes no more than that.
    pub(super) fn last_line(&self) -> Option<String> {
        let tail = self.tail();
        let mut lines = tail.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    }

    fn read_tail(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        let from = self.begins.max(end.saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_tail_is_the_last_lines_of_the_present_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, mut file) = Log::open(folder.path(), "replica-1").expect("a log");
        writeln!(file, "from an earlier life").expect("written");
        let (log, mut file) = Log::open(folder.path(), "replica-1").expect("a log");
        assert_eq!(log.tail(), "");
        (1..=10).for_each(|n| writeln!(file, "line {n}").expect("written"));
        assert!(log.tail().starts_with("line 3\n") && log.tail().ends_with("line 10"));
        writeln!(file, "{}", "x".repeat(100_000)).expect("written");
        assert!(log.tail().len() as u64 <= TAIL_BYTES);
    }
}
