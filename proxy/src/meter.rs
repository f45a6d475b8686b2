//! What one thread counts of its exchanges, so that threads do not wait for each other.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::classify::Exchange;
use crate::observe::Ended;

/// The longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;
/// How many pairs of method and name a thread tells apart; the rest is `other`.
const MOST_CALLS: usize = 200;
/// Methods and names longer than this are `other`, too, in bytes.
const LONGEST_NAME: usize = 128;
/// The upper bounds of the buckets of durations: 0.5 ms, doubled up to 16 s, and the rest.
const BUCKETS: usize = 17;

/// One thread's counts.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Tally>);

/// Counts that are added up over threads.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Since it was last asked for.
    pub(crate) exchanges: u64,
    pub(crate) errors: u64,
    pub(crate) times: Histogram<u32>,
    /// Since the proxy began: by HTTP method, then by class of status.
    pub(crate) answers: [[u64; CLASSES.len()]; METHODS.len()],
    pub(crate) calls: Calls,
}

/// HTTP methods, as they are counted.
pub(crate) const METHODS: [&str; 4] = ["POST", "GET", "DELETE", "other"];
/// Classes of status, as they are counted.
pub(crate) const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "aborted"];

/// Durations by JSON-RPC method and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    by_method: BTreeMap<Box<str>, BTreeMap<Box<str>, Spread>>,
    known: usize,
    other: Spread,
}

/// Durations, in buckets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) seconds: f64,
    pub(crate) count: u64,
    buckets: [u64; BUCKETS],
}

impl Spread {
    fn add(&mut self, took: Duration) {
        self.seconds += took.as_secs_f64();
        self.count += 1;
        let halves = took.as_micros() / 500;
        let place = (u128::BITS - halves.leading_zeros()) as usize;
        self.buckets[place.min(BUCKETS - 1)] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.count += other.count;
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
    }

    /// Each upper bound in seconds, and how many lie below it and above the one before.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bound = |place: usize| match place {
            place if place + 1 == BUCKETS => f64::INFINITY,
            place => 0.0005 * f64::from(1_u32 << place),
        };
        self.buckets.iter().enumerate().map(|(place, count)| (bound(place), *count)).collect()
    }
}

impl Calls {
    fn add(&mut self, method: &str, name: &str, took: Duration) {
        if method.len().max(name.len()) > LONGEST_NAME {
            return self.other.add(took);
        }
        let known = self.by_method.get_mut(method).and_then(|names| names.get_mut(name));
        match known {
            Some(spread) => spread.add(took),
            None if self.known < MOST_CALLS => {
                self.known += 1;
                let names = self.by_method.entry(method.into()).or_default();
                names.entry(name.into()).or_default().add(took);
            }
            None => self.other.add(took),
        }
    }

    /// Adds what another thread has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.other.merge(&other.other);
        for (method, names) in &other.by_method {
            let own = self.by_method.entry(method.clone()).or_default();
            for (name, spread) in names {
                own.entry(name.clone()).or_default().merge(spread);
            }
        }
    }

    /// Method, name and durations of each.
    pub(crate) fn all(&self) -> Vec<(String, String, Spread)> {
        let named = self.by_method.iter().flat_map(|(method, names)| {
            names.iter().map(move |(name, spread)| (method.to_string(), name.to_string(), *spread))
        });
        let other = (self.other.count > 0).then(|| ("other".to_owned(), String::new(), self.other));
        let mut all: Vec<_> = named.chain(other).collect();
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        all
    }
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Tally {
            exchanges: 0,
            errors: 0,
            times: times(),
            answers: Default::default(),
            calls: Calls::default(),
        }))
    }

    /// Counts an exchange that has ended, as far as its head.
    pub(crate) fn count(&self, exchange: &Exchange, took: Duration, ended: Ended) {
        let message = exchange.messages.first();
        let method = message.and_then(|message| message.method.as_deref()).unwrap_or_default();
        let name = message.and_then(|message| message.name.as_deref()).unwrap_or_default();
        let http = METHODS.iter().position(|known| *known == exchange.method.as_str());
        let class = match ended {
            Ended::Aborted => CLASSES.len() - 1,
            Ended::Answered(status) => usize::from(status.as_u16() / 100).clamp(2, 5) - 2,
        };
        let mut tally = self.0.lock();
        tally.exchanges += 1;
        tally.errors += u64::from(class >= 2);
        tally.times.saturating_record((took.as_micros() as u64).clamp(1, LONGEST_US));
        tally.answers[http.unwrap_or(METHODS.len() - 1)][class] += 1;
        tally.calls.add(method, name, took);
    }

    /// Takes what was counted since it was last asked for, and leaves what counts from the beginning.
    pub(crate) fn take(&self, into: &mut Tally) {
        let mut tally = self.0.lock();
        into.exchanges += std::mem::take(&mut tally.exchanges);
        into.errors += std::mem::take(&mut tally.errors);
        let _ = into.times.add(&tally.times); // they have the same bounds
        tally.times.reset();
    }

    /// Adds what was counted since the proxy began.
    pub(crate) fn add_to(
        &self,
        answers: &mut [[u64; CLASSES.len()]; METHODS.len()],
        calls: &mut Calls,
    ) {
        let tally = self.0.lock();
        for (sums, counts) in answers.iter_mut().zip(tally.answers) {
            sums.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
        }
        calls.merge(&tally.calls);
    }
}

impl Tally {
    pub(crate) fn new() -> Self {
        Meter::new().0.into_inner()
    }
}

/// Two digits of every time up to a minute.
fn times() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_US, 2)
        .unwrap_or_else(|error| unreachable!("the bounds are good: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_whose_bound_it_does_not_reach() {
        for (micros, bound) in
            [(0, 0.0005), (499, 0.0005), (500, 0.001), (999, 0.001), (1000, 0.002), (15_000, 0.016)]
        {
            let mut spread = Spread::default();
            spread.add(Duration::from_micros(micros));
            let hit = spread.buckets().into_iter().find(|(_, count)| *count > 0);
            assert_eq!(hit, Some((bound, 1)), "{micros}");
        }
        let mut spread = Spread::default();
        spread.add(Duration::from_secs(3600));
        assert_eq!(spread.buckets().last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn what_is_told_apart_is_bounded_whatever_names_peers_invent() {
        let mut calls = Calls::default();
        for number in 0..1000 {
            calls.add("tools/call", &format!("tool-{number}"), Duration::ZERO);
        }
        calls.add("tools/call", "tool-1", Duration::ZERO);
        calls.add(&"x".repeat(1000), "", Duration::ZERO);
        let all = calls.all();
        assert_eq!(all.len(), MOST_CALLS + 1);
        let other = all.iter().find(|(method, ..)| method == "other").expect("the rest");
        assert_eq!(other.2.count, 801);
        assert_eq!(all.iter().map(|(.., spread)| spread.count).sum::<u64>(), 1002);
    }
}
