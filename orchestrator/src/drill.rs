//! The drill: what a runbook's fenced block says, parsed into valid values.
//!
//! A runbook is Markdown for the person on call. It holds one fenced block marked `yaml drill`, and
//! that block is what runs. `docs/drills.md` describes every key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use squall_loadgen::{Mix, Rate, Sessions, Tag, Threshold};
use squall_model::chance::Seed;
use squall_model::mcp::era::ProtocolVersion;
use squall_model::nearest::nearest;

use crate::causes::in_words;
use crate::evidence::{Expectation, SteadyRule};
use crate::runner::Plan;
use crate::scalar::text;
use crate::step::Step;
use crate::world::spec::{WorldKind, WorldSpec, Worlds};

/// What a run can keep: each operation takes some 200 bytes.
const MOST_OPERATIONS: f64 = 1e7;

/// The shortest lease that is renewed in time on a busy machine.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

mod error;
mod overrides;
mod runbook;
mod thresholds;

pub(crate) use error::DrillError;
pub(crate) use overrides::Override;
pub(crate) use thresholds::Condition;

/// A drill that may be run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drill {
    /// A short name: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub(crate) name: Name,
    /// One line for people; the runbook's first heading where it is not given.
    #[serde(default)]
    pub(crate) title: String,
    /// Where the servers may live.
    #[serde(rename = "world")]
    pub(crate) worlds: Worlds,
    /// Where they live in this run.
    #[serde(skip)]
    chosen: Option<WorldSpec>,
    /// The same drill under other conditions, by name.
    #[serde(default)]
    pub(crate) variants: BTreeMap<Name, Variant>,
    /// What clients do meanwhile.
    #[serde(default)]
    pub(crate) load: LoadSpec,
    /// What happens when.
    pub(crate) phases: Phases,
    /// What must become of sessions.
    #[serde(default)]
    pub(crate) expect: Expect,
    /// What steady means.
    #[serde(default)]
    pub(crate) steady: SteadyRule,
    /// What must hold, in k6's notation, by metric.
    #[serde(default, deserialize_with = "thresholds::read")]
    pub(crate) thresholds: Vec<Threshold>,
    /// What ends the drill before its time.
    #[serde(default)]
    pub(crate) stop: Vec<Condition>,
}

/// What one variant of a drill says otherwise: values by their dotted paths, as `--set` takes them.
pub(crate) type Variant = BTreeMap<String, serde_json::Value>;

/// How a drill is asked for, beyond its file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// The variant; none for the drill as it stands.
    pub(crate) variant: Option<String>,
    /// The world; default: the first that the drill knows.
    pub(crate) world: Option<WorldKind>,
    /// Single values, which outrank the variant.
    pub(crate) overrides: Vec<Override>,
}

/// What the load generator does while things break.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LoadSpec {
    /// How many sessions.
    #[serde(deserialize_with = "text")]
    pub(crate) sessions: Sessions,
    /// Operations a second over all sessions, whether or not earlier ones were answered.
    #[serde(deserialize_with = "text")]
    pub(crate) rate: Rate,
    /// Instead of a rate: each session waits for its answer, thinks so long, and goes on.
    #[serde(with = "humantime_serde::option")]
    pub(crate) think: Option<Duration>,
    /// What the operations do: `default`, or names with weights, `fast-echo=80,fetch-data=20`.
    #[serde(deserialize_with = "text")]
    pub(crate) mix: Mix,
    /// How long one request may take.
    #[serde(with = "crate::scalar::time")]
    pub(crate) timeout: Duration,
    /// The protocol version that clients ask for.
    pub(crate) version: ProtocolVersion,
}

impl Default for LoadSpec {
    fn default() -> Self {
        let parse = "these are valid";
        Self {
            sessions: "50".parse().expect(parse),
            rate: "50".parse().expect(parse),
            think: None,
            mix: Mix::default(),
            timeout: Duration::from_secs(5),
            version: ProtocolVersion::LATEST,
        }
    }
}

/// What happens when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phases {
    /// Nothing is broken.
    pub(crate) baseline: Quiet,
    /// The steps, one after the other.
    pub(crate) impact: Impact,
    /// Nothing is broken any more by the drill.
    pub(crate) recovery: Quiet,
}

/// A phase in which the drill only watches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quiet {
    /// How long.
    #[serde(with = "crate::scalar::time")]
    pub(crate) lasts: Duration,
}

/// The phase in which things break.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impact {
    /// What is done, in order.
    pub(crate) steps: Vec<Step>,
}

/// What must become of sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// Of those on what is broken.
    pub(crate) sessions: Expectation,
    /// The least share of all sessions, 0 to 1, that must live on what is broken.
    pub(crate) broken_share: squall_model::chance::Probability,
}

impl Default for Expect {
    fn default() -> Self {
        let share = 0.3_f64.try_into().unwrap_or_default();
        Self { sessions: Expectation::None, broken_share: share }
    }
}

/// A drill's short name, fit for a file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        if fits && !text.starts_with('.') {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` cannot name a drill: 1 to 64 of A-Z a-z 0-9 . _ - were expected"))
        }
    }
}

/// Reads the runbook of this path, as it is asked for.
pub(crate) fn load(path: &Path, ask: &Ask) -> Result<Drill, DrillError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DrillError::Unreadable { path: path.to_owned(), source })?;
    let book = runbook::parse(path, &text)?;
    let contradiction = |what| DrillError::Contradiction { path: path.to_owned(), what };
    let mut drill = overrides::apply(&book, ask)?;
    if drill.title.is_empty() {
        drill.title = book.heading.unwrap_or_else(|| drill.name.as_str().to_owned());
    }
    if let Some(variant) = &ask.variant {
        drill.name = Name(format!("{}-{variant}", drill.name.as_str()));
        drill.title = format!("{} ({variant})", drill.title);
    }
    let base = path.parent().unwrap_or(Path::new(""));
    drill.chosen = Some(drill.worlds.choose(ask.world, base).map_err(contradiction)?);
    drill.check().map_err(contradiction)?;
    Ok(drill)
}

/// Reads a runbook as it stands, and then in every world and variant that it knows: whatever is wrong
/// with one of them is wrong with the page.
pub(crate) fn load_all_ways(path: &Path) -> Result<Drill, DrillError> {
    let drill = load(path, &Ask::default())?;
    let variants = drill.variants.keys().map(|name| Some(name.as_str().to_owned()));
    for variant in std::iter::once(None).chain(variants) {
        for world in drill.worlds.kinds() {
            let ask = Ask { variant: variant.clone(), world: Some(world), overrides: Vec::new() };
            load(path, &ask)?;
        }
    }
    Ok(drill)
}

/// Reads a YAML file of any type, with errors at their place.
pub(crate) fn read_yaml<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, DrillError> {
    serde_saphyr::from_str(text).map_err(|error| DrillError::at(path, 0, &error))
}

impl LoadSpec {
    /// The load in words: `200 sessions, 150 operations/s`.
    pub(crate) fn describe(&self) -> String {
        match self.think {
            Some(think) => {
                format!(
                    "{} sessions, thinking {}",
                    self.sessions,
                    humantime::format_duration(think)
                )
            }
            None => format!("{} sessions, {} operations/s", self.sessions, self.rate),
        }
    }
}

impl Drill {
    /// Where the servers live in this run.
    pub(crate) fn world(&self) -> &WorldSpec {
        self.chosen.as_ref().expect("a drill that was loaded has its world chosen")
    }

    /// Holds the parts against each other.
    fn check(&self) -> Result<(), String> {
        let hold = self.steady.hold;
        if self.phases.recovery.lasts < hold {
            let lasts = humantime::format_duration(self.phases.recovery.lasts);
            let hold = humantime::format_duration(hold);
            return Err(format!(
                "the recovery phase lasts {lasts}, but recovered means steady for {hold}: make `phases.recovery.lasts` longer"
            ));
        }
        if self.load.timeout.is_zero() {
            return Err("`load.timeout` is 0s: a time such as 5s was expected".to_owned());
        }
        if self.steady.window.is_zero() {
            return Err("`steady.window` is 0s: a time such as 1s was expected".to_owned());
        }
        if self.phases.impact.steps.iter().all(Step::is_quiet) {
            return Err(
                "no step of `phases.impact` breaks anything: add a step such as `kill` or `inject`"
                    .to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        for fault in self.phases.impact.steps.iter().filter_map(Step::fault) {
            if !seen.insert(&fault.id) {
                return Err(format!("two faults are named `{}`: ids are unique", fault.id));
            }
            if fault.lease.is_some_and(|lease| lease < SHORTEST_LEASE) {
                return Err(format!(
                    "the lease of fault `{}` is too short to be renewed in time: at least {} were expected, or none",
                    fault.id,
                    humantime::format_duration(SHORTEST_LEASE),
                ));
            }
        }
        self.check_signals()?;
        self.check_phases_of_thresholds()?;
        self.check_removals()?;
        self.check_size()?;
        self.world().refuse(&self.phases.impact.steps)?;
        if let Some(file) = self.world().missing_file() {
            return Err(format!(
                "there is no Compose file {}: `world.docker.compose` counts from the folder of this page",
                file.display()
            ));
        }
        // Whoever the seed chooses: a step that names nobody it could hit is wrong with any. Where only
        // the engine knows who is there, this is looked at when the run begins.
        let Some(cast) = self.world().known_cast() else { return Ok(()) };
        Plan::resolve(self, cast, Seed::new(0)).map(drop).map_err(|error| in_words(&error))
    }

    /// A run keeps its operations in memory until it is judged.
    fn check_size(&self) -> Result<(), String> {
        let seconds = self.length().as_secs_f64();
        let operations = self.load.rate.per_second() * seconds;
        if self.load.think.is_none() && operations > MOST_OPERATIONS {
            return Err(format!(
                "the load would make {operations:.0} operations, but a run keeps {MOST_OPERATIONS:.0} in memory at most: lower `load.rate` to {:.0}, or shorten the phases",
                (MOST_OPERATIONS / seconds).floor(),
            ));
        }
        Ok(())
    }

    /// Only what is there can be removed.
    fn check_signals(&self) -> Result<(), String> {
        let killing = self.phases.impact.steps.iter().filter_map(|step| match step {
            Step::Kill(kill) => Some(kill.signal),
            _ => None,
        });
        match killing.into_iter().find(|signal| !signal.ends_processes()) {
            Some(signal) => Err(format!(
                "`kill` with {signal} would not end a replica: KILL, TERM, INT, HUP or QUIT was expected"
            )),
            None => Ok(()),
        }
    }

    /// A phase that there is not would leave a threshold with nothing to measure, after a whole run.
    fn check_phases_of_thresholds(&self) -> Result<(), String> {
        const PHASES: [&str; 3] = ["baseline", "impact", "recovery"];
        let tags = self.thresholds.iter().flat_map(|threshold| &threshold.tags);
        for (_, phase) in tags.filter(|(tag, _)| *tag == Tag::Phase) {
            if !PHASES.contains(&phase.as_str()) {
                let meant = nearest(phase, PHASES);
                let meant = meant.map(|name| format!(", did you mean `{name}`?"));
                return Err(format!(
                    "a threshold names the phase `{phase}`{} (there are: {})",
                    meant.unwrap_or_default(),
                    PHASES.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn check_removals(&self) -> Result<(), String> {
        let mut live = BTreeSet::new();
        for (place, step) in self.phases.impact.steps.iter().enumerate() {
            live.extend(step.fault().map(|fault| fault.id.as_str()));
            let Step::Remove(remove) = step else { continue };
            let id = remove.0.as_str();
            if !live.remove(id) {
                let meant = nearest(id, live.iter().copied());
                let meant =
                    meant.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
                return Err(format!(
                    "step {} removes fault `{id}`, which is not there then{meant} (inject it in a step before)",
                    place + 1,
                ));
            }
        }
        Ok(())
    }

    /// How long the drill takes, as far as it can be told: start and stop of the world excepted.
    pub(crate) fn length(&self) -> Duration {
        let steps: Duration = self.phases.impact.steps.iter().map(Step::length).sum();
        self.phases.baseline.lasts + steps + self.phases.recovery.lasts
    }
}

#[cfg(test)]
mod tests;
