//! `completion/complete` (server/utilities/completion): what an argument may be.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use squall_model::mcp::envelope::Message;

use super::{Success, clip, require_params};
use crate::fixtures::{self, FixturePrompt};
use crate::prompts::Prompt;
use crate::resources::ITEM_TEMPLATE;
use crate::rpc::RpcError;
use crate::server::Server;

/// The items that a template's variable is completed to.
const ITEMS: [&str; 5] = ["1", "10", "100", "alpha", "beta"];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Completed {
    values: Vec<&'static str>,
    total: usize,
    has_more: bool,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    r#ref: Reference<'a>,
    #[serde(borrow)]
    argument: Argument<'a>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Reference<'a> {
    #[serde(rename = "ref/prompt")]
    Prompt {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    #[serde(rename = "ref/resource")]
    Resource {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
struct Argument<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

pub(super) fn complete(server: &Server, message: &Message<'_>) -> Result<Success, RpcError> {
    let Params { r#ref, argument } = require_params("completion/complete", message)?;
    let values = match &r#ref {
        Reference::Prompt { name } => of_prompt(server, name, &argument),
        Reference::Resource { uri } => of_resource(server, uri, &argument),
    };
    let values = values.ok_or_else(|| unknown(&r#ref, &argument))?;
    let total = values.len();
    Ok(Success::Complete { completion: Completed { values, total, has_more: false } })
}

fn of_prompt(server: &Server, name: &str, argument: &Argument<'_>) -> Option<Vec<&'static str>> {
    if let Some(prompt) = Prompt::named(name) {
        return prompt.complete(&argument.name, &argument.value);
    }
    let fixture = FixturePrompt::named(name).filter(|_| server.config.fixtures)?;
    fixture.complete(&argument.name, &argument.value)
}

fn of_resource(server: &Server, uri: &str, argument: &Argument<'_>) -> Option<Vec<&'static str>> {
    let is_item = uri == ITEM_TEMPLATE && argument.name == "id";
    let is_fixture = server.config.fixtures && fixtures::has_variable(uri, &argument.name);
    (is_item || is_fixture)
        .then(|| ITEMS.into_iter().filter(|item| item.starts_with(&*argument.value)).collect())
}

fn unknown(reference: &Reference<'_>, argument: &Argument<'_>) -> RpcError {
    let (kind, name) = match reference {
        Reference::Prompt { name } => ("prompt", name),
        Reference::Resource { uri } => ("resource template", uri),
    };
    let (name, argument) = (clip(name), clip(&argument.name));
    RpcError::invalid_params(format!("there is no {kind} `{name}` with an argument `{argument}`"))
}
