//! When an open model's operations are due: pure, from the time elapsed and the number sent.

use std::time::Duration;

use crate::plan::{Extent, Rate};

/// What the pacer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing is due before this much time has elapsed since the start.
    Wait(Duration),
    /// The next operation is due.
    Send,
    /// All arrivals are over.
    Stop,
}

/// The timetable of an open model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: Rate,
    extent: Extent,
}

impl Schedule {
    /// The timetable of `rate` operations a second, as far as `extent` goes.
    pub(crate) fn new(rate: Rate, extent: Extent) -> Self {
        Self { rate, extent }
    }

    /// When operation `number` (from 0) is due, since the start.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let seconds = number as f64 / self.rate.per_second();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// What to do when `elapsed` has gone by since the start and `sent` operations were sent.
    pub(crate) fn next(&self, elapsed: Duration, sent: u64) -> Pace {
        let due = self.due(sent);
        let over = match self.extent {
            Extent::UntilStopped => false,
            Extent::For(duration) => due >= duration,
            Extent::Operations(total) => sent >= total,
        };
        if over {
            Pace::Stop
        } else if due <= elapsed {
            Pace::Send
        } else {
            Pace::Wait(due)
        }
    }
}

/// How many of `total` operations a closed model's session (from 1, of `sessions`) takes.
pub(crate) fn share(total: u64, session: u32, sessions: u32) -> u64 {
    let (session, sessions) = (u64::from(session), u64::from(sessions));
    total / sessions + u64::from(session <= total % sessions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(rate: f64, extent: Extent) -> Schedule {
        Schedule::new(Rate::try_from(rate).expect("a rate"), extent)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn operations_are_due_at_equal_distances_from_the_start() {
        let tenth = schedule(10.0, Extent::UntilStopped);
        for (elapsed, sent, expected) in [
            (ms(0), 0, Pace::Send),
            (ms(0), 1, Pace::Wait(ms(100))),
            (ms(99), 1, Pace::Wait(ms(100))),
            (ms(100), 1, Pace::Send),
            (ms(100), 2, Pace::Wait(ms(200))),
        ] {
            assert_eq!(tenth.next(elapsed, sent), expected, "{elapsed:?} {sent}");
        }
    }

    #[test]
    fn a_late_pacer_catches_up_and_skips_nothing() {
        let tenth = schedule(10.0, Extent::UntilStopped);
        let late = (0..).take_while(|sent| tenth.next(ms(1000), *sent) == Pace::Send);
        assert_eq!(late.count(), 11);
    }

    #[test]
    fn arrivals_end_where_the_extent_ends() {
        let second = schedule(10.0, Extent::For(ms(1000)));
        assert_eq!(second.next(ms(5000), 9), Pace::Send);
        assert_eq!(second.next(ms(5000), 10), Pace::Stop);
        let three = schedule(10.0, Extent::Operations(3));
        assert_eq!(three.next(ms(0), 3), Pace::Stop);
        assert_eq!(three.next(ms(5000), 2), Pace::Send);
    }

    proptest! {
        #[test]
        fn due_times_never_run_backwards(rate in 0.001f64..1e6, number in 0u64..1 << 40) {
            let schedule = schedule(rate, Extent::UntilStopped);
            prop_assert!(schedule.due(number) <= schedule.due(number + 1));
        }

        #[test]
        fn the_shares_of_all_sessions_add_up(total in 0u64..10_000, sessions in 1u32..200) {
            let sum: u64 = (1..=sessions).map(|session| share(total, session, sessions)).sum();
            prop_assert_eq!(sum, total);
        }
    }
}
