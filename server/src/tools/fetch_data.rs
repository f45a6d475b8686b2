//! `fetch-data`: waits as a call to another service would, and fetches nothing.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use tokio::time::Instant;

use super::{Caller, ToolResult};
use crate::client::Level;

pub(super) const DESCRIPTION: &str =
    "Waits as if it fetched something from elsewhere: an I/O-bound call";

const MAX_MS: u64 = 10_000;
const DEFAULT_MS: u64 = 20;
/// Parts of the wait, after each of which progress is told.
const STEPS: u32 = 5;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    #[serde(default)]
    delay_ms: Delay,
    #[serde(default = "default_url")]
    url: String,
}

/// What came back.
#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    url: String,
    /// Milliseconds that it took at least.
    delay_ms: u64,
    data: &'static str,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Delay(Duration);

#[derive(Debug, thiserror::Error)]
#[error("`delay_ms` is {0}: 0 to {MAX_MS} was expected")]
struct OutOfBounds(u64);

impl Default for Delay {
    fn default() -> Self {
        Self(Duration::from_millis(DEFAULT_MS))
    }
}

impl TryFrom<u64> for Delay {
    type Error = OutOfBounds;

    fn try_from(milliseconds: u64) -> Result<Self, Self::Error> {
        if milliseconds > MAX_MS {
            return Err(OutOfBounds(milliseconds));
        }
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

fn default_url() -> String {
    "https://example.com/data".to_owned()
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "delay_ms": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_MS,
                "default": DEFAULT_MS,
                "description": "Milliseconds to wait"
            },
            "url": {
                "type": "string",
                "description": "A label for the answer; nothing is fetched from there"
            }
        },
        "additionalProperties": false
    })
}

pub(super) async fn run(arguments: Arguments, caller: &Caller) -> ToolResult {
    let Delay(delay) = arguments.delay_ms;
    let begun = Instant::now();
    caller.log(Level::Debug, "fetching");
    for step in 1..=STEPS {
        // Each step ends at its own moment, so that the timer's rounding does not add up.
        tokio::time::sleep_until(begun + delay * step / STEPS).await;
        caller.progress(step, STEPS);
    }
    caller.log(Level::Info, "fetched");
    let delay_ms = delay.as_millis() as u64;
    ToolResult::structured(&Output { url: arguments.url, delay_ms, data: "simulated" })
}
