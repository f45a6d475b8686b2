//! A timer for the one pacer: a timerfd, which wakes 0.2 ms late where tokio's timer wakes 1 ms late.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Waits until an instant.
#[derive(Debug)]
pub(crate) struct Timer {
    precise: Option<AsyncFd<OwnedFd>>,
}

impl Timer {
    /// A timer on a timerfd; tokio's own where there is none to be had.
    pub(crate) fn precise() -> Self {
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags());
        Self { precise: fd.ok().and_then(register) }
    }

    /// Tokio's own timer, which obeys a paused clock.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { precise: None }
    }

    /// Returns at `deadline` or, if it has gone by, at once. Can be dropped at any time.
    pub(crate) async fn wait_until(&mut self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let waited = match &self.precise {
            Some(fd) => wait(fd, left).await,
            None => Err(rustix::io::Errno::NOSYS),
        };
        if waited.is_err() {
            self.precise = None;
            tokio::time::sleep_until(deadline).await;
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; what that asks for, an owned descriptor has by its type"
)]
fn register(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd).ok()
}

fn flags() -> TimerfdFlags {
    TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC
}

/// Arms the timer anew, which also forgets an expiry that nobody waited for, and waits for it.
async fn wait(fd: &AsyncFd<OwnedFd>, left: Duration) -> rustix::io::Result<()> {
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec::try_from(left).map_err(|_| rustix::io::Errno::INVAL)?,
    };
    timerfd_settime(fd, TimerfdTimerFlags::empty(), &once)?;
    loop {
        let mut ready = fd.readable().await.map_err(|_| rustix::io::Errno::IO)?;
        match rustix::io::read(fd, &mut [0; 8]) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_wakes_early_however_often_it_is_used() {
        let mut timer = Timer::precise();
        for _ in 0..3 {
            let deadline = Instant::now() + Duration::from_millis(2);
            timer.wait_until(deadline).await;
            assert!(Instant::now() >= deadline);
        }
        timer.wait_until(Instant::now()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_plain_one_obeys_a_paused_clock() {
        let deadline = Instant::now() + Duration::from_hours(1);
        Timer::plain().wait_until(deadline).await;
        assert!(Instant::now() >= deadline);
    }
}
