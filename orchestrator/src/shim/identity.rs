//! Which process is meant: a pid alone may be given to another process, a pid and a start time not.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::signal::Signal;

/// A process, named so that a recycled pid is never taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process id.
    pub pid: u32,
    /// When it started: clock ticks since the machine did (field 22 of `/proc/<pid>/stat`, proc(5)).
    pub start: u64,
}

impl ProcessId {
    /// This process.
    pub fn own() -> io::Result<Self> {
        let gone = || io::Error::other("/proc has no entry for this process: is it mounted?");
        Self::of(std::process::id()).ok_or_else(gone)
    }

    /// The process that has this pid now, dead but not yet reaped ones included.
    pub fn of(pid: u32) -> Option<Self> {
        let start = Stat::read(pid)?.start;
        Some(Self { pid, start })
    }

    /// Whether it still runs. A zombie does not.
    pub fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start == self.start && !stat.is_dead())
    }

    /// Sends a signal. `false` means that the process is gone (whoever has its pid is left alone).
    pub fn signal(self, signal: Signal) -> io::Result<bool> {
        let Some(handle) = self.open()? else {
            return Ok(false);
        };
        match pidfd_send_signal(&handle, signal.into()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks until it is gone, at most for `deadline`. `false` means that it still runs.
    pub fn wait_until_gone(self, deadline: Duration) -> io::Result<bool> {
        let Some(handle) = self.open()? else {
            return Ok(true);
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: deadline.subsec_nanos().into(),
        };
        let mut handles = [PollFd::new(&handle, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut handles, Some(&timeout)))?;
        Ok(!self.is_alive())
    }

    /// The process as a descriptor. The start time is compared after opening, so that the
    /// descriptor cannot belong to a successor.
    fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok((Self::of(self.pid) == Some(self)).then_some(handle)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)
    }
}

/// Whether this content of a `stat` file is that of a stopped, traced or dead thread.
pub(super) fn is_stopped(stat: &[u8]) -> bool {
    Stat::parse(&String::from_utf8_lossy(stat))
        .is_none_or(|stat| matches!(stat.state, 'T' | 't' | 'Z' | 'X'))
}

/// The fields of `/proc/<pid>/stat` that say who it is.
struct Stat {
    state: char,
    threads: u32,
    start: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The second field is the command's name in parentheses, and may itself hold spaces and
    /// parentheses: the fields behind it are counted from the last one.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let threads = fields.nth(16)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        Some(Self { state, threads, start })
    }

    /// A process whose main thread ended is shown as a zombie too while its other threads run.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_command_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["sh", "a b", "x) R (y", ""] {
            let stat = Stat::parse(&format!("42 ({name}) {fields}")).expect(name);
            assert_eq!((stat.state, stat.start), ('S', 4711), "{name}");
        }
        assert!(Stat::parse("42 (sh) S 1 2").is_none());
    }

    #[test]
    fn a_recycled_pid_is_neither_alive_nor_signalled() {
        let own = ProcessId::own().expect("this process");
        let predecessor = ProcessId { start: own.start - 1, ..own };
        assert!(own.is_alive());
        assert!(!predecessor.is_alive());
        assert!(!predecessor.signal(Signal::Kill).expect("nothing to signal"));
        assert!(predecessor.wait_until_gone(Duration::MAX).expect("gone"));
    }

    #[test]
    fn a_pid_that_cannot_exist_is_gone() {
        for pid in [0, u32::MAX] {
            let nobody = ProcessId { pid, start: 1 };
            assert!(!nobody.signal(Signal::Kill).expect("nobody"));
        }
    }
}
