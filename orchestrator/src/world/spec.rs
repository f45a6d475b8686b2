//! What a drill says of the worlds that it can be run in, and the one that is chosen.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use squall_model::nearest::nearest;

use super::docker::DockerConfig;
use super::external::ExternalConfig;
use super::process::ProcessConfig;
use super::{Cast, WorldError, docker};
use crate::step::{Need, Step};

/// The worlds that a drill can be run in, one key each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Worlds {
    /// Child processes of the drill.
    process: Option<ProcessConfig>,
    /// Containers.
    docker: Option<DockerConfig>,
    /// A URL.
    external: Option<ExternalConfig>,
}

/// THE list of worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorldKind {
    Process,
    Docker,
    External,
}

/// The world that a run is for.
#[derive(Clone, Debug)]
pub(crate) enum WorldSpec {
    /// Child processes of the drill.
    Process(ProcessConfig),
    /// Containers.
    Docker(Box<DockerConfig>),
    /// A URL.
    External(ExternalConfig),
}

impl WorldKind {
    const ALL: [Self; 3] = [Self::Process, Self::Docker, Self::External];

    /// Its name in drills, reports and locks.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::External => "external",
        }
    }
}

impl fmt::Display for WorldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WorldKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let meant = nearest(text, known).map(|name| format!(", did you mean `{name}`?"));
            let known = known.join(", ");
            format!("there is no world `{text}`{} (there are: {known})", meant.unwrap_or_default())
        })
    }
}

impl Worlds {
    /// The worlds that the drill knows, the one that it takes by itself first.
    pub(crate) fn kinds(&self) -> Vec<WorldKind> {
        WorldKind::ALL.into_iter().filter(|kind| self.get(*kind).is_some()).collect()
    }

    /// The world of that kind, or the first that the drill knows. Paths in it count from `base`, the
    /// folder of the runbook.
    pub(crate) fn choose(&self, kind: Option<WorldKind>, base: &Path) -> Result<WorldSpec, String> {
        let kinds = self.kinds();
        let first = kinds.first().ok_or(
            "`world` names no world: `process: {}`, `docker: {}` or `external: { url: … }` was expected",
        )?;
        let kind = kind.unwrap_or(*first);
        let spec = self.get(kind).ok_or_else(|| {
            let known: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            let known = known.join(", ");
            format!(
                "this drill has no `world.{kind}` (it has: {known}): add one, or say what is needed with --set world.{kind}…"
            )
        })?;
        Ok(spec.in_folder(base))
    }

    fn get(&self, kind: WorldKind) -> Option<WorldSpec> {
        match kind {
            WorldKind::Process => self.process.clone().map(WorldSpec::Process),
            WorldKind::Docker => self.docker.clone().map(|it| WorldSpec::Docker(Box::new(it))),
            WorldKind::External => self.external.clone().map(WorldSpec::External),
        }
    }
}

impl WorldSpec {
    /// The world's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Docker(_) => "docker",
            Self::External(_) => "external",
        }
    }

    /// Whether all that answers is the drill's own, so that taking it down undoes everything.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Process(_) => true,
            Self::Docker(config) => config.is_own(),
            Self::External(_) => false,
        }
    }

    /// Who can be hit, where that is known without asking anybody.
    pub(crate) fn known_cast(&self) -> Option<Cast> {
        match self {
            Self::Process(config) => Some(config.cast()),
            Self::Docker(config) => config.known_cast(),
            Self::External(_) => Some(Cast::default()),
        }
    }

    /// Who can be hit. Of containers that run already the engine is asked whether they can be had, and
    /// nothing is touched: what is to be refused is refused before anything is begun.
    pub(crate) async fn cast(&self) -> Result<Cast, WorldError> {
        match self {
            Self::Docker(config) if !config.is_own() => Ok(docker::survey(config).await?),
            _ => Ok(self.known_cast().unwrap_or_default()),
        }
    }

    /// A file that it needs and that is not there.
    pub(crate) fn missing_file(&self) -> Option<&Path> {
        match self {
            Self::Docker(config) => config.compose_file().filter(|file| !file.is_file()),
            Self::Process(_) | Self::External(_) => None,
        }
    }

    /// Who or what is drilled, in words for reports.
    pub(crate) fn targets(&self, cast: &Cast) -> Vec<String> {
        match self {
            Self::External(config) => vec![config.url.to_string()],
            Self::Process(_) | Self::Docker(_) => cast.names(),
        }
    }

    /// What of the steps cannot be done in this world, as a reason to refuse the drill.
    pub(crate) fn refuse(&self, steps: &[Step]) -> Result<(), String> {
        for (place, step) in steps.iter().enumerate() {
            if let Err(why) = self.refuse_one(step) {
                let (number, name) = (place + 1, step.name());
                return Err(format!(
                    "step {number} (`{name}`) cannot be taken in the {} world: {why}",
                    self.name()
                ));
            }
        }
        Ok(())
    }

    fn refuse_one(&self, step: &Step) -> Result<(), String> {
        if step.hits_redis() && !self.has_redis() {
            return Err(match self {
                Self::External(_) => "it has a URL and no Redis".to_owned(),
                _ => format!("it has no Redis: say `world.{}.redis`", self.name()),
            });
        }
        match (step.need(), self) {
            (Need::Wire | Need::Redis, _)
            | (Need::Replicas, Self::Process(_) | Self::Docker(_))
            | (Need::Networks, Self::Docker(_)) => Ok(()),
            (need, Self::External(_)) => Err(format!(
                "it needs {need}, and there is only a URL; `inject`, `remove` and `wait` can be done"
            )),
            (need, Self::Process(_)) => Err(format!(
                "it needs {need}, and these are processes of one machine; `pause` is what comes closest"
            )),
        }
    }

    fn has_redis(&self) -> bool {
        match self {
            Self::Process(config) => config.has_redis(),
            Self::Docker(config) => config.has_redis(),
            Self::External(_) => false,
        }
    }

    fn in_folder(self, base: &Path) -> Self {
        match self {
            Self::Docker(config) => Self::Docker(Box::new(config.in_folder(base))),
            other => other,
        }
    }
}
