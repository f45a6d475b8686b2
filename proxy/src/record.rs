//! Every injection is counted, logged, and appended to the history file.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use squall_model::fault::{Fault, FaultId};
use squall_model::history::{Anchor, Injection, Nanos, Record};
use squall_model::operation::OperationId;
use tokio::time::Instant;

use crate::observe::Observer;

/// Writes down what faults did.
#[derive(Debug)]
pub(crate) struct Recorder {
    anchor: Anchor,
    start: Instant,
    file: Option<Mutex<File>>,
    pub(crate) observer: Arc<Observer>,
}

/// What an injection hit, as far as the traffic tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hit<'a> {
    pub(crate) operation: Option<OperationId>,
    pub(crate) session: Option<&'a str>,
    pub(crate) method: Option<&'a str>,
}

impl Recorder {
    /// A recorder that also appends to the file, if one is given.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let anchor = Anchor { wall: Nanos::after_anchor(wall).0 };
        let observer = Arc::new(Observer::new());
        let recorder = Self { anchor, start: Instant::now(), file: open(path)?, observer };
        recorder.append(&Record::Anchor(recorder.anchor));
        Ok(recorder)
    }

    /// Records one act of a fault.
    pub(crate) fn injection(&self, fault: &Fault, hit: &Hit<'_>) {
        let effect = fault.effect.name();
        tracing::info!(
            fault = %fault.id,
            effect,
            operation = hit.operation.map(tracing::field::display),
            session = hit.session,
            method = hit.method,
            "injected"
        );
        self.observer.injection(&fault.id, effect, hit);
        self.append_injection(&fault.id, effect, hit);
    }

    /// Records that a fault which is over still has its effect: a session that it expired was used.
    pub(crate) fn aftermath(&self, fault: &FaultId, hit: &Hit<'_>) {
        tracing::info!(%fault, session = hit.session, method = hit.method, "session is expired");
        self.observer.injection(fault, "expire-session", hit);
        self.append_injection(fault, "expire-session", hit);
    }

    fn append_injection(&self, fault: &FaultId, effect: &str, hit: &Hit<'_>) {
        self.append(&Record::Injection(Injection {
            at: Nanos::after_anchor(self.start.elapsed()),
            fault: fault.clone(),
            effect: effect.to_owned(),
            operation: hit.operation,
            session: hit.session.map(str::to_owned),
            method: hit.method.map(str::to_owned),
        }));
    }

    fn append(&self, record: &Record) {
        let Some(file) = &self.file else { return };
        let Ok(mut line) = serde_json::to_vec(record) else {
            return;
        };
        line.push(b'\n');
        // One write a line: what was recorded survives a SIGKILL.
        if let Err(error) = file.lock().write_all(&line) {
            tracing::error!(%error, "an injection could not be recorded");
        }
    }
}

fn open(path: Option<&Path>) -> io::Result<Option<Mutex<File>>> {
    let open = |path| File::options().create(true).append(true).open(path);
    path.map(open).transpose().map(|file| file.map(Mutex::new))
}
