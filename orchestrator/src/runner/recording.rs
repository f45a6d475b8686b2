//! What a run writes down: each operation and event as it happens, and the reports at the end.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use squall_loadgen::{Clock, Sink};
use squall_model::history::{Event, Nanos, Operation, Record};

use crate::report::Report;

/// The drill's own history, in `history.jsonl`.
const HISTORY: &str = "history.jsonl";
/// The proxy's history: what its faults did.
const PROXY_HISTORY: &str = "proxy.jsonl";
const REPORT_JSON: &str = "report.json";
const REPORT_HTML: &str = "report.html";

/// The files of a run, and what is in them.
///
/// All operations are kept in memory, for stop conditions and checkers; a drill whose rate would make
/// too many is refused when it is read.
#[derive(Debug)]
pub(crate) struct Recording {
    out: PathBuf,
    clock: Clock,
    kept: std::sync::Arc<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: Mutex<File>,
    /// Whether a line could not be written.
    was_torn: AtomicBool,
    operations: Mutex<Vec<Operation>>,
    events: Mutex<Vec<Event>>,
}

/// Why a run's files could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}; choose another folder with --out", .path.display())]
pub(crate) struct RecordingError {
    path: PathBuf,
    source: io::Error,
}

impl Recording {
    /// Makes the run's folder and begins its history. What an earlier run left there goes: its
    /// injections are not this run's, and neither is its report.
    pub(crate) fn create(out: &Path, clock: Clock) -> Result<Self, RecordingError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RecordingError { path, source }
        };
        std::fs::create_dir_all(out).map_err(failed(out))?;
        for stale in [PROXY_HISTORY, REPORT_JSON, REPORT_HTML] {
            let path = out.join(stale);
            remove(&path).map_err(failed(&path))?;
        }
        let path = out.join(HISTORY);
        let file = File::create(&path).map_err(failed(&path))?;
        let kept = Kept {
            file: Mutex::new(file),
            was_torn: AtomicBool::new(false),
            operations: Mutex::default(),
            events: Mutex::default(),
        };
        let recording = Self { out: out.to_owned(), kept: kept.into(), clock };
        recording.kept.write(&Record::Anchor(recording.clock.anchor()));
        Ok(recording)
    }

    /// The run's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the load generator records into.
    pub(crate) fn sink(&self) -> std::sync::Arc<dyn Sink> {
        self.kept.clone()
    }

    /// Where the proxy records its injections.
    pub(crate) fn proxy_history(&self) -> PathBuf {
        self.out.join(PROXY_HISTORY)
    }

    /// Records something that the drill did, or that happened to its world.
    pub(crate) fn event(&self, kind: &str, what: &str, at: Nanos, until: Option<Nanos>) {
        let event = Event { at, until, kind: kind.to_owned(), what: what.to_owned() };
        self.kept.write(&Record::Event(event.clone()));
        self.kept.events.lock().push(event);
    }

    /// All operations of a load that has ended. They are handed over: twice would be too much for
    /// a long run.
    pub(crate) fn take_operations(&self) -> Vec<Operation> {
        std::mem::take(&mut self.kept.operations.lock())
    }

    /// Looks at the operations that completed at `since` or later, newest first.
    pub(crate) fn recent<T>(&self, since: Nanos, look: impl FnOnce(&[&Operation]) -> T) -> T {
        let operations = self.kept.operations.lock();
        let recent: Vec<_> =
            operations.iter().rev().take_while(|operation| operation.completed >= since).collect();
        look(&recent)
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.kept.events.lock().clone()
    }

    /// Writes `report.json` and `report.html`.
    pub(crate) fn write_reports(&self, report: &Report) -> Result<(), RecordingError> {
        for (name, text) in [(REPORT_JSON, report.to_json()), (REPORT_HTML, report.to_html())] {
            let path = self.out.join(name);
            let written = text.and_then(|text| std::fs::write(&path, text));
            written.map_err(|source| RecordingError { path, source })?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Kept {
    /// One write a line: what was recorded survives a SIGKILL.
    fn write(&self, record: &Record) {
        let Ok(mut line) = serde_json::to_vec(record) else { return };
        line.push(b'\n');
        let Err(error) = self.file.lock().write_all(&line) else { return };
        // Once: a disk that is full would otherwise be told of for every operation.
        if !self.was_torn.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "history.jsonl could not be written and has gaps from here on; the report, made from memory, has none");
        }
    }
}

impl Sink for Kept {
    fn record(&self, operation: Operation) {
        self.write(&Record::Operation(operation.clone()));
        self.operations.lock().push(operation);
    }
}
