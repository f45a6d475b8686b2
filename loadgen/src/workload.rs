//! What each operation of a load does, drawn from the seed and fitted to what the server offers.

use std::sync::Arc;

use rand::RngExt as _;
use serde_json::{Map, Value, json};
use squall_model::chance::{Draw, DrawKey, Seed};
use squall_model::operation::OperationId;

mod arguments;
mod mix;
pub(crate) mod offer;

pub use mix::{Action, BadMix, Mix, PlainMethod, Share};

use offer::{Offer, Prompt, PromptArgument, Tool};

/// How many tools of a server that is not ours are called.
const MOST_FOREIGN_TOOLS: usize = 20;

/// A mix with all that is needed to carry it out.
#[derive(Debug)]
pub(crate) struct Workload {
    seed: Seed,
    entries: Vec<Entry>,
    total_weight: u64,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    share: Share,
    arguments: Arguments,
}

/// Where an action's arguments come from.
#[derive(Debug)]
enum Arguments {
    None,
    Schema(Value),
    Texts(Vec<String>),
}

/// One operation, drawn: what is sent under an id.
#[derive(Debug)]
pub(crate) struct Drawn<'a> {
    pub(crate) name: &'a Arc<str>,
    pub(crate) action: &'a Action,
    pub(crate) params: Map<String, Value>,
}

/// Something in a given mix that the server does not offer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server does not offer `{action}`{}", nearest.as_ref().map(|n| format!(": did you mean `{n}`?")).unwrap_or_default())]
pub struct NotOffered {
    /// What the mix names.
    pub action: String,
    /// The nearest name of its kind that is offered.
    pub nearest: Option<String>,
}

impl Workload {
    /// Fits a mix to an offer. A given mix is kept as it is, or refused where the server lacks
    /// something that it names.
    pub(crate) fn fit(mix: &Mix, offer: &Offer, seed: Seed) -> Result<Self, NotOffered> {
        let shares = match mix {
            Mix::Given(shares) if !shares.is_empty() => {
                for share in shares {
                    check_named(&share.action, offer)?;
                }
                shares.clone()
            }
            Mix::Fitted | Mix::Given(_) => fitted(offer),
        };
        let entries: Vec<_> = shares.into_iter().map(|s| Entry::new(s, offer)).collect();
        let weights = entries.iter().map(|entry| u64::from(entry.share.weight));
        Ok(Self { seed, total_weight: weights.sum(), entries })
    }

    /// The mix that came of it.
    pub(crate) fn mix(&self) -> Mix {
        Mix::Given(self.entries.iter().map(|e| e.share.clone()).collect())
    }

    /// The name of what the operation does: the same whenever it is asked.
    pub(crate) fn name(&self, id: OperationId) -> Arc<str> {
        Arc::clone(&self.pick(&mut self.draw_for(id)).name)
    }

    /// What the operation does.
    pub(crate) fn draw(&self, id: OperationId) -> Drawn<'_> {
        let mut draw = self.draw_for(id);
        let entry = self.pick(&mut draw);
        Drawn { name: &entry.name, action: &entry.share.action, params: entry.params(&mut draw) }
    }

    fn draw_for(&self, id: OperationId) -> Draw {
        self.seed.draw("mix", DrawKey::Operation(id))
    }

    fn pick(&self, draw: &mut Draw) -> &Entry {
        let mut left = draw.random_range(0..self.total_weight.max(1));
        let chosen = self.entries.iter().find(|entry| {
            let weight = u64::from(entry.share.weight);
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        });
        chosen.unwrap_or(&self.entries[0])
    }
}

impl Entry {
    fn new(share: Share, offer: &Offer) -> Self {
        let arguments = match &share.action {
            Action::Tool(name) => find_tool(offer, name)
                .map_or(Arguments::None, |tool| Arguments::Schema(tool.input_schema.clone())),
            Action::Prompt(name) => find_prompt(offer, name)
                .map_or(Arguments::None, |prompt| Arguments::Texts(required_of(prompt))),
            Action::Resource(_) | Action::Plain(_) => Arguments::None,
        };
        Self { name: share.action.to_string().into(), share, arguments }
    }

    fn params(&self, draw: &mut Draw) -> Map<String, Value> {
        let arguments = match &self.arguments {
            Arguments::None => json!({}),
            Arguments::Schema(schema) => arguments::from_schema(schema, draw),
            Arguments::Texts(names) => texts(names, draw),
        };
        let mut params = Map::new();
        match &self.share.action {
            Action::Tool(name) | Action::Prompt(name) => {
                params.insert("name".to_owned(), json!(name));
                params.insert("arguments".to_owned(), arguments);
            }
            Action::Resource(uri) => {
                params.insert("uri".to_owned(), json!(uri));
            }
            Action::Plain(_) => {}
        }
        params
    }
}

fn texts(names: &[String], draw: &mut Draw) -> Value {
    let pairs = names.iter().map(|name| {
        let text = format!("squall-{:08x}", draw.random::<u32>());
        (name.clone(), Value::from(text))
    });
    Value::Object(pairs.collect())
}

fn required_of(prompt: &Prompt) -> Vec<String> {
    let required = |argument: &&PromptArgument| argument.required;
    let names = prompt.arguments.iter().filter(required);
    names.map(|argument| argument.name.clone()).collect()
}

fn find_tool<'a>(offer: &'a Offer, name: &str) -> Option<&'a Tool> {
    offer.tools.iter().find(|tool| tool.name == name)
}

fn find_prompt<'a>(offer: &'a Offer, name: &str) -> Option<&'a Prompt> {
    offer.prompts.iter().find(|prompt| prompt.name == name)
}

/// The standard mix as far as it is offered; on a server that is not ours, its tools; on one without
/// tools, `ping`.
fn fitted(offer: &Offer) -> Vec<Share> {
    let mut shares = Mix::standard();
    shares.retain(|share| is_offered(&share.action, offer));
    if shares.is_empty() {
        shares = foreign(offer);
    }
    if shares.is_empty() {
        shares.push(Share { action: Action::Plain(PlainMethod::Ping), weight: 1 });
    }
    shares
}

/// The tools that only read, if there are any; else those that do not say they destroy something;
/// else `tools/list`, if there are tools at all.
fn foreign(offer: &Offer) -> Vec<Share> {
    let has_readers = offer.tools.iter().any(Tool::is_read_only);
    let fit = |tool: &&Tool| {
        if has_readers { tool.is_read_only() } else { !tool.is_destructive() }
    };
    let tools = offer.tools.iter().filter(fit).take(MOST_FOREIGN_TOOLS);
    let mut actions: Vec<_> = tools.map(|tool| Action::Tool(tool.name.clone())).collect();
    if actions.is_empty() && !offer.tools.is_empty() {
        actions.push(Action::Plain(PlainMethod::ToolsList));
    }
    let share = |action| Share { action, weight: 1 };
    actions.into_iter().map(share).collect()
}

fn is_offered(action: &Action, offer: &Offer) -> bool {
    match action {
        Action::Resource(uri) => offer.resources.iter().any(|resource| resource.uri == *uri),
        _ => check_named(action, offer).is_ok(),
    }
}

/// Whether a named tool or prompt exists. A URI may come from a template, which no list names.
fn check_named(action: &Action, offer: &Offer) -> Result<(), NotOffered> {
    let (wanted, offered): (&str, Vec<&str>) = match action {
        Action::Tool(name) => (name, offer.tools.iter().map(|t| t.name.as_str()).collect()),
        Action::Prompt(name) => (name, offer.prompts.iter().map(|p| p.name.as_str()).collect()),
        Action::Resource(_) | Action::Plain(_) => return Ok(()),
    };
    if offered.contains(&wanted) {
        return Ok(());
    }
    Err(NotOffered {
        action: action.to_string(),
        nearest: squall_model::nearest::nearest(wanted, offered).map(str::to_owned),
    })
}

/// Whether the server's lists are needed to carry out this mix.
pub(crate) fn needs_offer(mix: &Mix) -> bool {
    match mix {
        Mix::Fitted => true,
        Mix::Given(shares) => shares.iter().any(|s| !matches!(s.action, Action::Plain(_))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(tools: &Value) -> Offer {
        let page = json!({ "tools": tools }).to_string();
        let mut offer = Offer::default();
        offer.add(&serde_json::from_str(&page).expect("a page"));
        offer
    }

    fn fit(mix: &Mix, tools: &Value) -> String {
        let workload = Workload::fit(mix, &offer(tools), Seed::new(1));
        workload.map_or_else(|error| error.to_string(), |w| w.mix().to_string())
    }

    #[test]
    fn a_mix_is_fitted_to_what_the_server_offers() {
        for (tools, expected) in [
            (
                json!([{"name": "fetch-data"}, {"name": "fast-echo"}, {"name": "other"}]),
                "tools/call fast-echo=40,tools/call fetch-data=15",
            ),
            (
                json!([{"name": "a"}, {"name": "b", "annotations": {"destructiveHint": true}}]),
                "tools/call a=1",
            ),
            (
                json!([{"name": "a"}, {"name": "b", "annotations": {"readOnlyHint": true}}]),
                "tools/call b=1",
            ),
            (json!([{"name": "b", "annotations": {"destructiveHint": true}}]), "tools/list=1"),
            (json!([]), "ping=1"),
        ] {
            assert_eq!(fit(&Mix::Fitted, &tools), expected, "{tools}");
        }
    }

    #[test]
    fn a_given_mix_is_kept_and_a_misspelt_name_gets_the_nearest() {
        let tools = json!([{"name": "wipe", "annotations": {"destructiveHint": true}}]);
        let wipe: Mix = "wipe=2,ping=1".parse().expect("a mix");
        assert_eq!(fit(&wipe, &tools), "tools/call wipe=2,ping=1");
        let typo: Mix = "wip=1".parse().expect("a mix");
        let says = "the server does not offer `tools/call wip`: did you mean `wipe`?";
        assert_eq!(fit(&typo, &tools), says);
    }

    #[test]
    fn the_same_seed_draws_the_same_operations_and_another_seed_others() {
        let tools = json!([{"name": "fast-echo"}, {"name": "slow-computation"}]);
        let names = |seed: u64| -> Vec<_> {
            let seed = Seed::new(seed);
            let workload = Workload::fit(&Mix::Fitted, &offer(&tools), seed).expect("a fit");
            let name = |n| workload.name(OperationId::new(seed, 1, n));
            (1..100).map(name).collect()
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
    }

    #[test]
    fn weights_are_kept_to_in_the_long_run() {
        let mix: Mix = "tools/list=3,ping=1".parse().expect("a mix");
        let seed = Seed::new(1);
        let workload = Workload::fit(&mix, &Offer::default(), seed).expect("a fit");
        let name = |n| workload.name(OperationId::new(seed, 1, n));
        let pings = (1..=4000).filter(|n| &*name(*n) == "ping").count();
        assert!((800..1200).contains(&pings), "{pings} of 4000");
    }

    #[test]
    fn params_name_what_is_called_and_carry_arguments_from_the_schema() {
        let schema = json!({"type": "object", "required": ["message"],
            "properties": {"message": {"type": "string"}}});
        let offer = offer(&json!([{"name": "fast-echo", "inputSchema": schema}]));
        let workload = Workload::fit(&Mix::Fitted, &offer, Seed::new(1)).expect("a fit");
        let drawn = workload.draw(OperationId::new(Seed::new(1), 1, 1));
        assert_eq!(&**drawn.name, "tools/call fast-echo");
        assert_eq!(drawn.params["name"], "fast-echo");
        assert!(drawn.params["arguments"]["message"].is_string());
    }
}
