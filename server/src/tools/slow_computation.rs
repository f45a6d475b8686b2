//! `slow-computation`: keeps one core busy, on a bounded pool beside the one that serves requests.

use std::hint::black_box;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Caller, ToolResult};
use crate::server::Server;

pub(super) const DESCRIPTION: &str = "Computes for a while: a CPU-bound call";

const MAX: u64 = 100_000_000;
/// About 3 ms of an optimised build.
const DEFAULT: u64 = 1_200_000;
/// Parts of the work, between which progress is told and it is noticed that nobody wants it any more.
const STEPS: u32 = 10;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    #[serde(default)]
    iterations: Iterations,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Iterations(u64);

#[derive(Debug, thiserror::Error)]
#[error("`iterations` is {0}: 1 to {MAX} was expected")]
struct OutOfBounds(u64);

impl Default for Iterations {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<u64> for Iterations {
    type Error = OutOfBounds;

    fn try_from(count: u64) -> Result<Self, Self::Error> {
        let is_valid = (1..=MAX).contains(&count);
        is_valid.then_some(Self(count)).ok_or(OutOfBounds(count))
    }
}

pub(super) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "iterations": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX,
                "default": DEFAULT,
                "description": "Rounds of the computation"
            }
        },
        "additionalProperties": false
    })
}

pub(super) async fn run(arguments: Arguments, server: &Arc<Server>, caller: &Caller) -> ToolResult {
    let Ok(_core) = server.cores.acquire().await else {
        return ToolResult::failure("the server is shutting down");
    };
    let Iterations(iterations) = arguments.iterations;
    let (stop, (told, mut steps)) = (caller.stop.clone(), mpsc::unbounded_channel());
    let work = spawn_blocking(move || compute(iterations, &stop, &told));
    while let Some(step) = steps.recv().await {
        caller.progress(step, STEPS);
    }
    match work.await {
        Ok(Some(value)) => ToolResult::text(format!("{value:016x} after {iterations} iterations")),
        Ok(None) => ToolResult::failure("the computation was stopped"),
        Err(error) => ToolResult::failure(format!("the computation failed: {error}")),
    }
}

/// The value after that many rounds; `None` if it was stopped before.
fn compute(
    iterations: u64,
    stop: &CancellationToken,
    told: &mpsc::UnboundedSender<u32>,
) -> Option<u64> {
    let mut value = 0x9e37_79b9_7f4a_7c15;
    let mut done = 0;
    for step in 1..=STEPS {
        if stop.is_cancelled() {
            return None;
        }
        let until = iterations * u64::from(step) / u64::from(STEPS);
        for _ in done..until {
            value = mix(black_box(value));
        }
        done = until;
        let _ = told.send(step); // nobody waits any more
    }
    Some(value)
}

/// One round of xorshift64* (Vigna, 2016).
fn mix(mut value: u64) -> u64 {
    value ^= value >> 12;
    value ^= value << 25;
    value ^= value >> 27;
    value.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
