//! One child of the drill, under its shim.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::log::Log;
use super::spawner::Spawner;
use crate::heal::end_all;
use crate::journal::{Journal, JournalError, Seq};
use crate::shim::identity::ProcessId;
use crate::shim::report::{Exit, Order, Report};
use crate::shim::signal::Signal;
use crate::shim::tree;
use crate::state::RunId;

/// How long a shim may take to carry out an order.
const ORDER_DEADLINE: Duration = Duration::from_secs(5);

/// How long a shim may take to end its tree, a little more than it gives itself.
const END_DEADLINE: Duration = Duration::from_secs(12);

/// How long strays may take to go.
const SWEEP_DEADLINE: Duration = Duration::from_secs(5);

/// A child ended, expected or not.
#[derive(Clone, Debug)]
pub struct ChildExit {
    /// What the drill calls it.
    pub name: String,
    /// Its process.
    pub process: ProcessId,
    /// How it ended; `None` if its shim was killed, so that nobody saw it.
    pub exit: Option<Exit>,
    /// Whether the drill itself had just ended it.
    pub expected: bool,
    /// When the drill heard of it.
    pub at: Instant,
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.expected { "was ended" } else { "ended by itself" };
        write!(f, "{} {how} ({})", self.name, describe(self.exit))
    }
}

/// Why a child could not be started, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// An empty command.
    #[error("{0} has no command: give a program and its arguments")]
    NoCommand(String),
    /// The log cannot be written.
    #[error("cannot write the log of {name} in {folder}: choose another --out")]
    Log {
        /// The child.
        name: String,
        /// Where logs go.
        folder: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// The system refused.
    #[error("cannot start the shim of {name}")]
    Shim {
        /// The child.
        name: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// The command cannot be run.
    #[error("{name} was not started: {reason}. Give a program that is on the PATH, or its path")]
    NotStarted {
        /// The child.
        name: String,
        /// The command, and the system's word.
        reason: String,
    },
    /// The shim said nothing that makes sense.
    #[error(
        "the shim of {name} did not report a start within {ORDER_DEADLINE:?}; its log ends with: {said}"
    )]
    Silent {
        /// The child.
        name: String,
        /// The last line of the log.
        said: String,
    },
    /// It has ended.
    #[error("{name} is not running ({how}): start it again first")]
    NotRunning {
        /// The child.
        name: String,
        /// How it ended.
        how: String,
    },
    /// It was asked to end, or to listen, and did not.
    #[error("{name} (pid {pid}) did not {what} within {deadline:?}")]
    Stubborn {
        /// The child.
        name: String,
        /// Its pid.
        pid: u32,
        /// What it should have done.
        what: &'static str,
        /// How long it had.
        deadline: Duration,
    },
    /// Processes that could not be ended, named by their pids.
    #[error("the processes {0:?} do not end: end them by hand, then run `squall heal`")]
    Left(Vec<u32>),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The command has ended; its tree is being ended.
    Exited(Exit),
    /// Nothing is left.
    Gone(Option<Exit>),
}

/// A child of the drill: a command under a shim. Clones are the same child.
#[derive(Clone, Debug)]
pub struct Child(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    process: ProcessId,
    shim: ProcessId,
    log: Log,
    phase: watch::Receiver<Phase>,
    line: Mutex<OrderLine>,
    expected: Arc<AtomicBool>,
    /// Keeps the thread alive that the shim's life is bound to.
    _spawner: Arc<Spawner>,
}

/// The way to the shim and back.
#[derive(Debug)]
struct OrderLine {
    orders: ChildStdin,
    done: mpsc::UnboundedReceiver<usize>,
}

/// What a child is made of, once its shim has reported the start.
pub(super) struct Birth {
    pub(super) name: String,
    pub(super) run: RunId,
    pub(super) process: ProcessId,
    pub(super) shim: ProcessId,
    pub(super) log: Log,
    pub(super) handle: tokio::process::Child,
    pub(super) orders: ChildStdin,
    pub(super) reports: Lines<BufReader<ChildStdout>>,
    pub(super) journal: Journal,
    pub(super) undo: Seq,
    pub(super) exits: broadcast::Sender<ChildExit>,
    pub(super) spawner: Arc<Spawner>,
}

impl Child {
    /// Begins to follow the shim's reports.
    pub(super) fn new(birth: Birth) -> Self {
        let (phase, watched) = watch::channel(Phase::Running);
        let (done, orders_done) = mpsc::unbounded_channel();
        let expected = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            name: birth.name.clone(),
            run: birth.run,
            process: birth.process,
            handle: birth.handle,
            journal: birth.journal,
            undo: birth.undo,
            exits: birth.exits,
            expected: Arc::clone(&expected),
            phase,
        };
        tokio::spawn(follower.follow(birth.reports, done));
        Self(Arc::new(Inner {
            name: birth.name,
            process: birth.process,
            shim: birth.shim,
            log: birth.log,
            phase: watched,
            line: Mutex::new(OrderLine { orders: birth.orders, done: orders_done }),
            expected,
            _spawner: birth.spawner,
        }))
    }

    /// What the drill calls it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The command's process (not the shim's).
    pub fn process(&self) -> ProcessId {
        self.0.process
    }

    /// The shim's process.
    pub fn shim(&self) -> ProcessId {
        self.0.shim
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.0.log.path
    }

    /// The last lines of its output.
    pub fn last_words(&self) -> String {
        self.0.log.tail()
    }

    /// What it said last, in one line, and where the rest is.
    pub fn said_last(&self) -> String {
        let log = self.log().display();
        match self.0.log.last_line() {
            Some(line) => format!("it said last: {line} (see {log})"),
            None => format!("it said nothing (see {log})"),
        }
    }

    /// Whether its command still runs.
    pub fn is_running(&self) -> bool {
        *self.0.phase.borrow() == Phase::Running
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.0.phase.borrow(), Phase::Gone(_))
    }

    /// Sends a signal to its whole tree and waits until it is sent. Gives the number of processes.
    pub async fn signal(&self, signal: Signal) -> Result<usize, ChildError> {
        let mut line = self.0.line.lock().await;
        if !self.is_running() {
            return Err(self.not_running());
        }
        while line.done.try_recv().is_ok() {}
        let order = format!("{}\n", Order::Signal(signal));
        if line.orders.write_all(order.as_bytes()).await.is_err() {
            return Err(self.not_running());
        }
        match timeout(ORDER_DEADLINE, line.done.recv()).await {
            Ok(Some(processes)) => Ok(processes),
            Ok(None) => Err(self.not_running()),
            Err(_) => Err(self.stubborn("take a signal", ORDER_DEADLINE)),
        }
    }

    /// Sends a signal that ends it, and waits until nothing of its tree is left. How it ended is
    /// given if its shim saw it.
    pub async fn kill(
        &self,
        signal: Signal,
        deadline: Duration,
    ) -> Result<Option<Exit>, ChildError> {
        self.0.expected.store(true, Ordering::Relaxed);
        let killed = self.signal(signal).await;
        if killed.is_ok() && self.exited(deadline).await.is_none() {
            self.0.expected.store(false, Ordering::Relaxed);
            return Err(self.stubborn("end", deadline));
        }
        killed?;
        self.gone(END_DEADLINE).await
    }

    /// Ends it: SIGTERM (and SIGCONT, in case it is frozen), SIGKILL after `grace`, and if even its
    /// shim does not answer, that is killed too. It may have ended before.
    pub async fn stop(&self, grace: Duration) -> Result<(), ChildError> {
        self.0.expected.store(true, Ordering::Relaxed);
        let asked =
            self.signal(Signal::Term).await.is_ok() && self.signal(Signal::Cont).await.is_ok();
        if asked && self.exited(grace).await.is_none() {
            // If it just went by itself, so much the better.
            let _ = self.signal(Signal::Kill).await;
        }
        if !asked && self.is_running() {
            let _ = self.0.shim.signal(Signal::Kill);
        }
        if self.gone(END_DEADLINE).await.is_err() {
            let _ = self.0.shim.signal(Signal::Kill);
            self.gone(SWEEP_DEADLINE * 2).await?;
        }
        Ok(())
    }

    /// Waits until its command has ended: `None` if it still runs at the deadline, `Some(None)` if
    /// it ended unseen.
    pub async fn exited(&self, deadline: Duration) -> Option<Option<Exit>> {
        timeout(deadline, self.until_exited()).await.ok()
    }

    /// Waits, without a deadline, until its command has ended.
    pub async fn until_exited(&self) -> Option<Exit> {
        let mut phase = self.0.phase.clone();
        // The follower ends only after it has said `Gone`.
        let ended = phase.wait_for(|phase| *phase != Phase::Running).await;
        ended.ok().and_then(|phase| phase.exit())
    }

    async fn gone(&self, deadline: Duration) -> Result<Option<Exit>, ChildError> {
        let mut phase = self.0.phase.clone();
        let gone = phase.wait_for(|phase| matches!(phase, Phase::Gone(_)));
        match timeout(deadline, gone).await {
            Ok(Ok(phase)) => Ok(phase.exit()),
            Ok(Err(_)) => Err(ChildError::Left(vec![self.0.process.pid])),
            Err(_) => Err(self.stubborn("take its tree along", deadline)),
        }
    }

    fn not_running(&self) -> ChildError {
        let phase = *self.0.phase.borrow();
        ChildError::NotRunning { name: self.0.name.clone(), how: describe(phase.exit()) }
    }

    fn stubborn(&self, what: &'static str, deadline: Duration) -> ChildError {
        ChildError::Stubborn { name: self.0.name.clone(), pid: self.0.process.pid, what, deadline }
    }
}

/// How a child ended, in words.
pub(super) fn describe(exit: Option<Exit>) -> String {
    exit.map_or_else(|| "ended, its shim was killed".to_owned(), |exit| exit.to_string())
}

impl Phase {
    fn exit(self) -> Option<Exit> {
        match self {
            Self::Running => None,
            Self::Exited(exit) => Some(exit),
            Self::Gone(exit) => exit,
        }
    }
}

/// Hears what a shim reports until it is gone.
struct Follower {
    name: String,
    run: RunId,
    process: ProcessId,
    handle: tokio::process::Child,
    journal: Journal,
    undo: Seq,
    exits: broadcast::Sender<ChildExit>,
    expected: Arc<AtomicBool>,
    phase: watch::Sender<Phase>,
}

impl Follower {
    async fn follow(
        mut self,
        mut reports: Lines<BufReader<ChildStdout>>,
        done: mpsc::UnboundedSender<usize>,
    ) {
        let mut exit = None;
        while let Ok(Some(line)) = reports.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Report::Signalled { processes, .. }) => {
                    let _ = done.send(processes);
                }
                Ok(Report::Exited(how)) => {
                    exit = Some(how);
                    self.phase.send_replace(Phase::Exited(how));
                    self.announce(exit);
                }
                _ => {}
            }
        }
        let clean = self.handle.wait().await.is_ok_and(|status| status.success());
        if exit.is_none() {
            self.announce(None);
        }
        self.finish(exit, clean).await;
    }

    fn announce(&self, exit: Option<Exit>) {
        // Nobody has to listen.
        let _ = self.exits.send(ChildExit {
            name: self.name.clone(),
            process: self.process,
            exit,
            expected: self.expected.load(Ordering::Relaxed),
            at: Instant::now(),
        });
    }

    /// The shim is gone. If it could not end its tree (`clean` is false), what is left of that is
    /// found by its environment. The undo is done only when nothing is left.
    async fn finish(self, exit: Option<Exit>, clean: bool) {
        let Self { name, run, journal, undo, phase, .. } = self;
        let swept = tokio::task::spawn_blocking(move || {
            let strays = || tree::strays(run.as_str(), Some(&name));
            (clean || end_all(SWEEP_DEADLINE, strays)) && journal.undone(undo).is_ok()
        });
        if swept.await.is_ok_and(|swept| swept) {
            phase.send_replace(Phase::Gone(exit));
        }
    }
}
