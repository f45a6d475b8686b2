//! What a request needs from its client before it can be answered: a model's words, a user's, its roots.
//!
//! Tools are written as the stateless era has it (2026-07-28, basic/patterns/mrtr): they ask, and are run
//! again with the answers. In the session era the server itself sends what they ask as requests, and runs
//! them again (`transport/dialogue.rs`).

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::client::Capabilities;
use crate::rpc::{self, RpcError};
use crate::typed;

/// A request to the client (schema, `InputRequest`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct InputRequest {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

/// What is asked of the client, each under a key of its own, and what is to be remembered meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) requests: Vec<(&'static str, InputRequest)>,
    pub(crate) state: Option<Value>,
}

/// What a client has answered so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    pub(crate) responses: Map<String, Value>,
    /// What an earlier [`Ask`] had remembered.
    pub(crate) state: Option<Value>,
}

/// The result that asks (schema, `InputRequiredResult`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InputRequired {
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub(crate) input_requests: Vec<(&'static str, InputRequest)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_state: Option<String>,
}

fn as_map<S: Serializer>(
    requests: &[(&'static str, InputRequest)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(requests.len()))?;
    for (key, request) in requests {
        map.serialize_entry(key, request)?;
    }
    map.end()
}

/// What a user did with a form or a page (schema, `ElicitResult`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Elicited {
    pub(crate) action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Accept,
    Decline,
    Cancel,
}

/// What a model said (schema, `CreateMessageResult`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Sampled {
    #[serde(rename = "role")]
    _role: Role,
    content: Said,
    #[serde(default)]
    pub(crate) model: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

/// One block, or several (from 2025-11-25).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Said {
    One(Block),
    Many(Vec<Block>),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    text: String,
}

/// Where a client lets a server look (schema, `ListRootsResult`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Roots {
    pub(crate) roots: Vec<Root>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Root {
    pub(crate) uri: String,
}

impl Ask {
    /// One request.
    pub(crate) fn one(key: &'static str, request: InputRequest) -> Self {
        Self { requests: vec![(key, request)], state: None }
    }

    /// Whether a client that can so much may be asked that (basic/patterns/mrtr, server requirements).
    pub(crate) fn check(&self, client: Capabilities) -> Result<(), RpcError> {
        let lacking = self.requests.iter().find_map(|(_, request)| request.lacking(client));
        lacking.map_or(Ok(()), |needed| Err(missing_capability(&needed)))
    }
}

impl InputRequest {
    /// Has a model say something.
    pub(crate) fn sampling(prompt: &str, max_tokens: u32) -> Self {
        let content = json!({ "type": "text", "text": prompt });
        let messages = json!([{ "role": "user", "content": content }]);
        let params = json!({ "messages": messages, "maxTokens": max_tokens });
        Self { method: "sampling/createMessage", params }
    }

    /// Has a user fill in a form. That it is one need not be said, and before 2025-11-25 could not be.
    pub(crate) fn form(message: &str, schema: &Value) -> Self {
        let params = json!({ "message": message, "requestedSchema": schema });
        Self { method: "elicitation/create", params }
    }

    /// Has a user open a page (from 2025-11-25).
    pub(crate) fn page(message: &str, url: &str, id: &str) -> Self {
        let params = json!({ "mode": "url", "message": message, "url": url, "elicitationId": id });
        Self { method: "elicitation/create", params }
    }

    /// Has a client name its roots.
    pub(crate) fn roots() -> Self {
        Self { method: "roots/list", params: json!({}) }
    }

    pub(crate) fn lacking(&self, client: Capabilities) -> Option<Value> {
        client.lacks(self.method, self.params.get("mode").is_some_and(|mode| mode == "url"))
    }
}

impl Inputs {
    /// The answer of that key, if there is one, read as what it has to be.
    pub(crate) fn of<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, RpcError> {
        let Some(value) = self.responses.get(key) else {
            return Ok(None);
        };
        typed::read(value).map(Some).map_err(|error| {
            let text = format!("`inputResponses.{key}` is not an answer, {error}");
            RpcError::invalid_params(text)
        })
    }
}

impl Sampled {
    pub(crate) fn text(&self) -> String {
        let texts = |blocks: &[Block]| {
            let texts = blocks.iter().filter(|block| block.r#type == "text");
            texts.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
        };
        match &self.content {
            Said::One(block) => texts(std::slice::from_ref(block)),
            Said::Many(blocks) => texts(blocks),
        }
    }
}

/// A client that would have to say first that it can do that (schema,
/// `MissingRequiredClientCapabilityError`).
pub(crate) fn missing_capability(needed: &Value) -> RpcError {
    let names: Vec<_> = needed.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let text = format!(
        "this needs a client that declares the capability `{}`, and yours does not",
        names.join("`, `")
    );
    RpcError::new(rpc::MISSING_CAPABILITY, text).with(json!({ "requiredCapabilities": needed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(value: Value) -> Inputs {
        Inputs { responses: Map::from_iter([("key".to_owned(), value)]), state: None }
    }

    #[test]
    fn an_answer_is_what_was_asked_for_or_refused_with_the_place_that_is_wrong() {
        let elicited = json!({ "action": "accept", "content": { "name": "Ada" } });
        let found: Elicited = inputs(elicited).of("key").expect("valid").expect("there");
        assert_eq!(found.action, Action::Accept);
        let wrong = inputs(json!({ "action": "perhaps" })).of::<Elicited>("key");
        let error = wrong.expect_err("no action").to_string();
        assert!(error.contains("action") && error.contains("perhaps"), "{error}");
        assert_eq!(inputs(json!(7)).of::<Elicited>("other").expect("not looked at"), None);
    }

    #[test]
    fn what_a_model_said_is_one_block_or_several() {
        for content in [
            json!({ "type": "text", "text": "a" }),
            json!([{ "type": "image" }, { "type": "text", "text": "a" }]),
        ] {
            let answer = json!({ "role": "assistant", "content": content, "model": "m" });
            let said: Sampled = inputs(answer).of("key").expect("valid").expect("there");
            assert_eq!((said.text().as_str(), said.model.as_str()), ("a", "m"));
        }
    }

    #[test]
    fn nothing_is_asked_that_a_client_cannot_answer() {
        let can = Capabilities { form: true, ..Capabilities::default() };
        let form = InputRequest::form("?", &json!({}));
        assert!(Ask::one("a", form.clone()).check(can).is_ok());
        for request in [
            InputRequest::page("?", "https://example.com", "1"),
            InputRequest::sampling("?", 1),
            InputRequest::roots(),
        ] {
            let error = Ask::one("a", request).check(can).expect_err("lacking");
            assert_eq!(error.code, rpc::MISSING_CAPABILITY);
        }
    }
}
