//! The shim: a parent for one command that takes the command's whole tree with it when it goes.
//!
//! A drill cannot clean up after its own SIGKILL, so each of its children runs under a shim, which
//! is this same binary. The shim is told of the drill's death twice, by the end of its stdin and by
//! the parent-death signal; it adopts the orphans of its tree (child subreaper), so that nothing
//! escapes by daemonising. When the shim itself is killed, the command gets the parent-death signal
//! and what it had started is found by its environment: see [`tree::strays`].

#[cfg(not(target_os = "linux"))]
compile_error!(
    "Squall runs on Linux only: its children are held by Linux's prctl, pidfd and /proc"
);

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process as system;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal as arrivals_of};
use tokio::time::{Instant, sleep, timeout};

pub mod identity;
pub mod report;
pub mod signal;
pub mod tree;

use identity::ProcessId;
use report::{Exit, Order, Report};
use signal::Signal;

/// How long a shim tries to end its tree.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// How often the tree is looked at again while it ends, besides whenever a process of it did.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a shim waits for its tree to freeze. Only a process that waits for a disk takes so long.
const FREEZE_DEADLINE: Duration = Duration::from_secs(2);

/// How often it looks whether the tree has frozen.
const LOOK_CLOSELY: Duration = Duration::from_millis(1);

/// The hidden subcommand of stage two.
pub const STAGE_TWO: &str = "shim-exec";

/// This binary, even if its file was replaced since it started.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// Why a shim could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The system refused something that a shim is made of.
    #[error("the shim cannot {what}: it needs Linux 5.3 or newer with /proc mounted")]
    System {
        /// What it was about to do.
        what: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Started by hand.
    #[error("the shim's stdin is not a pipe: `squall shim` is started by drills, not by hand")]
    NotAPipe(#[source] io::Error),
    /// No command.
    #[error("the shim was given no command: expected `squall shim -- COMMAND…`")]
    NoCommand,
    /// Stage two found itself an orphan.
    #[error("the shim's first stage is gone: nothing was started")]
    Orphaned,
    /// Stage two could not become the command.
    #[error("`{}` cannot be run", command.display())]
    Exec {
        /// The command's first word.
        command: OsString,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Processes that do not end: stuck in the kernel, or another user's.
    #[error("the processes {0:?} still run after {END_DEADLINE:?} of SIGKILL: end them by hand")]
    Left(Vec<u32>),
}

fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> ShimError {
    move |source| ShimError::System { what, source }
}

/// Stage one, `squall shim -- COMMAND…`: runs the command and takes its tree along when it ends,
/// when stdin ends, or on SIGTERM. Orders come on stdin and reports go to stdout, one a line (see
/// [`report`]); the command's own output goes to the shim's stderr. Call it before anything else
/// has started a runtime or a thread.
pub fn run(command: &[OsString]) -> Result<(), ShimError> {
    if command.is_empty() {
        return Err(ShimError::NoCommand);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot("start its runtime"))?;
    runtime.block_on(supervise(command))
}

/// Stage two, `squall shim-exec PARENT -- COMMAND…`: binds its life to stage one (of pid `parent`)
/// and becomes the command. Its stdin is where it reports why it could not; it returns only then.
pub fn exec(parent: u32, command: &[OsString]) -> Result<(), ShimError> {
    let (program, arguments) = command.split_first().ok_or(ShimError::NoCommand)?;
    let failure_report = io::stdin().as_fd().try_clone_to_owned();
    let mut failure_report = failure_report.map_err(cannot("keep its report"))?.into();
    let failure = match die_with(parent) {
        Ok(()) => {
            ShimError::Exec { command: program.clone(), source: become_command(program, arguments) }
        }
        Err(error) => error,
    };
    report_failure(&mut failure_report, &failure);
    Err(failure)
}

fn die_with(parent: u32) -> Result<(), ShimError> {
    system::set_parent_process_death_signal(Some(system::Signal::KILL))
        .map_err(|error| cannot("bind itself to its parent")(error.into()))?;
    let found = system::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found == Some(parent) { Ok(()) } else { Err(ShimError::Orphaned) }
}

fn become_command(program: &OsString, arguments: &[OsString]) -> io::Error {
    Command::new(program).args(arguments).stdin(Stdio::null()).exec()
}

/// Stage one reads this. When the exec succeeds, the descriptor closes and it reads nothing.
fn report_failure(report: &mut std::fs::File, failure: &ShimError) {
    let cause = std::error::Error::source(failure).map(|cause| format!(": {cause}"));
    let _ = write!(report, "{failure}{}", cause.unwrap_or_default());
}

async fn supervise(command: &[OsString]) -> Result<(), ShimError> {
    let mut ears = Ears::open()?;
    adopt_orphans()?;
    let process = match start(command)? {
        Ok(process) => process,
        Err(reason) => {
            tell(&Report::NotStarted { reason });
            return end_tree(None, &mut ears).await;
        }
    };
    tell(&Report::Started(process));
    attend(process, &mut ears).await;
    end_tree(Some(process), &mut ears).await
}

/// Everything that a shim listens to.
struct Ears {
    orders: Lines<BufReader<pipe::Receiver>>,
    children: Arrivals,
    terminate: Arrivals,
    /// A terminal's signals, and the hang-up that the kernel sends to an orphaned process group with
    /// stopped members: heard, so that they do not end the shim before its tree, and not heeded.
    _unheeded: [Arrivals; 3],
}

impl Ears {
    fn open() -> Result<Self, ShimError> {
        let listen = |kind| arrivals_of(kind).map_err(cannot("listen to signals"));
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(cannot("read its orders"))?;
        Ok(Self {
            orders: BufReader::new(
                pipe::Receiver::from_owned_fd(stdin).map_err(ShimError::NotAPipe)?,
            )
            .lines(),
            children: listen(SignalKind::child())?,
            terminate: listen(SignalKind::terminate())?,
            _unheeded: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::hangup())?,
                listen(SignalKind::quit())?,
            ],
        })
    }
}

fn adopt_orphans() -> Result<(), ShimError> {
    system::set_child_subreaper(Some(system::getpid()))
        .map_err(|error| cannot("adopt orphans")(error.into()))?;
    system::set_parent_process_death_signal(Some(system::Signal::TERM))
        .map_err(|error| cannot("bind itself to the drill")(error.into()))
}

/// Starts stage two and waits until it has become the command, or for the reason why not.
fn start(command: &[OsString]) -> Result<Result<ProcessId, String>, ShimError> {
    let (mut failure, failure_report) = io::pipe().map_err(cannot("make a pipe"))?;
    let log = io::stderr().as_fd().try_clone_to_owned();
    let pid = spawn_stage_two(command, failure_report.into(), log.map_err(cannot("log"))?.into())
        .map_err(cannot("start its second stage"))?;
    let mut reason = String::new();
    let read = failure.read_to_string(&mut reason);
    read.map_err(cannot("hear of its second stage"))?;
    if !reason.is_empty() {
        return Ok(Err(reason));
    }
    Ok(ProcessId::of(pid).ok_or_else(|| "it vanished as it started".to_owned()))
}

/// Its pid is all that is kept: the shim reaps all children alike, adopted ones included.
fn spawn_stage_two(command: &[OsString], stdin: Stdio, output: Stdio) -> io::Result<u32> {
    let stage_two = Command::new(OWN_EXECUTABLE)
        .arg0("squall")
        .arg(STAGE_TWO)
        .arg(std::process::id().to_string())
        .arg("--")
        .args(command)
        .stdin(stdin)
        .stdout(output)
        .spawn()?;
    Ok(stage_two.id())
}

/// Carries out orders until the command ends, or until it must.
async fn attend(process: ProcessId, ears: &mut Ears) {
    loop {
        tokio::select! {
            _ = ears.children.recv() => if reap(Some(process)).contains_command { return },
            _ = ears.terminate.recv() => return,
            line = ears.orders.next_line() => match line {
                Ok(Some(line)) => obey(&line).await,
                Ok(None) | Err(_) => return,
            },
        }
    }
}

async fn obey(line: &str) {
    match line.parse() {
        Ok(Order::Signal(signal)) => {
            let processes = tree::signal_descendants(std::process::id(), signal);
            if signal == Signal::Stop {
                freeze().await;
            }
            tell(&Report::Signalled { signal, processes });
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "squall shim: {error}");
        }
    }
}

/// Waits until what was stopped has stopped, and stops what was born meanwhile.
async fn freeze() {
    let end = Instant::now() + FREEZE_DEADLINE;
    while !tree::is_frozen(std::process::id()) && Instant::now() < end {
        sleep(LOOK_CLOSELY).await;
        tree::signal_descendants(std::process::id(), Signal::Stop);
    }
}

/// Kills until nothing is left. A child subreaper without children has no descendants.
async fn end_tree(process: Option<ProcessId>, ears: &mut Ears) -> Result<(), ShimError> {
    let end = Instant::now() + END_DEADLINE;
    loop {
        tree::signal_descendants(std::process::id(), Signal::Kill);
        if reap(process).was_last {
            return Ok(());
        }
        if Instant::now() > end {
            let left = tree::descendants(std::process::id());
            let pids: Vec<u32> = left.iter().map(|process| process.pid).collect();
            tell(&Report::Left { pids: pids.clone() });
            return Err(ShimError::Left(pids));
        }
        let _ = timeout(LOOK_AGAIN, ears.children.recv()).await;
    }
}

/// What a look at the dead has shown.
#[derive(Default)]
struct Reaped {
    contains_command: bool,
    was_last: bool,
}

/// Reaps all that is dead and reports the command's end.
fn reap(process: Option<ProcessId>) -> Reaped {
    let mut reaped = Reaped::default();
    loop {
        match system::wait(system::WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if process.is_some_and(|process| is(pid, process)) => {
                reaped.contains_command = true;
                tell(&Report::Exited(exit_of(status)));
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return reaped,
            Err(_) => {
                reaped.was_last = true;
                return reaped;
            }
        }
    }
}

fn is(pid: system::Pid, process: ProcessId) -> bool {
    pid.as_raw_nonzero().get().unsigned_abs() == process.pid
}

fn exit_of(status: system::WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Nobody may be listening any more: the drill that is gone is why a shim ends its tree.
fn tell(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
