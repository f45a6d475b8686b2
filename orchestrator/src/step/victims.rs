//! Victims: which replicas a step hits. Where the drill leaves a choice, the seed makes it.

use std::fmt;
use std::str::FromStr;

use rand::seq::IndexedRandom as _;
use serde::Deserialize;
use squall_model::chance::{DrawKey, Seed};

use crate::scalar::text;

/// Which replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    /// Every one.
    All,
    /// So many, drawn from the seed.
    Some(u8),
    /// These.
    Named(Vec<String>),
}

/// Why the victims cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoVictims {
    /// A name that no replica has.
    #[error("there is no replica `{name}`: {} were expected", .known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The replicas there are.
        known: Vec<String>,
    },
    /// More than there are.
    #[error("{wanted} replicas were to be hit, but there are {present}")]
    TooMany {
        /// How many were asked for.
        wanted: u8,
        /// How many there are.
        present: usize,
    },
}

impl Victims {
    /// The names of the victims among the replicas, for the nth step of a drill: the same for the
    /// same seed.
    pub(crate) fn choose(
        &self,
        replicas: &[String],
        seed: Seed,
        step: u64,
    ) -> Result<Vec<String>, NoVictims> {
        match self {
            Self::All => Ok(replicas.to_vec()),
            Self::Some(wanted) if usize::from(*wanted) > replicas.len() => {
                Err(NoVictims::TooMany { wanted: *wanted, present: replicas.len() })
            }
            Self::Some(count) => {
                let mut draw = seed.draw("victims", DrawKey::Arrival(step));
                let mut drawn: Vec<_> =
                    replicas.sample(&mut draw, usize::from(*count)).cloned().collect();
                drawn.sort();
                Ok(drawn)
            }
            Self::Named(names) => match names.iter().find(|name| !replicas.contains(name)) {
                Some(name) => {
                    Err(NoVictims::Unknown { name: name.clone(), known: replicas.to_vec() })
                }
                None => Ok(names.clone()),
            },
        }
    }
}

impl FromStr for Victims {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "one" => Ok(Self::Some(1)),
            "" | "0" => Err("no replica is named: `one`, `all`, a number, or names such as `replica-1, replica-2` were expected".to_owned()),
            text => match text.parse() {
                Ok(count) => Ok(Self::Some(count)),
                Err(_) => Ok(Self::Named(text.split(',').map(|name| name.trim().to_owned()).collect())),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Victims {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)
    }
}

impl fmt::Display for Victims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all replicas"),
            Self::Some(1) => f.write_str("one replica"),
            Self::Some(count) => write!(f, "{count} replicas"),
            Self::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas() -> Vec<String> {
        (1..=3).map(|number| format!("replica-{number}")).collect()
    }

    #[test]
    fn the_seed_chooses_the_same_victims_and_another_seed_others() {
        let choose = |seed| Victims::Some(1).choose(&replicas(), Seed::new(seed), 0);
        assert_eq!(choose(7), choose(7));
        let chosen: std::collections::BTreeSet<_> =
            (0..50).filter_map(|seed| choose(seed).ok()).flatten().collect();
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), replicas());
    }

    #[test]
    fn who_is_not_there_cannot_be_hit() {
        let unknown: Victims = "replica-1, replica-9".parse().expect("names");
        let error = unknown.choose(&replicas(), Seed::new(1), 0).expect_err("no replica-9");
        assert!(error.to_string().contains("replica-9"), "{error}");
        assert!(Victims::Some(4).choose(&replicas(), Seed::new(1), 0).is_err());
        assert!("".parse::<Victims>().is_err());
    }
}
