//! `request-sampling`: has the client's model say something.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Caller, Step, ToolResult};
use crate::input::{Ask, InputRequest, Inputs, Sampled};
use crate::rpc::RpcError;

pub(super) const DESCRIPTION: &str =
    "Asks the client's model something, and returns what it said; without one, says so";

const MOST_TOKENS: u32 = 4096;
const DEFAULT_TOKENS: u32 = 100;
const KEY: &str = "sampling";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    prompt: String,
    #[serde(default)]
    max_tokens: Tokens,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Tokens(u32);

#[derive(Debug, thiserror::Error)]
#[error("`max_tokens` is {0}: 1 to {MOST_TOKENS} was expected")]
struct OutOfBounds(u32);

impl Default for Tokens {
    fn default() -> Self {
        Self(DEFAULT_TOKENS)
    }
}

impl TryFrom<u32> for Tokens {
    type Error = OutOfBounds;

    fn try_from(count: u32) -> Result<Self, OutOfBounds> {
        (1..=MOST_TOKENS).contains(&count).then_some(Self(count)).ok_or(OutOfBounds(count))
    }
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "prompt": { "type": "string", "description": "What to ask" },
            "max_tokens": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_TOKENS,
                "default": DEFAULT_TOKENS,
                "description": "Tokens that the answer may have"
            }
        },
        "required": ["prompt"],
        "additionalProperties": false
    })
}

pub(super) fn run(
    arguments: &Arguments,
    caller: &Caller,
    inputs: &Inputs,
) -> Result<Step, RpcError> {
    if !caller.client.sampling {
        return Ok(Step::Done(ToolResult::text(
            "This client does not support sampling: nothing was asked.",
        )));
    }
    let Some(said) = inputs.of::<Sampled>(KEY)? else {
        let Tokens(tokens) = arguments.max_tokens;
        let request = InputRequest::sampling(&arguments.prompt, tokens);
        return Ok(Step::Ask(Ask::one(KEY, request)));
    };
    Ok(Step::Done(ToolResult::text(format!("{} said: {}", said.model, said.text()))))
}
