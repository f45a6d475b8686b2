//! Whether a matching fault fires: probability, nth, max hits; and the seed that all draws come from.

use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::OperationId;
pub use crate::seed::Seed;
use crate::seed::split_mix;

/// The generator that effects draw from: portable, so that a seed means the same on every machine.
pub type Draw = ChaCha8Rng;

impl Seed {
    /// The generator for one decision: the same for the same seed, label and key, whatever else was
    /// drawn before. The label is a fault's id, or names another decision (`victims`, `mix`).
    pub fn draw(self, label: &str, key: DrawKey) -> Draw {
        let (kind, high, low) = match key {
            DrawKey::Operation(id) => (1, (id.bits() >> 64) as u64, id.bits() as u64),
            DrawKey::Arrival(number) => (2, 0, number),
            DrawKey::Message(id, number) => {
                (split_mix(number).max(3), (id.bits() >> 64) as u64, id.bits() as u64)
            }
        };
        let mut state = label
            .bytes()
            .fold(split_mix(self.value() ^ kind), |state, byte| split_mix(state ^ u64::from(byte)));
        state = split_mix(split_mix(state ^ high) ^ low);
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            state = split_mix(state);
            part.copy_from_slice(&state.to_le_bytes());
        }
        Draw::from_seed(seed)
    }
}

/// What a decision is about: the operation by its id, or the arrival number where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawKey {
    /// Traffic that carries an operation id: the decision repeats however requests interleave.
    Operation(OperationId),
    /// Traffic without one: counted as it arrives, from 1.
    Arrival(u64),
    /// The nth message, from 1, of the answer to an operation.
    Message(OperationId, u64),
}

/// A probability: a number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("minimum" = 0, "maximum" = 1))]
pub struct Probability(f64);

impl Probability {
    /// What always happens.
    pub const CERTAIN: Self = Self(1.0);

    /// The number, from 0 to 1.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Default for Probability {
    fn default() -> Self {
        Self::CERTAIN
    }
}

/// A number that is not a probability.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a probability: a number from 0 to 1 was expected")]
pub struct NotAProbability(f64);

impl TryFrom<f64> for Probability {
    type Error = NotAProbability;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAProbability(value)) }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// Which of the matches of a fault fire. The default is: all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Chance {
    /// Each match fires with this probability, drawn from (seed, fault id, operation id).
    pub probability: Probability,
    /// Only the nth match fires, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub nth: Option<u64>,
    /// Only every nth match fires: the nth, the 2nth …
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub every: Option<u64>,
    /// Only the first n matches may fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub first: Option<u64>,
    /// After so many hits the fault is spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_hits: Option<u64>,
    /// So many at most are held at a time; further matches pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<u64>,
    /// The fault sleeps for so long after it was added: matches are not even counted.
    #[serde(with = "humantime_serde::option", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_time")]
    pub start_after: Option<Duration>,
}

impl Chance {
    /// Whether match number `nth_match` (from 1) fires. Hits are capped where they are counted, not
    /// here: see [`Chance::max_hits`] and [`Chance::max_concurrent`].
    pub fn fires(&self, nth_match: u64, draw: &mut Draw) -> bool {
        self.nth.is_none_or(|nth| nth == nth_match)
            && self.every.is_none_or(|every| nth_match.is_multiple_of(every))
            && self.first.is_none_or(|first| nth_match <= first)
            && draw.random_bool(self.probability.value())
    }

    /// Whether every match fires, for as long as the fault lives.
    pub fn is_certain(&self) -> bool {
        let always = Self { start_after: self.start_after, ..Self::default() };
        *self == always
    }

    /// The counts that are given, by name: each has to be 1 at least.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [
            ("nth", self.nth),
            ("every", self.every),
            ("first", self.first),
            ("max_hits", self.max_hits),
            ("max_concurrent", self.max_concurrent),
        ];
        counts.into_iter().filter_map(|(name, count)| Some((name, count?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(number: u32) -> DrawKey {
        DrawKey::Operation(OperationId::new(Seed::new(1), 1, number))
    }

    fn victims(seed: u64, fault: &str) -> Vec<u32> {
        let chance = Chance { probability: Probability(0.1), ..Chance::default() };
        let hit = |n: &u32| chance.fires(1, &mut Seed::new(seed).draw(fault, operation(*n)));
        (1..1000).filter(hit).collect()
    }

    #[test]
    fn the_same_seed_fault_and_operation_decide_the_same() {
        assert_eq!(victims(7, "slow"), victims(7, "slow"));
    }

    #[test]
    fn another_seed_or_another_fault_decides_otherwise() {
        assert_ne!(victims(7, "slow"), victims(8, "slow"));
        assert_ne!(victims(7, "slow"), victims(7, "cut"));
    }

    #[test]
    fn a_tenth_is_about_a_tenth() {
        let hits = victims(7, "slow").len();
        assert!((60..140).contains(&hits), "{hits} of 999");
    }

    #[test]
    fn an_operation_and_an_arrival_of_the_same_number_differ() {
        let mut draws = [operation(5), DrawKey::Arrival(5)].map(|key| Seed::new(1).draw("x", key));
        assert_ne!(draws[0].random::<u64>(), draws[1].random::<u64>());
    }

    #[test]
    fn counts_choose_among_the_matches() {
        for (chance, expected) in [
            (Chance { nth: Some(3), ..Chance::default() }, vec![3]),
            (Chance { every: Some(3), ..Chance::default() }, vec![3, 6]),
            (Chance { first: Some(2), ..Chance::default() }, vec![1, 2]),
            (Chance { every: Some(2), first: Some(5), ..Chance::default() }, vec![2, 4]),
        ] {
            let fires =
                |n: &u64| chance.fires(*n, &mut Seed::new(1).draw("x", DrawKey::Arrival(*n)));
            assert_eq!((1..9).filter(fires).collect::<Vec<_>>(), expected, "{chance:?}");
        }
    }

    #[test]
    fn a_probability_outside_of_0_to_1_is_refused() {
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(Probability::try_from(bad).is_err(), "{bad}");
        }
    }
}
