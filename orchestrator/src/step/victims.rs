//! Victims: which replicas a step hits. Where the drill leaves a choice, the seed makes it.

use std::fmt;
use std::str::FromStr;

use rand::seq::IndexedRandom as _;
use serde::Deserialize;
use squall_model::chance::{DrawKey, Seed};

use crate::scalar::text;
use crate::world::{Cast, REDIS};

/// Which replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    /// Every one.
    All,
    /// So many, drawn from the seed.
    Some(u8),
    /// These; `redis` is the store.
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
    #[error("{wanted} of the replicas must be {state} by then, but {present} will be")]
    TooMany {
        /// How many were asked for.
        wanted: u8,
        /// `up`, `down`, `paused` or `disconnected`.
        state: &'static str,
        /// How many there are.
        present: usize,
    },
    /// More at once than the world allows.
    #[error(
        "{found} of the containers would be broken at once, but {most} at most may be: raise `world.docker.at_most`, or choose fewer"
    )]
    OverTheCap {
        /// The world's cap.
        most: u8,
        /// How many would be broken.
        found: usize,
    },
    /// One that is not as it must be.
    #[error("`{name}` must be {state} by then, but an earlier step or none leaves it otherwise")]
    NotSo {
        /// The name.
        name: String,
        /// `up`, `down`, `paused` or `disconnected`.
        state: &'static str,
    },
}

/// How a replica must be for a step to hit it.
pub(super) struct Wanted<'a> {
    /// `up`, `down`, `paused` or `disconnected`.
    pub(super) state: &'static str,
    /// Whether a replica is so by then.
    pub(super) holds: &'a dyn Fn(&String) -> bool,
}

impl Victims {
    /// Whether it names Redis.
    pub(super) fn names_redis(&self) -> bool {
        matches!(self, Self::Named(names) if names.iter().any(|name| name == REDIS))
    }

    /// The names of the victims among those of the cast that are as they must be, for the nth step
    /// of a drill: the same for the same seed. Only by its name is Redis one of them.
    pub(super) fn choose(
        &self,
        cast: &Cast,
        must: &Wanted<'_>,
        seed: Seed,
        step: u64,
    ) -> Result<Vec<String>, NoVictims> {
        let fit: Vec<_> = cast.replicas.iter().filter(|name| (must.holds)(name)).cloned().collect();
        let wanted = match self {
            Self::All => 1,
            Self::Some(wanted) => *wanted,
            Self::Named(names) => return named(names, &cast.names(), must),
        };
        if usize::from(wanted) > fit.len() {
            return Err(NoVictims::TooMany { wanted, state: must.state, present: fit.len() });
        }
        if *self == Self::All {
            return Ok(fit);
        }
        let mut draw = seed.draw("victims", DrawKey::Arrival(step));
        let mut drawn: Vec<_> = fit.sample(&mut draw, usize::from(wanted)).cloned().collect();
        drawn.sort();
        Ok(drawn)
    }
}

fn named(names: &[String], known: &[String], must: &Wanted<'_>) -> Result<Vec<String>, NoVictims> {
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(NoVictims::Unknown { name: name.clone(), known: known.to_vec() });
    }
    if let Some(name) = names.iter().find(|name| !(must.holds)(name)) {
        return Err(NoVictims::NotSo { name: name.clone(), state: must.state });
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
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

    const ANY: Wanted<'_> = Wanted { state: "up", holds: &|_| true };

    fn cast() -> Cast {
        let replicas = (1..=3).map(|number| format!("replica-{number}")).collect();
        Cast { replicas, has_redis: true, most_at_once: None }
    }

    #[test]
    fn the_seed_chooses_the_same_victims_and_another_seed_others() {
        let choose = |seed| Victims::Some(1).choose(&cast(), &ANY, Seed::new(seed), 0);
        assert_eq!(choose(7), choose(7));
        let chosen: std::collections::BTreeSet<_> =
            (0..50).filter_map(|seed| choose(seed).ok()).flatten().collect();
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), cast().replicas);
    }

    #[test]
    fn who_is_not_there_cannot_be_hit() {
        let unknown: Victims = "replica-1, replica-9".parse().expect("names");
        let error = unknown.choose(&cast(), &ANY, Seed::new(1), 0).expect_err("no replica-9");
        assert!(error.to_string().contains("replica-9"), "{error}");
        assert!(Victims::Some(4).choose(&cast(), &ANY, Seed::new(1), 0).is_err());
        assert!("".parse::<Victims>().is_err());
    }

    #[test]
    fn redis_is_hit_by_its_name_only() {
        let redis: Victims = "redis".parse().expect("a name");
        assert_eq!(redis.choose(&cast(), &ANY, Seed::new(1), 0), Ok(vec!["redis".to_owned()]));
        let all = Victims::All.choose(&cast(), &ANY, Seed::new(1), 0).expect("all replicas");
        assert_eq!(all, cast().replicas);
        let without = Cast { has_redis: false, ..cast() };
        assert!(redis.choose(&without, &ANY, Seed::new(1), 0).is_err());
    }

    #[test]
    fn only_what_is_as_it_must_be_is_hit() {
        let must = Wanted { state: "up", holds: &|name| name != "replica-2" };
        let choose = |victims: Victims, seed| victims.choose(&cast(), &must, Seed::new(seed), 3);
        let rest = vec!["replica-1".to_owned(), "replica-3".to_owned()];
        assert_eq!(choose(Victims::All, 1), Ok(rest.clone()));
        for seed in 0..50 {
            let drawn = choose(Victims::Some(1), seed).expect("one is up");
            assert!(rest.contains(&drawn[0]), "{drawn:?}");
        }
        assert!(matches!(choose(Victims::Some(3), 1), Err(NoVictims::TooMany { present: 2, .. })));
        let named = Victims::Named(vec!["replica-2".to_owned()]);
        assert!(matches!(choose(named, 1), Err(NoVictims::NotSo { .. })));
    }
}
