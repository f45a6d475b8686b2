//! All that a drill has started: replicas, its proxy, whatever must not outlive it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::child::{Birth, Child, ChildError, ChildExit};
use super::log::Log;
use super::spawner::Spawner;
use crate::heal::end_all;
use crate::journal::{Journal, Seq};
use crate::shim::identity::ProcessId;
use crate::shim::report::Report;
use crate::shim::tree::{self, CHILD_VARIABLE, RUN_VARIABLE};
use crate::state::{RunDir, RunId};
use crate::undo::Undo;

/// How long a shim may take to report that the command runs.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// How long a shim may take to go: a little more than it gives its tree.
const SEE_OFF_DEADLINE: Duration = Duration::from_secs(12);

/// How long the last sweep may take.
const SWEEP_DEADLINE: Duration = Duration::from_secs(5);

/// How many exits a slow listener may be behind before it misses some.
const EXITS: usize = 1024;

/// The word that means our own executable when it is the first of a command.
const OWN_NAME: &str = "squall";

/// The children of one run. Clones are the same children. When the last clone and the last
/// [`Child`] are dropped, the children end by themselves; [`Children::close`] waits for it.
#[derive(Clone, Debug)]
pub struct Children(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run: RunId,
    journal: Journal,
    catch_all: Seq,
    logs: PathBuf,
    squall: PathBuf,
    spawner: Arc<Spawner>,
    exits: broadcast::Sender<ChildExit>,
    born: Mutex<Vec<Child>>,
}

impl Children {
    /// Gets ready to start children of this run, on a tokio runtime with I/O and time. Logs go to
    /// `<out>/logs/<name>.log`; `squall` is our own executable, which holds the shim (see
    /// [`std::env::current_exe`]). Writes down the undo that ends whatever else is not undone.
    pub fn begin(
        run: &RunDir,
        journal: &Journal,
        out: &Path,
        squall: PathBuf,
    ) -> Result<Self, ChildError> {
        let catch_all = journal.register(Undo::RunProcesses { run: run.id().clone() })?;
        let spawner = Spawner::start()
            .map_err(|source| ChildError::Shim { name: "any child".to_owned(), source })?;
        Ok(Self(Arc::new(Inner {
            run: run.id().clone(),
            journal: journal.clone(),
            catch_all,
            logs: out.join("logs"),
            squall,
            spawner: Arc::new(spawner),
            exits: broadcast::Sender::new(EXITS),
            born: Mutex::default(),
        })))
    }

    /// The run that the children belong to.
    pub fn run(&self) -> &RunId {
        &self.0.run
    }

    /// Where logs go.
    pub(super) fn logs(&self) -> &Path {
        &self.0.logs
    }

    /// A folder for a child's own files, beside the logs.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, ChildError> {
        let folder = self.0.logs.with_file_name(name);
        std::fs::create_dir_all(&folder).map_err(|source| ChildError::Log {
            name: name.to_owned(),
            folder: folder.display().to_string(),
            source,
        })?;
        Ok(folder)
    }

    /// Hears of every child that ends from now on, expected or not.
    pub fn exits(&self) -> broadcast::Receiver<ChildExit> {
        self.0.exits.subscribe()
    }

    /// Starts a command under a shim, in a process group of its own, with `environment` on top of
    /// the drill's. The first word `squall` means our own executable. Returns when the command runs
    /// and its undo is on disk; whether it is ready is another question.
    pub async fn spawn(
        &self,
        name: &str,
        command: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Child, ChildError> {
        let (log, file) = Log::open(&self.0.logs, name).map_err(|source| ChildError::Log {
            name: name.to_owned(),
            folder: self.0.logs.display().to_string(),
            source,
        })?;
        let command = self.shim_of(name, command, environment, file)?;
        let handle = self.0.spawner.spawn(command).await;
        let handle = handle.map_err(|source| ChildError::Shim { name: name.to_owned(), source })?;
        let child = self.bear(name, log, handle).await?;
        let mut born = self.0.born.lock();
        born.retain(|child| !child.is_gone());
        born.push(child.clone());
        Ok(child)
    }

    /// Ends all children at once, gives each `grace` to go by itself, and makes sure by the
    /// environment that nothing of the run is left, not even a child whose start was interrupted.
    /// May be called again.
    pub async fn close(&self, grace: Duration) -> Result<(), ChildError> {
        let born: Vec<Child> = self.0.born.lock().clone();
        let stopped = join_all(born.iter().map(|child| child.stop(grace))).await;
        self.0.spawner.settle().await;
        self.sweep().await?;
        stopped.into_iter().collect()
    }

    async fn sweep(&self) -> Result<(), ChildError> {
        let inner = Arc::clone(&self.0);
        let swept = tokio::task::spawn_blocking(move || {
            let strays = || tree::strays(inner.run.as_str(), None);
            if !end_all(SWEEP_DEADLINE, strays) {
                return Err(left(&strays()));
            }
            Ok(inner.journal.undone(inner.catch_all)?)
        });
        swept.await.unwrap_or_else(|_| Err(left(&[])))
    }

    fn shim_of(
        &self,
        name: &str,
        command: &[String],
        environment: &BTreeMap<String, String>,
        log: File,
    ) -> Result<Command, ChildError> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(ChildError::NoCommand(name.to_owned()));
        };
        let mut shim = Command::new(&self.0.squall);
        shim.args(["shim", "--"]);
        match program.as_str() {
            OWN_NAME => shim.arg(&self.0.squall),
            other => shim.arg(other),
        };
        shim.args(arguments)
            .envs(environment)
            .env(RUN_VARIABLE, self.0.run.as_str())
            .env(CHILD_VARIABLE, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        Ok(shim)
    }

    /// From a shim that was just spawned to a child whose undo is on disk. If this is dropped, so
    /// is the handle, and the end of its stdin ends the shim.
    async fn bear(
        &self,
        name: &str,
        log: Log,
        mut handle: tokio::process::Child,
    ) -> Result<Child, ChildError> {
        let silent = || ChildError::Silent {
            name: name.to_owned(),
            said: log.last_line().unwrap_or_default(),
        };
        let shim = handle.id().and_then(ProcessId::of).ok_or_else(silent)?;
        let orders = handle.stdin.take().ok_or_else(silent)?;
        let stdout = handle.stdout.take().ok_or_else(silent)?;
        let mut reports = BufReader::new(stdout).lines();
        let (process, undo) = match self.record_start(name, &log, shim, &mut reports).await {
            Ok(started) => started,
            Err(error) => {
                drop(orders);
                see_off(handle).await;
                return Err(error);
            }
        };
        Ok(Child::new(Birth {
            name: name.to_owned(),
            run: self.0.run.clone(),
            process,
            shim,
            log,
            handle,
            orders,
            reports,
            journal: self.0.journal.clone(),
            undo,
            exits: self.0.exits.clone(),
            spawner: Arc::clone(&self.0.spawner),
        }))
    }

    /// Waits for the shim's first report and writes the undo of what it says.
    async fn record_start(
        &self,
        name: &str,
        log: &Log,
        shim: ProcessId,
        reports: &mut Lines<BufReader<ChildStdout>>,
    ) -> Result<(ProcessId, Seq), ChildError> {
        match first_report(reports).await {
            Some(Report::Started(process)) => {
                let undo = Undo::stop_process(name, shim, process);
                Ok((process, self.0.journal.register_aside(undo).await?))
            }
            Some(Report::NotStarted { reason }) => {
                Err(ChildError::NotStarted { name: name.to_owned(), reason })
            }
            _ => Err(ChildError::Silent {
                name: name.to_owned(),
                said: log.last_line().unwrap_or_default(),
            }),
        }
    }
}

async fn first_report(reports: &mut Lines<BufReader<ChildStdout>>) -> Option<Report> {
    let line = timeout(START_DEADLINE, reports.next_line()).await;
    serde_json::from_str(&line.ok()?.ok()??).ok()
}

/// Waits for a shim whose stdin has ended, and kills it if it does not go. What it would leave then
/// is found by the run's last sweep.
async fn see_off(mut shim: tokio::process::Child) {
    if timeout(SEE_OFF_DEADLINE, shim.wait()).await.is_err() {
        let _ = shim.kill().await;
    }
}

fn left(strays: &[ProcessId]) -> ChildError {
    ChildError::Left(strays.iter().map(|process| process.pid).collect())
}
