//! A drill with every choice made: who is hit, and when the fault begins.

use std::collections::BTreeSet;

use squall_model::chance::Seed;

use crate::drill::{Drill, WorldSpec};
use crate::step::{NoVictims, Step};

/// What will be done, resolved. Nothing is touched to make it.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    /// The drill.
    pub(crate) drill: &'a Drill,
    /// The names of the replicas.
    pub(crate) replicas: Vec<String>,
    /// The steps of the impact phase, in order.
    pub(crate) steps: Vec<Planned<'a>>,
}

/// A step and whom it hits.
#[derive(Clone, Debug)]
pub(crate) struct Planned<'a> {
    /// The step.
    pub(crate) step: &'a Step,
    /// The replicas it hits; none for a step that hits no replica, and for one that starts whatever
    /// is down.
    pub(crate) victims: Vec<String>,
}

impl Planned<'_> {
    /// The step in words, with the victims by name.
    pub(crate) fn describe(&self) -> String {
        match &self.victims[..] {
            [] => self.step.describe(),
            victims => format!("{} ({})", self.step.describe(), victims.join(", ")),
        }
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
    pub(crate) fn resolve(drill: &'a Drill, seed: Seed) -> Result<Self, PlanError> {
        let WorldSpec::Process(config) = &drill.world;
        let replicas = config.replica_names();
        let mut steps = Vec::new();
        let mut down: BTreeSet<String> = BTreeSet::new();
        for (place, step) in drill.phases.impact.steps.iter().enumerate() {
            let victims = step.victims(&replicas, &down, seed, place as u64);
            let victims = victims.map_err(|source| PlanError {
                number: place + 1,
                step: step.describe(),
                source,
            })?;
            match step {
                Step::Kill(_) => down.extend(victims.iter().cloned()),
                Step::Start(_) if victims.is_empty() => down.clear(),
                Step::Start(_) => down.retain(|name| !victims.contains(name)),
                Step::Inject(_) | Step::Remove(_) | Step::Wait(_) => {}
            }
            steps.push(Planned { step, victims });
        }
        Ok(Self { drill, replicas, steps })
    }

    /// The replicas that any step takes down.
    pub(crate) fn broken(&self) -> Vec<String> {
        let kills = self.steps.iter().filter(|planned| matches!(planned.step, Step::Kill(_)));
        let mut names: Vec<_> = kills.flat_map(|planned| planned.victims.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}
