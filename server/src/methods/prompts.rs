//! `prompts/get`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::Era;

use super::{Asker, InputParams, Success, calls, clip, require_params};
use crate::fixtures::{self, FixturePrompt};
use crate::prompts::{Arguments, Prompt};
use crate::rpc::RpcError;
use crate::seal;
use crate::server::Server;

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    arguments: Option<Arguments>,
}

pub(super) fn get(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
) -> Result<Success, RpcError> {
    let params: Params<'_> = require_params("prompts/get", message)?;
    let arguments = params.arguments.unwrap_or_default();
    if let Some(prompt) = Prompt::named(&params.name) {
        let filled = prompt.fill(&arguments);
        let filled = filled.map_err(|error| RpcError::invalid_params(error.to_string()))?;
        server.stats.prompts.increase();
        return Ok(Success::Prompt(filled));
    }
    match FixturePrompt::named(&params.name).filter(|_| server.config.fixtures) {
        Some(prompt) => fixture(server, asker, message, prompt, &arguments),
        None => Err(unknown(&params.name)),
    }
}

/// One that may need something from its client first, which only the stateless era can ask for here.
fn fixture(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
    prompt: FixturePrompt,
    arguments: &Arguments,
) -> Result<Success, RpcError> {
    let name = prompt.definition().name;
    let digest = || seal::digest_of("prompts/get", name, &json!(arguments));
    let inputs = match asker.era {
        Era::Session => InputParams::default(),
        Era::Stateless => require_params("prompts/get", message)?,
    };
    let inputs = inputs.inputs(server, digest)?;
    match prompt.fill(arguments, &inputs)? {
        fixtures::Filling::Done(filled) => Ok(Success::Prompt(filled)),
        fixtures::Filling::Ask(_) if asker.era == Era::Session => {
            Err(RpcError::invalid_params(format!(
                "prompt `{name}` asks its client something, which a prompt can in the stateless era only"
            )))
        }
        fixtures::Filling::Ask(ask) => {
            ask.check(asker.client)?;
            Ok(Success::InputRequired(calls::sealed(server, ask, digest)))
        }
    }
}

fn unknown(name: &str) -> RpcError {
    let known = Prompt::ALL.map(|prompt| prompt.definition().name).join(", ");
    let name = clip(name);
    RpcError::invalid_params(format!("unknown prompt `{name}`: this server has {known}"))
}
