//! `request-input`: has the client's user fill in a form, or open a page.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Caller, Step, ToolResult};
use crate::input::{Action, Ask, Elicited, InputRequest, Inputs};
use crate::rpc::RpcError;

pub(super) const DESCRIPTION: &str =
    "Asks the client's user for something, by a form or a page; without one, says so";

const KEY: &str = "input";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    #[serde(default = "default_message")]
    message: String,
    #[serde(default)]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Form,
    Url,
}

fn default_message() -> String {
    "What is your name?".to_owned()
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "message": {
                "type": "string",
                "default": default_message(),
                "description": "What the user is told"
            },
            "mode": {
                "type": "string",
                "enum": ["form", "url"],
                "default": "form",
                "description": "A form with a name and, if the user likes, an e-mail address, or a page to open"
            }
        },
        "additionalProperties": false
    })
}

pub(super) fn run(
    arguments: &Arguments,
    caller: &Caller,
    inputs: &Inputs,
) -> Result<Step, RpcError> {
    let request = request(arguments);
    if request.lacking(caller.client).is_some() {
        let kind = if arguments.mode == Mode::Form { "forms" } else { "pages" };
        return Ok(Step::Done(ToolResult::text(format!(
            "This client does not support elicitation by {kind}: nobody was asked."
        ))));
    }
    let Some(elicited) = inputs.of::<Elicited>(KEY)? else {
        return Ok(Step::Ask(Ask::one(KEY, request)));
    };
    let text = match (elicited.action, arguments.mode) {
        (Action::Accept, Mode::Form) => {
            let content = Value::Object(elicited.content.unwrap_or_default());
            let Some(name) = content["name"].as_str() else {
                // What is missing is asked for once more.
                return Ok(Step::Ask(Ask::one(KEY, request)));
            };
            format!("The user gave the name {name}.")
        }
        (Action::Accept, Mode::Url) => "The user agreed to open the page.".to_owned(),
        (Action::Decline, _) => "The user declined.".to_owned(),
        (Action::Cancel, _) => "The user did not choose.".to_owned(),
    };
    Ok(Step::Done(ToolResult::text(text)))
}

fn request(arguments: &Arguments) -> InputRequest {
    match arguments.mode {
        Mode::Form => InputRequest::form(
            &arguments.message,
            &json!({
                "type": "object",
                "properties": {
                    "name": { "type": "string", "title": "Name", "minLength": 1 },
                    "email": { "type": "string", "title": "E-mail", "format": "email" }
                },
                "required": ["name"]
            }),
        ),
        Mode::Url => InputRequest::page(
            &arguments.message,
            "https://example.com/squall/confirm",
            "squall-confirm",
        ),
    }
}
