//! The one place that waits: a timerfd for each thread, because tokio's timer rounds up to a
//! millisecond.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Waits to the moment, for the tasks of one runtime.
#[derive(Clone, Debug)]
pub(crate) struct Delay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    timer: AsyncFd<OwnedFd>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who waits, by moment; the number keeps those of the same moment apart.
    waiting: BTreeMap<(Instant, u64), Waker>,
    issued: u64,
}

impl Delay {
    /// Makes a timer in the runtime that is current, and the task that drives it.
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; this descriptor is owned and private"
    )]
    pub(crate) fn start() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?;
        let shared = Arc::new(Shared { timer, queue: Mutex::default() });
        tokio::spawn(drive(shared.clone()));
        Ok(Self(shared))
    }

    /// Resolves at the moment, or at once if it has passed.
    pub(crate) fn until(&self, moment: Instant) -> Wait {
        Wait { shared: self.0.clone(), moment, number: None }
    }
}

async fn drive(shared: Arc<Shared>) {
    loop {
        let Ok(mut ready) = shared.timer.readable().await else {
            return;
        };
        let mut expirations = [0; 8];
        let _ = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?));
        shared.wake_due();
    }
}

impl Shared {
    fn wake_due(&self) {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        while let Some(first) = queue.waiting.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
        }
        if let Some(((next, _), _)) = queue.waiting.first_key_value() {
            self.arm(*next, now);
        }
    }

    fn arm(&self, moment: Instant, now: Instant) {
        // A zero time would disarm the timer.
        let time = moment.saturating_duration_since(now).max(std::time::Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval, it_value };
        let armed = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec);
        debug_assert!(armed.is_ok(), "a valid time can be set: {armed:?}");
    }
}

/// A wait under way. Dropping it forgets it.
#[derive(Debug)]
pub(crate) struct Wait {
    shared: Arc<Shared>,
    moment: Instant,
    number: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if now >= self.moment {
            return Poll::Ready(());
        }
        let shared = self.shared.clone();
        let mut queue = shared.queue.lock();
        let number = *self.number.get_or_insert_with(|| {
            queue.issued += 1;
            queue.issued
        });
        let key = (self.moment, number);
        queue.waiting.insert(key, context.waker().clone());
        if queue.waiting.first_key_value().is_some_and(|(first, _)| *first == key) {
            shared.arm(self.moment, now);
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.queue.lock().waiting.remove(&(self.moment, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn waits_end_in_the_order_of_their_moments_and_never_early() {
        let delay = Delay::start().expect("a timer");
        let start = Instant::now();
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |milliseconds: u64| {
            let (wait, order) =
                (delay.until(start + Duration::from_millis(milliseconds)), order.clone());
            async move {
                wait.await;
                order.lock().push((milliseconds, start.elapsed()));
            }
        };
        tokio::join!(wait(30), wait(10), wait(20), wait(0), wait(20));
        let order = order.lock();
        let moments: Vec<_> = order.iter().map(|(moment, _)| *moment).collect();
        assert_eq!(moments, [0, 10, 20, 20, 30]);
        assert!(order.iter().all(|(moment, at)| *at >= Duration::from_millis(*moment)));
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_is_forgotten() {
        let delay = Delay::start().expect("a timer");
        let mut wait = Box::pin(delay.until(Instant::now() + Duration::from_secs(3600)));
        assert!(futures_util::FutureExt::now_or_never(&mut wait).is_none());
        drop(wait);
        assert!(delay.0.queue.lock().waiting.is_empty());
    }
}
