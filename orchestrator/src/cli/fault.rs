//! `squall fault`: the faults of a running proxy, by hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Map, Value, json};
use squall_model::fault::{EFFECT_NAMES, Fault, FaultId};
use squall_model::nearest::nearest;
use squall_proxy::client::{AdminClient, CallError, FaultView};

use super::{Failure, Outcome, exit, not_started, runtime, say, unusable};

/// Where a proxy's admin API listens by default.
pub(super) const ADMIN: &str = "127.0.0.1:8474";

/// Add, list and remove the faults of a running proxy.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The proxy's admin API
    #[arg(long, global = true, default_value = ADMIN, env = "SQUALL_ADMIN", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Its token, if it has one
    #[arg(
        long,
        global = true,
        env = "SQUALL_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    admin_token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add a fault
    Add(Add),
    /// List the live faults and how often each has fired
    List,
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

docs/proxy.md describes every effect.")]
struct Add {
    /// latency, drop, reset, http-status, jsonrpc-error or expire-session
    #[arg(value_name = "EFFECT", required_unless_present = "file")]
    effect: Option<String>,
    /// The effect's fields, such as delay=200ms (values are YAML)
    #[arg(value_name = "FIELD=VALUE", value_parser = pair)]
    fields: Vec<(String, Value)>,
    /// Its name; default: the effect's name and a number
    #[arg(long, value_name = "ID")]
    id: Option<FaultId>,
    /// What it matches: method, tool, session, direction, http-method or header.NAME (repeatable)
    #[arg(long = "match", value_name = "FIELD=VALUE", value_parser = pair)]
    scope: Vec<(String, Value)>,
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
    /// Take the fault from this YAML file instead
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["effect", "scope", "probability", "nth", "max_hits", "lease", "id"])]
    file: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    runtime()?.block_on(call(arguments))
}

async fn call(arguments: Arguments) -> Outcome {
    let client = AdminClient::new(arguments.admin, arguments.admin_token);
    let word = match &arguments.command {
        Command::Add(_) => "added",
        Command::List => "",
        Command::Rm { .. } | Command::Clear => "removed",
    };
    let faults = match arguments.command {
        Command::Add(add) => vec![client.add(&add.fault(&client).await?).await.map_err(failure)?],
        Command::List => client.faults().await.map_err(failure)?,
        Command::Clear => client.clear().await.map_err(failure)?,
        Command::Rm { ids } => {
            let mut removed = Vec::new();
            for id in ids {
                match client.remove(&id).await {
                    Ok(view) => removed.push(view),
                    Err(error) => {
                        // What is gone is said before what went wrong.
                        show(&removed, "removed", arguments.json)?;
                        return Err(failure(error));
                    }
                }
            }
            removed
        }
    };
    show(&faults, word, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

fn show(faults: &[FaultView], word: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        say(serde_json::to_string_pretty(&faults).map_err(not_started)?);
    } else {
        print(faults, word);
    }
    Ok(())
}

/// A proxy that says no has been given something it cannot use; one that does not answer is not
/// there.
fn failure(error: CallError) -> Failure {
    match error {
        CallError::Refused { .. } => unusable(error),
        _ => Failure::new(exit::NOT_STARTED, error),
    }
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
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["ID", "EFFECT", "MATCH", "CHANCE", "HITS", "LEFT"]);
    for view in faults {
        let left = view.time_left.map(|left| {
            let seconds = std::time::Duration::from_secs(left.as_secs() + 1);
            humantime::format_duration(seconds).to_string()
        });
        let (effect, details) = effect_in_words(&view.fault);
        table.add_row([
            view.fault.id.to_string(),
            format!("{effect} {details}"),
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
        if !EFFECT_NAMES.contains(&effect.as_str()) {
            let meant = nearest(&effect, EFFECT_NAMES.iter().copied());
            let meant = meant.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default();
            return Err(unusable(anyhow::anyhow!(
                "unknown effect `{effect}`{meant} (there are: {})",
                EFFECT_NAMES.join(", ")
            )));
        }
        let id = match self.id {
            Some(id) => id.to_string(),
            None => free_id(&effect, &client.faults().await.map_err(failure)?),
        };
        let mut chance = Map::new();
        chance.extend(self.probability.map(|p| ("probability".to_owned(), json!(p))));
        chance.extend(self.nth.map(|n| ("nth".to_owned(), json!(n))));
        chance.extend(self.max_hits.map(|n| ("max_hits".to_owned(), json!(n))));
        let mut fault = json!({
            "id": id,
            "match": scope(self.scope),
            "chance": chance,
            "effect": { effect: Map::from_iter(self.fields) },
        });
        if let Some(lease) = self.lease {
            fault["lease"] = lease.into();
        }
        serde_json::from_value(fault).context("this is not a fault").map_err(unusable)
    }
}

fn free_id(effect: &str, faults: &[FaultView]) -> String {
    let is_free = |id: &String| faults.iter().all(|view| view.fault.id.as_str() != id);
    let mut ids = (1..=faults.len() + 1).map(|number| format!("{effect}-{number}"));
    ids.find(is_free).unwrap_or_else(|| effect.to_owned())
}

/// `header.NAME` goes into the headers, all else stands by itself. Globs are texts.
fn scope(fields: Vec<(String, Value)>) -> Map<String, Value> {
    let mut scope = Map::new();
    for (field, value) in fields {
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
