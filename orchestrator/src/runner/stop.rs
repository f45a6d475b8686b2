//! Stop conditions: when a drill hurts more than it should, it ends.

use std::time::Duration;

use squall_loadgen::Sample;
use squall_model::history::Nanos;

use super::recording::Recording;
use crate::drill::Condition;

/// How often the conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Resolves when one of the conditions holds over its whole time, with the reason.
pub(super) async fn wait(conditions: &[Condition], recording: &Recording) -> String {
    let begun = recording.clock().now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = recording.clock().now();
        for condition in conditions {
            if now.since(begun) >= condition.lasting && holds(condition, now, recording) {
                let lasting = humantime::format_duration(condition.lasting);
                return format!("the stop condition `{}` over {lasting}", condition.when);
            }
        }
    }
}

/// Whether the condition holds over the time before `now`.
fn holds(condition: &Condition, now: Nanos, recording: &Recording) -> bool {
    let lasting = Nanos::after_anchor(condition.lasting);
    recording.recent(Nanos(now.0.saturating_sub(lasting.0)), |recent| {
        let workload = recent.iter().filter(|operation| !operation.is_handshake());
        condition.when.evaluate(workload.map(|operation| Sample::of(operation, None))).holds
    })
}
