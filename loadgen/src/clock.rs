//! The one clock of a process that records: a wall-clock anchor and the monotonic time since.

use std::time::{SystemTime, UNIX_EPOCH};

use squall_model::history::{Anchor, Nanos};
use tokio::time::Instant;

/// Turns monotonic instants into the moments of a history, and back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Anchor,
    start: Instant,
}

impl Clock {
    /// A clock that counts from now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = Nanos::after_anchor(since_epoch.unwrap_or_default()).0;
        Self { anchor: Anchor { wall }, start: Instant::now() }
    }

    /// Where it counts from: the first record of a history.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// This moment.
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// The moment of an instant; zero if it lies before the anchor.
    pub fn at(&self, instant: Instant) -> Nanos {
        Nanos::after_anchor(instant.saturating_duration_since(self.start))
    }

    /// The instant of a moment.
    pub fn instant(&self, moment: Nanos) -> Instant {
        self.start + moment.since(Nanos(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_moment_and_its_instant_name_each_other() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(clock.now(), Nanos(3_000_000));
        assert_eq!(clock.instant(Nanos(3_000_000)), Instant::now());
    }
}
