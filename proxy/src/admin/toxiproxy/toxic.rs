//! Toxics: what Toxiproxy's clients know of a fault on a TCP route.

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use squall_model::fault::{Fault, FaultId};

use crate::board::Board;

/// A toxic, and the fault that it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Toxic {
    attributes: Map<String, Value>,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    stream: String,
    toxicity: f64,
    /// Ours: what else the fault matches.
    #[serde(rename = "match", skip_serializing_if = "Map::is_empty")]
    scope: Map<String, Value>,
    /// Ours: how long it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    #[serde(skip)]
    proxy: String,
    #[serde(skip)]
    fault: FaultId,
}

/// The toxics of all proxies, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Toxics(Mutex<Vec<Toxic>>);

/// A toxic as clients send it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "ToxiproxyToxic")]
pub(super) struct ToxicEdit {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    stream: String,
    toxicity: Option<f64>,
    attributes: Option<Map<String, Value>>,
    #[serde(rename = "match")]
    scope: Option<Map<String, Value>>,
    lease: Option<String>,
}

/// Why a toxic could not be made or changed, in Toxiproxy's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToxicError {
    #[error("toxic not found")]
    Unknown,
    #[error("toxic already exists")]
    Exists,
    #[error("stream was invalid, can be either upstream or downstream")]
    BadStream,
    #[error("invalid toxic type")]
    BadType,
    #[error("bad request body: {0}")]
    BadBody(String),
}

/// The attributes of each type: all are whole numbers, and 0 where they are not given.
const TYPES: &[(&str, &[&str])] = &[
    ("latency", &["latency", "jitter"]),
    ("bandwidth", &["rate"]),
    ("slow_close", &["delay"]),
    ("timeout", &["timeout"]),
    ("reset_peer", &["timeout"]),
    ("slicer", &["average_size", "size_variation", "delay"]),
    ("limit_data", &["bytes"]),
    ("noop", &[]),
];

impl Toxics {
    /// The toxics of a proxy whose faults are live: those on the way up first, as Toxiproxy lists them.
    pub(super) fn of(&self, proxy: &str, board: &Board) -> Vec<Toxic> {
        let toxics = self.0.lock();
        let live = toxics.iter().filter(|toxic| toxic.proxy == proxy && toxic.is_live(board));
        let mut live: Vec<_> = live.cloned().collect();
        live.sort_by_key(|toxic| toxic.stream != "upstream");
        live
    }

    pub(super) fn get(&self, proxy: &str, name: &str, board: &Board) -> Result<Toxic, ToxicError> {
        let toxics = self.of(proxy, board);
        toxics.into_iter().find(|toxic| toxic.name == name).ok_or(ToxicError::Unknown)
    }

    pub(super) fn add(
        &self,
        proxy: &str,
        edit: ToxicEdit,
        board: &Board,
    ) -> Result<Toxic, ToxicError> {
        let stream = match edit.stream.as_str() {
            "" | "downstream" => "downstream",
            "upstream" => "upstream",
            _ => return Err(ToxicError::BadStream),
        };
        if !TYPES.iter().any(|(kind, _)| *kind == edit.kind) {
            return Err(ToxicError::BadType);
        }
        let name = match edit.name.as_str() {
            "" => format!("{}_{stream}", edit.kind),
            name => name.to_owned(),
        };
        if self.get(proxy, &name, board).is_ok() {
            return Err(ToxicError::Exists);
        }
        let mut toxic = Toxic {
            attributes: Map::new(),
            fault: free_id(proxy, &name, board),
            name,
            kind: edit.kind,
            stream: stream.to_owned(),
            toxicity: edit.toxicity.unwrap_or(1.0),
            scope: edit.scope.unwrap_or_default(),
            lease: edit.lease,
            proxy: proxy.to_owned(),
        };
        toxic.set(edit.attributes.as_ref())?;
        board.add(toxic.fault()?).map_err(|error| ToxicError::BadBody(error.to_string()))?;
        let mut toxics = self.0.lock();
        toxics.retain(|other| other.is_live(board));
        toxics.push(toxic.clone());
        Ok(toxic)
    }

    /// Changes attributes and toxicity; type and stream stay as they are.
    pub(super) fn change(
        &self,
        proxy: &str,
        name: &str,
        edit: ToxicEdit,
        board: &Board,
    ) -> Result<Toxic, ToxicError> {
        let mut toxic = self.get(proxy, name, board)?;
        toxic.set(edit.attributes.as_ref())?;
        toxic.toxicity = edit.toxicity.unwrap_or(toxic.toxicity);
        toxic.scope = edit.scope.unwrap_or(toxic.scope);
        toxic.lease = edit.lease.or(toxic.lease);
        board.replace(toxic.fault()?).map_err(|error| ToxicError::BadBody(error.to_string()))?;
        let mut toxics = self.0.lock();
        if let Some(place) = toxics.iter_mut().find(|other| other.fault == toxic.fault) {
            *place = toxic.clone();
        }
        Ok(toxic)
    }

    pub(super) fn remove(&self, proxy: &str, name: &str, board: &Board) -> Result<(), ToxicError> {
        let toxic = self.get(proxy, name, board)?;
        board.remove(&toxic.fault).map_err(|_| ToxicError::Unknown)?;
        self.0.lock().retain(|other| other.fault != toxic.fault);
        Ok(())
    }

    /// Removes all toxics of a proxy.
    pub(super) fn forget(&self, proxy: &str, board: &Board) {
        let mut toxics = self.0.lock();
        for toxic in toxics.iter().filter(|toxic| toxic.proxy == proxy) {
            let _ = board.remove(&toxic.fault); // its lease may have run out
        }
        toxics.retain(|toxic| toxic.proxy != proxy);
    }
}

impl Toxic {
    fn is_live(&self, board: &Board) -> bool {
        board.snapshot().faults().iter().any(|live| live.fault.id == self.fault)
    }

    /// Sets the attributes that are given, and all others of its type to 0.
    fn set(&mut self, given: Option<&Map<String, Value>>) -> Result<(), ToxicError> {
        let known = TYPES.iter().find(|(kind, _)| *kind == self.kind).map_or(&[][..], |(_, a)| a);
        for name in known {
            let before = self.attributes.get(*name).cloned().unwrap_or_else(|| json!(0));
            let value = given.and_then(|given| given.get(*name)).unwrap_or(&before);
            if !value.is_i64() && !value.is_u64() {
                let error = format!("attribute {name} is {value}, a whole number was expected");
                return Err(ToxicError::BadBody(error));
            }
            self.attributes.insert((*name).to_owned(), value.clone());
        }
        Ok(())
    }

    fn number(&self, name: &str) -> u64 {
        self.attributes.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    fn fault(&self) -> Result<Fault, ToxicError> {
        let flow = if self.stream == "upstream" { "up" } else { "down" };
        let ms = |name| format!("{}ms", self.number(name));
        let effect = match self.kind.as_str() {
            "latency" => json!({ "latency": {
                "delay": ms("latency"), "jitter": ms("jitter"), "at": "wire", "flow": flow,
            } }),
            "bandwidth" => json!({ "bandwidth": {
                "rate": self.number("rate").saturating_mul(1000), "flow": flow,
            } }),
            "slow_close" => json!({ "slow-close": { "delay": ms("delay"), "flow": flow } }),
            "timeout" if self.number("timeout") == 0 => {
                json!({ "blackhole": { "close_on_end": true, "flow": flow } })
            }
            "timeout" => json!({ "blackhole": {
                "close_after": ms("timeout"), "close_on_end": true, "flow": flow,
            } }),
            "reset_peer" => json!({ "reset": { "at": "connection", "delay": ms("timeout") } }),
            "slicer" => json!({ "slicer": {
                "size": self.number("average_size"),
                "variation": self.number("size_variation"),
                "delay": format!("{}us", self.number("delay")),
                "flow": flow,
            } }),
            "limit_data" => json!({ "limit-bytes": {
                "bytes": self.number("bytes"), "flow": flow,
            } }),
            _ => json!({ "latency": { "delay": "0s", "at": "wire", "flow": flow } }),
        };
        let mut scope = self.scope.clone();
        scope.insert("route".to_owned(), self.proxy.clone().into());
        let mut fault = json!({
            "id": self.fault,
            "match": scope,
            "chance": { "probability": self.toxicity },
            "effect": effect,
        });
        if let Some(lease) = &self.lease {
            fault["lease"] = lease.clone().into();
        }
        serde_json::from_value(fault).map_err(|error| ToxicError::BadBody(error.to_string()))
    }
}

/// The id of the fault that a toxic is: the names of proxy and toxic, as far as ids allow, and a number
/// where that is taken.
fn free_id(proxy: &str, toxic: &str, board: &Board) -> FaultId {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let safe = |text: &str| {
        let text = text.chars().map(|c| if allowed(c) { c } else { '-' });
        text.take(28).collect::<String>()
    };
    let base = format!("{}.{}", safe(proxy), safe(toxic));
    let snapshot = board.snapshot();
    let is_free = |id: &FaultId| snapshot.faults().iter().all(|live| live.fault.id != *id);
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    let ids = std::iter::once(base.clone()).chain(numbered).filter_map(|id| id.parse().ok());
    ids.into_iter()
        .find(is_free)
        .unwrap_or_else(|| unreachable!("there are more numbers than faults"))
}
