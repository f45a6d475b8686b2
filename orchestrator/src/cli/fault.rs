//! `squall fault`: the faults of a running proxy, by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use squall_model::fault::{EFFECT_NAMES, EffectDoc, Fault, FaultId, catalogue};
use squall_model::nearest::nearest;
use squall_proxy::client::{AdminClient, CallError, FaultView};

use super::admin::{AdminArguments, failure, say_json, table};
use super::{Failure, Outcome, runtime, say, unusable};

/// Add, list and remove the faults of a running proxy.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add a fault
    Add(Add),
    /// List the live faults and how often each has fired
    List,
    /// Show one fault, as it would be written
    Show {
        /// Its id
        id: FaultId,
    },
    /// Change fields of a fault; its place and its counters stay
    Set(Set),
    /// Switch faults on again
    Enable {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<FaultId>,
    },
    /// Switch faults off; they stay listed, and what waits on them is freed
    Disable {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<FaultId>,
    },
    /// Start the leases of faults again
    Renew {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<FaultId>,
    },
    /// Put the faults of a file in the place of all, at once or not at all
    Apply {
        /// A YAML list of faults
        file: PathBuf,
    },
    /// List all effects and what can be said of them
    Effects {
        /// Only this one
        effect: Option<String>,
    },
    /// Remove faults and free what waits on them
    Rm {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<FaultId>,
    },
    /// Remove all faults
    Clear,
}

/// Add a fault.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  squall fault add latency delay=200ms jitter=50ms --match tool='fast-*' --probability 0.1
  squall fault add reset --match method=tools/call --match direction=response --max-hits 3

`squall fault effects` and docs/faults.md describe every effect.")]
struct Add {
    /// Its name; `squall fault effects` lists them
    #[arg(value_name = "EFFECT", required_unless_present = "file")]
    effect: Option<String>,
    /// The effect's fields, such as delay=200ms (values are YAML)
    #[arg(value_name = "FIELD=VALUE", value_parser = pair)]
    fields: Vec<(String, Value)>,
    /// Its name; default: the effect's name and a number
    #[arg(long, value_name = "ID")]
    id: Option<FaultId>,
    #[command(flatten)]
    more: More,
    /// Take the fault from this YAML file instead
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["effect", "id", "scope", "chance", "probability", "nth", "max_hits", "lease"])]
    file: Option<PathBuf>,
}

/// What a fault says beside its effect.
#[derive(clap::Args)]
struct More {
    /// What it matches: method, tool, session, client, direction, header.NAME … (repeatable)
    #[arg(long = "match", value_name = "FIELD=VALUE", value_parser = pair)]
    scope: Vec<(String, Value)>,
    /// Which matches fire: every, first, max-concurrent, start-after … (repeatable)
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair)]
    chance: Vec<(String, Value)>,
    /// Each match fires with this probability
    #[arg(long, value_name = "0..1")]
    probability: Option<f64>,
    /// Only the nth match fires
    #[arg(long, value_name = "N")]
    nth: Option<u64>,
    /// The fault is spent after so many hits
    #[arg(long, value_name = "N")]
    max_hits: Option<u64>,
    /// The fault ends by itself after so long, such as 30s
    #[arg(long, value_name = "TIME")]
    lease: Option<String>,
}

impl More {
    /// As files and the API write it.
    fn into_fields(self) -> Map<String, Value> {
        let mut chance: Map<String, Value> = self
            .chance
            .into_iter()
            .map(|(field, value)| (field.replace('-', "_"), value))
            .collect();
        chance.extend(self.probability.map(|p| ("probability".to_owned(), json!(p))));
        chance.extend(self.nth.map(|n| ("nth".to_owned(), json!(n))));
        chance.extend(self.max_hits.map(|n| ("max_hits".to_owned(), json!(n))));
        let mut fields = Map::new();
        fields.insert("match".to_owned(), scope(self.scope).into());
        fields.insert("chance".to_owned(), chance.into());
        fields.extend(self.lease.map(|lease| ("lease".to_owned(), lease.into())));
        fields
    }
}

/// Change fields of a fault.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  squall fault set latency-1 delay=300ms --match tool=fast-echo --probability 0.5")]
struct Set {
    /// Its id
    id: FaultId,
    /// The effect's fields, such as delay=300ms; null takes one away
    #[arg(value_name = "FIELD=VALUE", value_parser = pair)]
    fields: Vec<(String, Value)>,
    #[command(flatten)]
    more: More,
}

impl Set {
    /// The merge patch that says so.
    fn patch(self, fault: &Fault) -> Value {
        let mut patch = self.more.into_fields();
        if !self.fields.is_empty() {
            let fields = Map::from_iter(self.fields);
            patch.insert("effect".to_owned(), json!({ fault.effect.name(): fields }));
        }
        patch.into()
    }
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    runtime()?.block_on(call(arguments))
}

async fn call(arguments: Arguments) -> Outcome {
    let (client, as_json) = (arguments.admin.client(), arguments.admin.json);
    let (word, faults) = match arguments.command {
        Command::Effects { effect } => {
            effects(effect.as_deref(), as_json)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Show { id } => {
            say_json(&client.fault(&id).await.map_err(failure)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Add(add) => {
            ("added", vec![client.add(&add.fault(&client).await?).await.map_err(failure)?])
        }
        Command::Set(set) => {
            let (id, before) = (set.id.clone(), client.fault(&set.id).await.map_err(failure)?);
            let patch = set.patch(&before.fault);
            ("changed", vec![client.patch(&id, &patch).await.map_err(failure)?])
        }
        Command::Apply { file } => {
            let faults = super::proxy::read_faults(&file)?;
            ("applied", client.apply(&faults).await.map_err(failure)?)
        }
        Command::List => ("", client.faults().await.map_err(failure)?),
        Command::Clear => ("removed", client.clear().await.map_err(failure)?),
        Command::Rm { ids } => {
            let remove = async |id: &FaultId| client.remove(id).await;
            ("removed", each(&ids, remove, "removed", as_json).await?)
        }
        Command::Enable { ids } => {
            let enable = async |id: &FaultId| client.patch(id, &json!({ "enabled": true })).await;
            ("switched on", each(&ids, enable, "switched on", as_json).await?)
        }
        Command::Disable { ids } => {
            let disable = async |id: &FaultId| client.patch(id, &json!({ "enabled": false })).await;
            ("switched off", each(&ids, disable, "switched off", as_json).await?)
        }
        Command::Renew { ids } => {
            let renew = async |id: &FaultId| client.renew(id).await;
            ("renewed", each(&ids, renew, "renewed", as_json).await?)
        }
    };
    show(&faults, word, as_json)?;
    Ok(ExitCode::SUCCESS)
}

/// Does the same to each. What is done is said before what went wrong.
async fn each(
    ids: &[FaultId],
    act: impl AsyncFn(&FaultId) -> Result<FaultView, CallError>,
    word: &str,
    as_json: bool,
) -> Result<Vec<FaultView>, Failure> {
    let mut done = Vec::new();
    for id in ids {
        match act(id).await {
            Ok(view) => done.push(view),
            Err(error) => {
                show(&done, word, as_json)?;
                return Err(failure(error));
            }
        }
    }
    Ok(done)
}

/// Lists the effects, or describes one.
fn effects(only: Option<&str>, as_json: bool) -> Result<(), Failure> {
    if let Some(name) = only {
        known(name)?;
    }
    let effects =
        catalogue().into_iter().filter(|effect| only.is_none_or(|name| name == effect.name));
    if as_json {
        return say_json(&effects.collect::<Vec<_>>());
    }
    let mut rows = table(["EFFECT", "WHAT HAPPENS"]);
    for effect in effects {
        if only.is_some() {
            describe(&effect);
            return Ok(());
        }
        rows.add_row([effect.name, &effect.sentence]);
    }
    say(rows);
    Ok(())
}

fn describe(effect: &EffectDoc) {
    say(format_args!("{}: {}\n\n{}", effect.name, effect.sentence, effect.description));
    if effect.fields.is_empty() {
        return;
    }
    let mut rows = table(["FIELD", "TAKES", "DEFAULT", "MEANS"]);
    for field in &effect.fields {
        let default = match (&field.default, field.is_required) {
            (Some(default), _) => default.as_str(),
            (None, true) => "(has to be given)",
            (None, false) => "",
        };
        rows.add_row([&field.name, &field.takes, default, &field.description]);
    }
    say(format_args!("\n{rows}"));
}

/// Whether there is such an effect; if not, which one was probably meant.
fn known(effect: &str) -> Result<(), Failure> {
    if EFFECT_NAMES.contains(&effect) {
        return Ok(());
    }
    let meant = nearest(effect, EFFECT_NAMES.iter().copied());
    let meant = meant.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
    let names = EFFECT_NAMES.join(", ");
    Err(unusable(anyhow::anyhow!("unknown effect `{effect}`{meant} (there are: {names})")))
}

fn show(faults: &[FaultView], word: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return say_json(&faults);
    }
    print(faults, word);
    Ok(())
}

/// The faults in a table, under a word for what became of them.
fn print(faults: &[FaultView], word: &str) {
    if faults.is_empty() {
        say("no faults");
        return;
    }
    if !word.is_empty() {
        say(word);
    }
    let mut table = table(["ID", "EFFECT", "MATCH", "CHANCE", "HITS", "LEFT"]);
    for view in faults {
        let left = view.time_left.map(|left| {
            let seconds = std::time::Duration::from_secs(left.as_secs() + 1);
            humantime::format_duration(seconds).to_string()
        });
        let (effect, details) = effect_in_words(&view.fault);
        table.add_row([
            view.fault.id.to_string(),
            format!("{effect} {details}{}", if view.fault.enabled { "" } else { " (off)" }),
            in_words(&json!(view.fault.scope)),
            in_words(&json!(view.fault.chance)),
            format!("{} of {}", view.hits, view.matches),
            left.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    say(table);
}

fn effect_in_words(fault: &Fault) -> (&'static str, String) {
    let name = fault.effect.name();
    let written = json!(fault.effect);
    (name, written.get(name).map(in_words).filter(|text| text != "all").unwrap_or_default())
}

/// `tool=fast-*, direction=response`, without what goes without saying; `all` where nothing is said.
fn in_words(value: &Value) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let said = object.iter().filter(|(key, value)| {
        !matches!(
            (key.as_str(), value.to_string().as_str()),
            ("probability", "1.0") | ("at", "\"exchange\"") | ("distribution", "\"uniform\"")
        )
    });
    let parts: Vec<_> = said.map(|(key, value)| format!("{key}={}", plain(value))).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}

impl Add {
    async fn fault(self, client: &AdminClient) -> Result<Fault, Failure> {
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the fault file {}", path.display()))
                .map_err(unusable)?;
            return crate::drill::read_yaml(path, &text).map_err(unusable);
        }
        let effect = self.effect.unwrap_or_default();
        known(&effect)?;
        let id = match self.id {
            Some(id) => id.to_string(),
            None => free_id(&effect, &client.faults().await.map_err(failure)?),
        };
        let mut fault = self.more.into_fields();
        fault.insert("id".to_owned(), id.into());
        fault.insert("effect".to_owned(), json!({ effect: Map::from_iter(self.fields) }));
        serde_json::from_value(fault.into()).context("this is not a fault").map_err(unusable)
    }
}

fn free_id(effect: &str, faults: &[FaultView]) -> String {
    let is_free = |id: &String| faults.iter().all(|view| view.fault.id.as_str() != id);
    let mut ids = (1..=faults.len() + 1).map(|number| format!("{effect}-{number}"));
    ids.find(is_free).unwrap_or_else(|| effect.to_owned())
}

/// `header.NAME` goes into the headers, all else stands by itself. Globs are texts, also those that look
/// like numbers.
fn scope(fields: Vec<(String, Value)>) -> Map<String, Value> {
    let mut scope = Map::new();
    for (field, value) in fields {
        if value.is_boolean() {
            scope.insert(field.replace('-', "_"), value);
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match field.strip_prefix("header.") {
            Some(name) => {
                let headers = scope.entry("header").or_insert_with(|| json!({}));
                headers[name] = text.into();
            }
            None => {
                scope.insert(field.replace('-', "_"), text.into());
            }
        }
    }
    scope
}

fn pair(text: &str) -> Result<(String, Value), String> {
    let (field, value) = text.split_once('=').ok_or("FIELD=VALUE was expected")?;
    let parsed = serde_saphyr::from_str(value).ok().filter(|value: &Value| !value.is_null());
    Ok((field.to_owned(), parsed.unwrap_or_else(|| value.into())))
}
