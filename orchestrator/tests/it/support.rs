//! What the tests stand on: a run of their own, a tree of processes, and ways to see it end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use squall::shim::identity::ProcessId;
use squall::shim::report::Report;
use squall::state::{RunDir, StateDir};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Our own executable.
pub(crate) const SQUALL: &str = env!("CARGO_BIN_EXE_squall");

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A folder with state and a run in it.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) state: StateDir,
    pub(crate) run: RunDir,
}

pub(crate) fn scene() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDir::at(folder.path().join("state"));
    let run = state.begin("process").expect("a run");
    Scene { folder, state, run }
}

/// Where the processes of a tree say who they are.
pub(crate) struct Roll {
    path: PathBuf,
    lines: Lines<BufReader<pipe::Receiver>>,
}

impl Roll {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("roll");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a fifo");
        // Open for writing too, so that it does not end between two writers.
        let mut options = pipe::OpenOptions::new();
        let receiver = options.read_write(true).open_receiver(&path).expect("open");
        let lines = BufReader::new(receiver).lines();
        Self { path, lines }
    }

    /// A shell with a child, and with a grandchild that has daemonised: orphaned, in a session of
    /// its own. All three call the roll.
    pub(crate) fn tree(&self) -> Vec<String> {
        self.shell(
            "(setsid sleep 60 & echo $! >$ROLL); sleep 60 & echo $! >$ROLL; echo $$ >$ROLL; wait",
        )
    }

    /// A shell script that may write pids to `$ROLL`.
    pub(crate) fn shell(&self, script: &str) -> Vec<String> {
        let script = format!("ROLL={}; {script}", self.path.display());
        ["sh", "-c", &script].map(str::to_owned).to_vec()
    }

    /// The next process that calls.
    pub(crate) async fn next(&mut self) -> ProcessId {
        let line = timeout(DEADLINE, self.lines.next_line()).await;
        let line = line.expect("a pid in time").expect("readable").expect("open");
        ProcessId::of(line.parse().expect("a pid")).expect("a process")
    }

    /// The three processes of [`Roll::tree`]: daemon, child, shell.
    pub(crate) async fn three(&mut self) -> [ProcessId; 3] {
        [self.next().await, self.next().await, self.next().await]
    }
}

/// Waits until they are gone, or fails.
pub(crate) async fn assert_gone(processes: impl IntoIterator<Item = ProcessId>) {
    for process in processes {
        let waited = tokio::task::spawn_blocking(move || process.wait_until_gone(DEADLINE));
        let gone = waited.await.expect("waited").expect("a process");
        assert!(gone, "{process} still runs");
    }
}

/// A bare shim, as a drill would start it.
pub(crate) struct Shim {
    pub(crate) child: Child,
    pub(crate) orders: Option<ChildStdin>,
    pub(crate) reports: Lines<BufReader<ChildStdout>>,
}

pub(crate) fn shim(command: &[String], run: &str) -> Shim {
    let mut child = Command::new(SQUALL)
        .args(["shim", "--"])
        .args(command)
        .env("SQUALL_RUN", run)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shim");
    let orders = child.stdin.take();
    let reports = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    Shim { child, orders, reports }
}

impl Shim {
    pub(crate) fn id(&self) -> ProcessId {
        ProcessId::of(self.child.id().expect("not reaped")).expect("a shim")
    }

    pub(crate) async fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("open");
        let line = format!("{order}\n");
        orders.write_all(line.as_bytes()).await.expect("heard");
    }

    pub(crate) async fn report(&mut self) -> Report {
        let line = timeout(DEADLINE, self.reports.next_line()).await;
        let line = line.expect("in time").expect("readable").expect("a report");
        serde_json::from_str(&line).expect(&line)
    }

    pub(crate) async fn assert_ends_well(&mut self) {
        let status = timeout(DEADLINE, self.child.wait()).await;
        let status = status.expect("in time").expect("a status");
        assert!(status.success(), "{status}");
    }
}
