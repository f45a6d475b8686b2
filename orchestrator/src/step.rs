//! THE list of things a drill can do to its world. A new one is a variant here and a file in `step/`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use squall_model::fault::Fault;

mod inject;
mod kill;
mod remove;
mod start;
mod victims;
mod wait;

pub(crate) use inject::{Inject, LEASE};
pub(crate) use kill::Kill;
pub(crate) use remove::Remove;
pub(crate) use start::Start;
use victims::Wanted;
pub(crate) use victims::{NoVictims, Victims};
pub(crate) use wait::Wait;

/// One step of a drill.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Replicas are sent a signal, SIGKILL by default, and stay down.
    Kill(Kill),
    /// Replicas that were killed are started again.
    Start(Start),
    /// A fault is added to the drill's proxy, on a lease that the drill renews.
    Inject(Box<Inject>),
    /// A fault is removed from the drill's proxy.
    Remove(Remove),
    /// Nothing is done for a while.
    Wait(Wait),
}

impl Step {
    /// The step in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Kill(step) => step.describe(),
            Self::Start(step) => step.describe(),
            Self::Inject(step) => step.describe(),
            Self::Remove(step) => step.describe(),
            Self::Wait(step) => step.describe(),
        }
    }

    /// The name that runbooks use.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Start(_) => "start",
            Self::Inject(_) => "inject",
            Self::Remove(_) => "remove",
            Self::Wait(_) => "wait",
        }
    }

    /// What takes it back, in words; `None` where there is nothing to take back.
    pub(crate) fn describe_undo(&self) -> Option<String> {
        match self {
            Self::Inject(step) => Some(step.describe_undo()),
            // The replicas are the drill's own: taking the world down is their undo.
            Self::Kill(_) | Self::Start(_) | Self::Remove(_) | Self::Wait(_) => None,
        }
    }

    /// Whether it breaks nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Remove(_) | Self::Wait(_))
    }

    /// The fault that it adds.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Inject(step) => Some(&step.0),
            Self::Kill(_) | Self::Start(_) | Self::Remove(_) | Self::Wait(_) => None,
        }
    }

    /// How long it takes on purpose.
    pub(crate) fn length(&self) -> Duration {
        match self {
            Self::Wait(step) => step.0,
            Self::Kill(_) | Self::Start(_) | Self::Inject(_) | Self::Remove(_) => Duration::ZERO,
        }
    }
}

impl Step {
    /// The replicas that the step hits, as the nth of a drill, where these are `down` by then: the
    /// same for the same seed.
    pub(crate) fn victims(
        &self,
        replicas: &[String],
        down: &BTreeSet<String>,
        seed: squall_model::chance::Seed,
        place: u64,
    ) -> Result<Vec<String>, NoVictims> {
        match self {
            Self::Kill(step) => {
                let up = |name: &String| !down.contains(name);
                step.replicas.choose(replicas, &Wanted { state: "up", holds: &up }, seed, place)
            }
            Self::Start(step) if step.replicas == Victims::All => Ok(Vec::new()),
            Self::Start(step) => {
                let is_down = |name: &String| down.contains(name);
                step.replicas.choose(
                    replicas,
                    &Wanted { state: "down", holds: &is_down },
                    seed,
                    place,
                )
            }
            Self::Inject(_) | Self::Remove(_) | Self::Wait(_) => Ok(Vec::new()),
        }
    }
}
