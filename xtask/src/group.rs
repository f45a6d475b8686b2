//! Process groups: what a command starts ends with it, and all of it with this program.

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

static LIVE: LazyLock<Mutex<Live>> = LazyLock::new(Mutex::default);

/// What a group is for, in the order in which groups are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Does something, and ends.
    Command,
    /// Is there for commands, which may need it even to end.
    Service,
}

#[derive(Default)]
struct Live {
    leaders: HashMap<Pid, Role>,
    /// This program was told to end: nothing is started any more.
    is_ending: bool,
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn of(&self, role: Role) -> impl Iterator<Item = Pid> {
        self.leaders.iter().filter(move |(_, of)| **of == role).map(|(leader, _)| *leader)
    }
}

/// A command in a process group of its own. All of the group is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    /// Not reaped before the group is killed, so that the group's number stays its own.
    leader: Child,
    pid: Pid,
    ended: Receiver<()>,
    is_reaped: bool,
}

impl Group {
    /// Starts a command, unless this program is ending.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        Self::start_as(Role::Command, command)
    }

    /// Starts what other commands live on, unless this program is ending.
    pub(crate) fn serve(command: &mut Command) -> io::Result<Self> {
        Self::start_as(Role::Service, command)
    }

    fn start_as(role: Role, command: &mut Command) -> io::Result<Self> {
        let mut live = live();
        if live.is_ending {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
        }
        let leader = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&leader);
        live.leaders.insert(pid, role);
        Ok(Self { leader, pid, ended: watch(pid), is_reaped: false })
    }

    /// The command's process id.
    pub(crate) fn id(&self) -> u32 {
        self.leader.id()
    }

    /// The command itself, for its pipes.
    pub(crate) fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Waits for the command itself; false if it does not end in time.
    pub(crate) fn ends_within(&self, deadline: Duration) -> bool {
        self.ended.recv_timeout(deadline) != Err(RecvTimeoutError::Timeout)
    }

    /// Asks the command itself to end.
    pub(crate) fn ask_to_end(&self) {
        let _ = kill_process(self.pid, Signal::TERM); // it may have ended just now
    }

    /// Kills what is left of the group, and tells how the command itself ended.
    pub(crate) fn end(mut self) -> io::Result<ExitStatus> {
        self.kill_and_reap()
    }

    fn kill_and_reap(&mut self) -> io::Result<ExitStatus> {
        let mut live = live();
        let _ = kill_process_group(self.pid, Signal::KILL); // it may be gone already
        let status = self.leader.wait();
        self.is_reaped = true;
        live.leaders.remove(&self.pid);
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_reaped {
            let _ = self.kill_and_reap(); // nobody asked for the status
        }
    }
}

/// Tells when a child has ended, and does not reap it.
fn watch(pid: Pid) -> Receiver<()> {
    let (done, ended) = channel();
    thread::spawn(move || {
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = done.send(()); // perhaps nobody waits
    });
    ended
}

/// Asks all groups of a role to end, and lets no other begin.
pub(crate) fn ask_all_to_end(role: Role) {
    let mut live = live();
    live.is_ending = true;
    for leader in live.of(role) {
        let _ = kill_process_group(leader, Signal::TERM); // it may have ended just now
    }
}

/// Whether this program was told to end.
pub(crate) fn is_ending() -> bool {
    live().is_ending
}

/// Whether no group of a role is left.
pub(crate) fn all_ended(role: Role) -> bool {
    live().of(role).next().is_none()
}

/// Kills all groups of a role.
pub(crate) fn kill_all(role: Role) {
    for leader in live().of(role) {
        let _ = kill_process_group(leader, Signal::KILL); // it may have ended just now
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        shell
    }

    /// The end of the pipe is the end of everybody who held it.
    fn is_let_go(output: impl io::Read + Send + 'static) -> bool {
        let (done, ended) = channel();
        thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = BufReader::new(output).read_to_end(&mut rest);
            let _ = done.send(());
        });
        ended.recv_timeout(MINUTE).is_ok()
    }

    #[test]
    fn what_a_command_left_behind_ends_with_its_group() {
        let mut group = Group::start(&mut shell("sleep 100000 & exit 7")).expect("it starts");
        let output = group.leader().stdout.take().expect("a pipe");
        assert!(group.ends_within(MINUTE));
        assert_eq!(group.end().expect("it ended").code(), Some(7));
        assert!(is_let_go(output));
    }

    #[test]
    fn a_group_that_is_dropped_is_killed_with_its_grandchildren() {
        let mut group = Group::start(&mut shell("sleep 100000 & echo up; wait")).expect("starts");
        let mut output = BufReader::new(group.leader().stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert!(!group.ends_within(Duration::ZERO));
        drop(group);
        assert!(is_let_go(output));
    }
}
