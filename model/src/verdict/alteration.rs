//! What a message says instead: purely, from the bytes that came to the bytes that go on.

use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::chance::Draw;
use crate::fault::ToolsDrift;

/// A change to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Alteration {
    /// Values are set and removed.
    Edit(Vec<PointerEdit>),
    /// An answer has this id, or one that nobody asked with.
    Id(Option<Value>),
    /// The envelope breaks JSON-RPC.
    Envelope(Malformation),
    /// It is JSON no more.
    BreakJson,
    /// So many bytes differ; which ones comes from the number.
    FlipBytes(u32, u64),
    /// The tools of a `tools/list` are others.
    Tools(ToolsDrift),
    /// The `requestState` of an `input_required` is not the server's.
    RequestState(RequestState),
    /// The acknowledgement of a `subscriptions/listen` is not what it should be.
    Acknowledgement(Acknowledgement),
    /// The SSE event's `id:`.
    EventId(EventId),
    /// The SSE event says `retry:` with this time.
    Retry(Duration),
}

/// A value that is set, or removed, at an RFC 6901 pointer into the message.
#[derive(Clone, Debug, PartialEq)]
pub struct PointerEdit {
    /// Where: `/result/content/0/text`.
    pub pointer: String,
    /// What stands there instead; `None` removes it.
    pub value: Option<Value>,
}

/// How an envelope breaks JSON-RPC 2.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Malformation {
    /// `jsonrpc` is missing.
    #[default]
    NoVersion,
    /// `jsonrpc` is "1.0".
    OldVersion,
    /// `id` is missing.
    NoId,
    /// Neither a result nor an error, nor a method.
    Empty,
    /// Both a result and an error.
    Both,
    /// An array of one message, where batches do not exist.
    Batch,
}

/// What is wrong with a `requestState` (MCP 2026-07-28, basic/patterns/mrtr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "RequestStateHow")]
pub enum RequestState {
    /// A character differs, so that its seal is broken.
    #[default]
    Alter,
    /// It is that of the `input_required` before.
    Replay,
    /// The final result is replaced by the last `input_required`: the client is asked for ever.
    Endless,
}

/// What is wrong with an acknowledgement (MCP 2026-07-28, basic/patterns/subscriptions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It names a subscription that nobody asked for.
    WrongId,
    /// It agrees to nothing.
    Shrunk,
}

/// What is wrong with the id of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "EventIdHow")]
pub enum EventId {
    /// It is missing.
    #[default]
    Strip,
    /// It is that of the event before.
    Repeat,
    /// It is that of the first event of the stream: ids go backwards.
    Backwards,
}

/// What an alteration remembers of the messages before, for as long as its fault is live.
#[derive(Debug, Default)]
pub struct Memory {
    input_required: Option<Value>,
}

/// The result type of a request that needs more input.
const INPUT_REQUIRED: &str = "input_required";

impl Alteration {
    /// The message as it goes on; `None` where there was nothing to alter. Changes to an SSE event's
    /// own fields are made where the event is put together, and leave its data alone.
    pub fn apply(&self, message: &[u8], memory: &mut Memory) -> Option<Vec<u8>> {
        match self {
            Self::BreakJson => broken(message),
            Self::FlipBytes(count, seed) => flipped(message, *count, *seed),
            Self::EventId(_) | Self::Retry(_) => None,
            Self::Edit(_)
            | Self::Id(_)
            | Self::Envelope(_)
            | Self::Tools(_)
            | Self::RequestState(_)
            | Self::Acknowledgement(_) => self.rewritten(message, memory),
        }
    }

    fn rewritten(&self, message: &[u8], memory: &mut Memory) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(message).ok()?;
        let mut changed = false;
        match &mut value {
            Value::Array(batch) => {
                for message in batch {
                    changed |= self.change(message, memory);
                }
            }
            single => changed = self.change(single, memory),
        }
        changed.then(|| value.to_string().into_bytes())
    }

    fn change(&self, message: &mut Value, memory: &mut Memory) -> bool {
        match self {
            Self::Edit(edits) => {
                edits.iter().fold(false, |changed, edit| edit.make(message) | changed)
            }
            Self::Id(id) => change_id(message, id.as_ref()),
            Self::Envelope(malformation) => malformation.break_it(message),
            Self::Tools(drift) => message
                .pointer_mut("/result/tools")
                .and_then(Value::as_array_mut)
                .is_some_and(|tools| drift.change(tools)),
            Self::RequestState(edit) => edit.change(message, memory),
            Self::Acknowledgement(edit) => edit.change(message),
            Self::BreakJson | Self::FlipBytes(..) | Self::EventId(_) | Self::Retry(_) => false,
        }
    }
}

/// The first half: what a writer leaves that was stopped.
fn broken(message: &[u8]) -> Option<Vec<u8>> {
    let end = message.iter().rposition(|byte| matches!(byte, b'}' | b']'))?;
    Some(message[..end.div_ceil(2)].to_vec())
}

fn flipped(message: &[u8], count: u32, seed: u64) -> Option<Vec<u8>> {
    let mut bytes = message.to_vec();
    let mut draw = Draw::seed_from_u64(seed);
    let most = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    for place in rand::seq::index::sample(&mut draw, bytes.len(), count.min(most) as usize) {
        bytes[place] = other_byte(bytes[place], &mut draw);
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// Any other byte but the line ends, which would be another SSE line.
fn other_byte(byte: u8, draw: &mut Draw) -> u8 {
    loop {
        let other = draw.random::<u8>();
        if other != byte && !matches!(other, b'\n' | b'\r') {
            return other;
        }
    }
}

impl PointerEdit {
    fn make(&self, message: &mut Value) -> bool {
        let Some((parent, key)) = self.pointer.rsplit_once('/') else { return false };
        let key = key.replace("~1", "/").replace("~0", "~");
        match (message.pointer_mut(parent), &self.value) {
            (Some(Value::Object(object)), Some(value)) => {
                object.insert(key, value.clone());
                true
            }
            (Some(Value::Object(object)), None) => object.remove(&key).is_some(),
            (Some(Value::Array(array)), value) => edit_array(array, &key, value.as_ref()),
            _ => false,
        }
    }
}

fn edit_array(array: &mut Vec<Value>, key: &str, value: Option<&Value>) -> bool {
    let place = key.parse::<usize>().ok().filter(|place| *place < array.len());
    match (place, value) {
        (Some(place), Some(value)) => array[place] = value.clone(),
        (Some(place), None) => drop(array.remove(place)),
        (None, Some(value)) if key == "-" => array.push(value.clone()),
        (None, _) => return false,
    }
    true
}

fn is_answer(message: &Map<String, Value>) -> bool {
    message.contains_key("result") || message.contains_key("error")
}

fn change_id(message: &mut Value, id: Option<&Value>) -> bool {
    let Some(message) = message.as_object_mut().filter(|message| is_answer(message)) else {
        return false;
    };
    let other = id.cloned().unwrap_or_else(|| match message.get("id") {
        Some(Value::Number(number)) => json!(number.as_i64().unwrap_or(0).wrapping_add(1_000_000)),
        Some(Value::String(text)) => json!(format!("{text}-squall")),
        _ => json!("squall"),
    });
    message.insert("id".to_owned(), other);
    true
}

impl Malformation {
    fn break_it(self, message: &mut Value) -> bool {
        let Some(object) = message.as_object_mut() else { return false };
        match self {
            Self::NoVersion => return object.remove("jsonrpc").is_some(),
            Self::OldVersion => drop(object.insert("jsonrpc".to_owned(), json!("1.0"))),
            Self::NoId => return object.remove("id").is_some(),
            Self::Empty => object.retain(|key, _| matches!(key.as_str(), "jsonrpc" | "id")),
            Self::Both => {
                let error = json!({ "code": -32603, "message": "injected by squall" });
                object.entry("error").or_insert(error);
                object.entry("result").or_insert_with(|| json!({}));
            }
            Self::Batch => *message = json!([message.take()]),
        }
        true
    }
}

impl RequestState {
    fn change(self, message: &mut Value, memory: &mut Memory) -> bool {
        let Some(result) = message.get_mut("result").filter(|result| result.is_object()) else {
            return false;
        };
        let is_question = result["resultType"] == INPUT_REQUIRED;
        match self {
            Self::Alter if is_question => alter_state(result),
            Self::Replay if is_question => {
                let before = memory.input_required.replace(result.clone());
                let state = before.and_then(|before| before.get("requestState").cloned());
                state.is_some_and(|state| {
                    result["requestState"] = state;
                    true
                })
            }
            Self::Endless if is_question => {
                memory.input_required = Some(result.clone());
                false
            }
            Self::Endless => memory.input_required.clone().is_some_and(|question| {
                *result = question;
                true
            }),
            Self::Alter | Self::Replay => false,
        }
    }
}

fn alter_state(result: &mut Value) -> bool {
    let Some(Value::String(state)) = result.get_mut("requestState") else { return false };
    let Some(first) = state.chars().next() else { return false };
    let other = if first == 'A' { 'B' } else { 'A' };
    state.replace_range(..first.len_utf8(), other.encode_utf8(&mut [0; 4]));
    true
}

impl Acknowledgement {
    fn change(self, message: &mut Value) -> bool {
        let Some(params) = message.get_mut("params").and_then(Value::as_object_mut) else {
            return false;
        };
        match self {
            Self::WrongId => {
                let meta = params.entry("_meta").or_insert_with(|| json!({}));
                let Some(meta) = meta.as_object_mut() else { return false };
                meta.insert(SUBSCRIPTION_ID.to_owned(), json!("squall"));
            }
            Self::Shrunk => drop(params.insert("notifications".to_owned(), json!({}))),
        }
        true
    }
}

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(alteration: &Alteration, message: &Value, expected: impl Into<Option<Value>>) {
        let altered = alteration.apply(message.to_string().as_bytes(), &mut Memory::default());
        let altered = altered.map(|bytes| serde_json::from_slice::<Value>(&bytes).expect("JSON"));
        assert_eq!(altered, expected.into(), "{alteration:?}");
    }

    fn edit(pointer: &str, value: Option<Value>) -> Alteration {
        Alteration::Edit(vec![PointerEdit { pointer: pointer.to_owned(), value }])
    }

    #[test]
    fn a_pointer_sets_and_removes_in_objects_and_arrays() {
        let message = json!({ "result": { "a": [1, 2], "b/c": 3 } });
        for (alteration, expected) in [
            (edit("/result/a/1", Some(json!(9))), Some(json!({"result":{"a":[1,9],"b/c":3}}))),
            (edit("/result/a/0", None), Some(json!({"result":{"a":[2],"b/c":3}}))),
            (edit("/result/a/-", Some(json!(3))), Some(json!({"result":{"a":[1,2,3],"b/c":3}}))),
            (edit("/result/b~1c", None), Some(json!({"result":{"a":[1,2]}}))),
            (
                edit("/result/new", Some(json!(1))),
                Some(json!({"result":{"a":[1,2],"b/c":3,"new":1}})),
            ),
            (edit("/result/none", None), None),
            (edit("/nothing/there", Some(json!(1))), None),
        ] {
            check(&alteration, &message, expected);
        }
    }

    #[test]
    fn an_answer_gets_an_id_that_nobody_asked_with() {
        let answer = |id: Value| json!({ "jsonrpc": "2.0", "id": id, "result": {} });
        check(&Alteration::Id(None), &answer(json!(7)), Some(answer(json!(1_000_007))));
        check(&Alteration::Id(None), &answer(json!("a")), Some(answer(json!("a-squall"))));
        check(&Alteration::Id(Some(Value::Null)), &answer(json!(7)), Some(answer(Value::Null)));
        check(&Alteration::Id(None), &json!({ "method": "x", "id": 1 }), None);
    }

    #[test]
    fn each_malformation_breaks_the_envelope_in_its_own_way() {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
        for (how, expected) in [
            (Malformation::NoVersion, json!({ "id": 1, "result": {} })),
            (Malformation::OldVersion, json!({ "jsonrpc": "1.0", "id": 1, "result": {} })),
            (Malformation::NoId, json!({ "jsonrpc": "2.0", "result": {} })),
            (Malformation::Empty, json!({ "jsonrpc": "2.0", "id": 1 })),
            (Malformation::Batch, json!([{ "jsonrpc": "2.0", "id": 1, "result": {} }])),
        ] {
            check(&Alteration::Envelope(how), &message, Some(expected));
        }
    }

    #[test]
    fn flipped_bytes_are_as_many_as_were_asked_for() {
        let message = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
        for seed in 0..50 {
            let flip = Alteration::FlipBytes(3, seed);
            let altered = flip.apply(message, &mut Memory::default()).expect("it is not empty");
            let differ = altered.iter().zip(message).filter(|(a, b)| a != b).count();
            assert_eq!((altered.len(), differ), (message.len(), 3));
        }
    }

    #[test]
    fn broken_json_is_no_json() {
        for message in ["{}", "[]", "{\"a\":[1,2,3]}"] {
            let altered = Alteration::BreakJson.apply(message.as_bytes(), &mut Memory::default());
            assert!(serde_json::from_slice::<Value>(&altered.expect("altered")).is_err());
        }
    }

    #[test]
    fn a_state_is_altered_replayed_or_asked_for_ever() {
        let question = |state: &str| {
            let result = json!({ "resultType": INPUT_REQUIRED, "requestState": state });
            json!({ "jsonrpc": "2.0", "id": 1, "result": result })
        };
        let done = json!({ "jsonrpc": "2.0", "id": 2, "result": { "resultType": "complete" } });
        let alter = Alteration::RequestState(RequestState::Alter);
        check(&alter, &question("xyz"), Some(question("Ayz")));
        check(&alter, &done, None);

        let mut memory = Memory::default();
        let replay = Alteration::RequestState(RequestState::Replay);
        let first = replay.apply(question("one").to_string().as_bytes(), &mut memory);
        assert_eq!(first, None, "there is none before it");
        let second = replay.apply(question("two").to_string().as_bytes(), &mut memory);
        assert_eq!(second, Some(question("one").to_string().into_bytes()));

        let mut memory = Memory::default();
        let endless = Alteration::RequestState(RequestState::Endless);
        assert_eq!(endless.apply(question("one").to_string().as_bytes(), &mut memory), None);
        let asked_again = endless.apply(done.to_string().as_bytes(), &mut memory);
        let asked_again: Value =
            serde_json::from_slice(&asked_again.expect("altered")).expect("JSON");
        assert_eq!(asked_again["result"], question("one")["result"]);
        assert_eq!(asked_again["id"], 2);
    }

    #[test]
    fn what_is_no_json_is_left_alone_where_json_is_to_be_changed() {
        let mut memory = Memory::default();
        assert_eq!(Alteration::Id(None).apply(b"nonsense", &mut memory), None);
        let deep = "[".repeat(100_000);
        assert_eq!(Alteration::Id(None).apply(deep.as_bytes(), &mut memory), None);
    }
}
