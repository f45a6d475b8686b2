//! A drill with every choice made: who is hit, and when the fault begins.

use squall_model::chance::Seed;

use crate::drill::Drill;
use crate::step::{Conditions, NoVictims, Step};
use crate::world::Cast;

/// What will be done, resolved. Nothing is touched to make it.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    /// The drill.
    pub(crate) drill: &'a Drill,
    /// Who can be hit.
    pub(crate) cast: Cast,
    /// The steps of the impact phase, in order.
    pub(crate) steps: Vec<Planned<'a>>,
}

/// A step and whom it hits.
#[derive(Clone, Debug)]
pub(crate) struct Planned<'a> {
    /// The step.
    pub(crate) step: &'a Step,
    /// Whether it is the first that breaks Redis.
    pub(crate) is_first_on_redis: bool,
    /// The replicas it hits; none for a step that hits no replica, and for one that starts whatever
    /// is down.
    pub(crate) victims: Vec<String>,
}

impl Planned<'_> {
    /// Whether it breaks what sessions are kept in.
    pub(crate) fn breaks_redis(&self) -> bool {
        self.step.hits_redis() && !self.step.is_quiet()
    }

    /// The step in words, with the victims by name.
    pub(crate) fn describe(&self) -> String {
        let (step, victims) = (self.step.describe(), self.victims.join(", "));
        // A step that names its victims has said it.
        if step.contains(&victims) { step } else { format!("{step} ({victims})") }
    }
}

/// Why a drill cannot be run in its world.
#[derive(Debug, thiserror::Error)]
#[error("step {number} (`{step}`) cannot be taken")]
pub(crate) struct PlanError {
    number: usize,
    step: String,
    source: NoVictims,
}

impl<'a> Plan<'a> {
    /// Makes every choice that the drill leaves to the seed.
    pub(crate) fn resolve(drill: &'a Drill, cast: Cast, seed: Seed) -> Result<Self, PlanError> {
        let mut steps = Vec::new();
        let mut conditions = Conditions::default();
        for (place, step) in drill.phases.impact.steps.iter().enumerate() {
            let victims = conditions.take(step, &cast, seed, place as u64);
            let victims = victims.map_err(|source| PlanError {
                number: place + 1,
                step: step.describe(),
                source,
            })?;
            let mut planned = Planned { step, victims, is_first_on_redis: false };
            planned.is_first_on_redis =
                planned.breaks_redis() && !steps.iter().any(Planned::breaks_redis);
            steps.push(planned);
        }
        Ok(Self { drill, cast, steps })
    }

    /// Whose sessions are on what any step breaks: of the replicas that are hit, or of all where it is
    /// Redis.
    pub(crate) fn broken(&self) -> Broken {
        if self.steps.iter().any(Planned::breaks_redis) {
            return Broken::Redis;
        }
        let breaking = self.steps.iter().filter(|planned| !planned.step.is_quiet());
        let mut names: Vec<_> = breaking.flat_map(|planned| planned.victims.clone()).collect();
        names.sort();
        names.dedup();
        Broken::Replicas(names)
    }
}

/// Whose sessions are on what is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Those on these replicas; none for faults on the wire alone.
    Replicas(Vec<String>),
    /// All: what they live in is broken.
    Redis,
}

impl Broken {
    /// Whether nothing but the wire is broken.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::Replicas(Vec::new())
    }
}
