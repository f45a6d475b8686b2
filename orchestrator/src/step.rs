//! THE list of things a drill can do to its world. A new one is a variant here and a file in `step/`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use squall_model::chance::Seed;
use squall_model::fault::Fault;

use crate::world::Cast;

mod disconnect;
mod flush;
mod inject;
mod kill;
mod kill_clients;
mod pause;
mod pause_clients;
mod reconnect;
mod remove;
mod restart;
mod start;
mod stop;
mod unpause;
mod victims;
mod wait;

pub(crate) use disconnect::Disconnect;
pub(crate) use flush::Flush;
pub(crate) use inject::{Inject, LEASE};
pub(crate) use kill::Kill;
pub(crate) use kill_clients::KillClients;
pub(crate) use pause::Pause;
pub(crate) use pause_clients::PauseClients;
pub(crate) use reconnect::Reconnect;
pub(crate) use remove::Remove;
pub(crate) use restart::Restart;
pub(crate) use start::Start;
pub(crate) use stop::Stop;
pub(crate) use unpause::Unpause;
use victims::Wanted;
pub(crate) use victims::{NoVictims, Victims};
pub(crate) use wait::Wait;

/// One step of a drill.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Replicas are sent a signal, SIGKILL by default, and stay down.
    Kill(Kill),
    /// Replicas are asked to end in order, and stay down.
    Stop(Stop),
    /// Replicas that are down are started again.
    Start(Start),
    /// Replicas are asked to end, and started at once.
    Restart(Restart),
    /// Replicas freeze.
    Pause(Pause),
    /// Replicas that are frozen go on.
    Unpause(Unpause),
    /// Containers lose their networks.
    Disconnect(Disconnect),
    /// Containers get their networks back.
    Reconnect(Reconnect),
    /// Redis forgets everything.
    Flush(Flush),
    /// Redis drops the connections of its clients.
    KillClients(KillClients),
    /// Redis answers nobody for a while.
    PauseClients(PauseClients),
    /// A fault is added to the drill's proxy, on a lease that the drill renews.
    Inject(Box<Inject>),
    /// A fault is removed from the drill's proxy.
    Remove(Remove),
    /// Nothing is done for a while.
    Wait(Wait),
}

/// How a member of the cast is, as far as the steps of a drill made it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It runs, and can be reached.
    #[default]
    Up,
    /// It was killed or stopped.
    Down,
    /// It is frozen.
    Paused,
    /// It runs, and cannot be reached.
    Disconnected,
}

/// What a step hits, and what must be and will be so.
struct Change<'a> {
    whom: &'a Victims,
    from: Condition,
    to: Condition,
}

/// What a step needs of its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing but the drill's own proxy.
    Wire,
    /// Replicas that it may start and end.
    Replicas,
    /// Networks that replicas can be taken from.
    Networks,
    /// A Redis.
    Redis,
}

impl Step {
    /// The step in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Kill(step) => step.describe(),
            Self::Stop(step) => step.describe(),
            Self::Start(step) => step.describe(),
            Self::Restart(step) => step.describe(),
            Self::Pause(step) => step.describe(),
            Self::Unpause(step) => step.describe(),
            Self::Disconnect(step) => step.describe(),
            Self::Reconnect(step) => step.describe(),
            Self::Flush(step) => step.describe(),
            Self::KillClients(step) => step.describe(),
            Self::PauseClients(step) => step.describe(),
            Self::Inject(step) => step.describe(),
            Self::Remove(step) => step.describe(),
            Self::Wait(step) => step.describe(),
        }
    }

    /// The name that runbooks use.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Unpause(_) => "unpause",
            Self::Disconnect(_) => "disconnect",
            Self::Reconnect(_) => "reconnect",
            Self::Flush(_) => "flush",
            Self::KillClients(_) => "kill-clients",
            Self::PauseClients(_) => "pause-clients",
            Self::Inject(_) => "inject",
            Self::Remove(_) => "remove",
            Self::Wait(_) => "wait",
        }
    }

    /// What it needs of its world.
    pub(crate) fn need(&self) -> Need {
        match self {
            Self::Kill(_)
            | Self::Stop(_)
            | Self::Start(_)
            | Self::Restart(_)
            | Self::Pause(_)
            | Self::Unpause(_) => Need::Replicas,
            Self::Disconnect(_) | Self::Reconnect(_) => Need::Networks,
            Self::Flush(_) | Self::KillClients(_) | Self::PauseClients(_) => Need::Redis,
            Self::Inject(_) | Self::Remove(_) | Self::Wait(_) => Need::Wire,
        }
    }

    /// What takes it back on replicas that are not the drill's own, or on the drill's proxy, in
    /// words; `None` where there is nothing to take back, or nothing that could.
    pub(crate) fn describe_undo(&self, own_replicas: bool) -> Option<String> {
        match self {
            Self::Inject(step) => Some(step.describe_undo()),
            // The drill's own replicas: taking the world down is their undo.
            _ if own_replicas => None,
            Self::Kill(_) | Self::Stop(_) | Self::Restart(_) => Some("start it again".to_owned()),
            Self::Pause(_) => Some("unpause it".to_owned()),
            Self::Disconnect(_) => Some("reconnect it, aliases and addresses included".to_owned()),
            Self::Flush(_) => Some("none: what Redis forgets is gone".to_owned()),
            Self::PauseClients(_) => Some("the pause ends by itself".to_owned()),
            Self::Start(_)
            | Self::Unpause(_)
            | Self::Reconnect(_)
            | Self::KillClients(_)
            | Self::Remove(_)
            | Self::Wait(_) => None,
        }
    }

    /// Whether it breaks nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(
            self,
            Self::Start(_)
                | Self::Unpause(_)
                | Self::Reconnect(_)
                | Self::Remove(_)
                | Self::Wait(_)
        )
    }

    /// Whether it puts something back that has to come back: if it does not, that is a finding.
    pub(crate) fn puts_back(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Restart(_) | Self::Unpause(_) | Self::Reconnect(_))
    }

    /// The fault that it adds.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Inject(step) => Some(&step.0),
            _ => None,
        }
    }

    /// How long it takes on purpose.
    pub(crate) fn length(&self) -> Duration {
        match self {
            Self::Wait(step) => step.0,
            _ => Duration::ZERO,
        }
    }

    /// Whether it hits Redis, be it by its name.
    pub(crate) fn hits_redis(&self) -> bool {
        self.need() == Need::Redis || self.change().is_some_and(|change| change.whom.names_redis())
    }

    fn change(&self) -> Option<Change<'_>> {
        use Condition::{Disconnected, Down, Paused, Up};
        let change = |whom, from, to| Some(Change { whom, from, to });
        match self {
            Self::Kill(step) => change(&step.replicas, Up, Down),
            Self::Stop(step) => change(&step.replicas, Up, Down),
            Self::Start(step) => change(&step.replicas, Down, Up),
            Self::Restart(step) => change(&step.replicas, Up, Up),
            Self::Pause(step) => change(&step.replicas, Up, Paused),
            Self::Unpause(step) => change(&step.replicas, Paused, Up),
            Self::Disconnect(step) => change(&step.replicas, Up, Disconnected),
            Self::Reconnect(step) => change(&step.replicas, Disconnected, Up),
            _ => None,
        }
    }
}

/// How the members of a cast are, step by step. Who is not named is up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(BTreeMap<String, Condition>);

impl Conditions {
    /// Takes the step, as the nth of a drill, in thought: who is hit, the same for the same seed.
    pub(crate) fn take(
        &mut self,
        step: &Step,
        cast: &Cast,
        seed: Seed,
        place: u64,
    ) -> Result<Vec<String>, NoVictims> {
        let Some(Change { whom, from, to }) = step.change() else {
            return Ok(Vec::new());
        };
        if !step.is_quiet() || *whom != Victims::All {
            let state = from.name();
            let holds = |name: &String| self.of(name) == from;
            let victims = whom.choose(cast, &Wanted { state, holds: &holds }, seed, place)?;
            self.check_most_at_once(&victims, cast)?;
            self.set(&victims, to);
            return Ok(victims);
        }
        let all: Vec<_> = cast.names().into_iter().filter(|name| self.of(name) == from).collect();
        self.set(&all, to);
        // What has ended by itself is down, too, and only known when the step is taken.
        Ok(if from == Condition::Down { Vec::new() } else { all })
    }

    fn check_most_at_once(&self, victims: &[String], cast: &Cast) -> Result<(), NoVictims> {
        let Some(most) = cast.most_at_once else { return Ok(()) };
        let broken = self.0.iter().filter(|(_, condition)| **condition != Condition::Up);
        let mut hit: Vec<&String> = broken.map(|(name, _)| name).chain(victims).collect();
        hit.sort();
        hit.dedup();
        if hit.len() > usize::from(most) {
            return Err(NoVictims::OverTheCap { most, found: hit.len() });
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Condition {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn set(&mut self, names: &[String], condition: Condition) {
        self.0.extend(names.iter().map(|name| (name.clone(), condition)));
    }
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Disconnected => "disconnected",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wire => "a proxy",
            Self::Replicas => "replicas that the drill may start and end",
            Self::Networks => "containers on a network",
            Self::Redis => "a Redis",
        })
    }
}
