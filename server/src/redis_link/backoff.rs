//! How long to wait between attempts: longer each time, and never quite as long as the others do.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);

/// The pauses of one who tries again and again.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The pause before the next attempt.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let draw = getrandom::u32().unwrap_or(u32::MAX);
        let pause = pause(self.attempts, draw);
        self.attempts = self.attempts.saturating_add(1);
        pause
    }
}

/// The pause after so many attempts that failed: between half of a bound that doubles and all of it,
/// as `draw` says.
fn pause(attempts: u32, draw: u32) -> Duration {
    let bound = SHORTEST.saturating_mul(1 << attempts.min(16)).min(LONGEST);
    let share = f64::from(draw) / f64::from(u32::MAX);
    (bound / 2).mul_f64(1.0 + share).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempts: u32, draw: u32, milliseconds: u64) {
        let expected = Duration::from_millis(milliseconds);
        assert_eq!(pause(attempts, draw), expected, "{attempts} attempts, {draw} drawn");
    }

    #[test]
    fn pauses_double_up_to_half_a_second_and_differ_by_what_was_drawn() {
        check(0, 0, 50);
        check(0, u32::MAX, 50);
        check(2, 0, 100);
        check(2, u32::MAX, 200);
        check(10, 0, 250);
        check(10, u32::MAX, 500);
        check(u32::MAX, u32::MAX, 500);
    }

    #[test]
    fn the_first_attempt_follows_at_once_and_later_ones_take_their_time() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_pause(), SHORTEST);
        let later = std::iter::repeat_with(|| backoff.next_pause()).nth(20).expect("endless");
        assert!((LONGEST / 2..=LONGEST).contains(&later), "{later:?}");
    }
}
