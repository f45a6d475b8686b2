//! What the engine itself says happened to the containers of a drill, and when.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::engine::Engine;
use crate::world::WorldEvent;

/// How many events a slow listener may be behind before it misses some.
const BACKLOG: usize = 1024;

/// The pause before a stream that broke is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// The engine's event stream, followed until this is dropped.
#[derive(Debug)]
pub(super) struct Events {
    sender: broadcast::Sender<WorldEvent>,
    follower: AbortHandle,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Events {
    /// Follows what happens to these containers: what drills call them, by their ids.
    pub(super) fn follow(engine: &Engine, names: BTreeMap<String, String>) -> Self {
        let sender = broadcast::Sender::new(BACKLOG);
        let follow = follow(engine.clone(), names, sender.clone());
        Self { follower: tokio::spawn(follow).abort_handle(), sender }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<WorldEvent> {
        self.sender.subscribe()
    }
}

async fn follow(
    engine: Engine,
    names: BTreeMap<String, String>,
    sender: broadcast::Sender<WorldEvent>,
) {
    let mut since = now();
    loop {
        // Not by container: the engine would leave out what its networks say of one.
        let kinds = vec!["container".to_owned(), "network".to_owned()];
        let filters = HashMap::from([("type".to_owned(), kinds)]);
        let options = EventsOptions {
            since: Some(since.clone()),
            filters: Some(filters),
            ..Default::default()
        };
        let mut events = Box::pin(engine.client().events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            if let Some(event) = read(&event, &names) {
                // From the next nanosecond on, should the stream break here.
                since = moment(event.wall.saturating_add(1));
                let _ = sender.send(event); // nobody has to listen
            }
        }
        tracing::warn!("the engine's event stream broke off, and is asked for again");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Nanoseconds since the Unix epoch, as the engine takes them.
fn moment(wall: u64) -> String {
    format!("{}.{:09}", wall / 1_000_000_000, wall % 1_000_000_000)
}

/// So that nothing is missed between here and the first event, should the stream break before that.
fn now() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    moment(u64::try_from(now.as_nanos()).unwrap_or_default())
}

/// One event in words, if it is of these containers; what health checks do every few seconds is left
/// out.
fn read(event: &EventMessage, names: &BTreeMap<String, String>) -> Option<WorldEvent> {
    let action = event.action.as_deref()?;
    if action.starts_with("exec_") {
        return None;
    }
    let actor = event.actor.as_ref()?;
    let attributes = actor.attributes.as_ref();
    let attribute = |key: &str| attributes.and_then(|all| all.get(key)).map(String::as_str);
    let id = attribute("container").or(actor.id.as_deref())?;
    let name = names.get(id)?;
    let more = match action {
        "kill" => attribute("signal").map(|signal| format!(" (signal {signal})")),
        "die" => attribute("exitCode").map(|code| format!(" (exit code {code})")),
        "connect" | "disconnect" => attribute("name").map(|network| format!(" ({network})")),
        _ => None,
    };
    let what = format!("{name}: {action}{}", more.unwrap_or_default());
    Some(WorldEvent { what, wall: u64::try_from(event.time_nano?).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(action: &str, id: &str, attributes: &serde_json::Value) -> Option<String> {
        let event = json!({
            "Type": "container", "Action": action, "timeNano": 7,
            "Actor": { "ID": id, "Attributes": attributes },
        });
        let event: EventMessage = serde_json::from_value(event).expect("an event");
        let names = BTreeMap::from([("abc".to_owned(), "server-1".to_owned())]);
        read(&event, &names).map(|event| event.what)
    }

    #[test]
    fn an_event_is_told_with_the_name_that_the_drill_uses() {
        for (action, id, attributes, expected) in [
            ("kill", "abc", json!({ "signal": "9" }), Some("server-1: kill (signal 9)")),
            ("die", "abc", json!({ "exitCode": "137" }), Some("server-1: die (exit code 137)")),
            ("start", "abc", json!({}), Some("server-1: start")),
            (
                "disconnect",
                "net",
                json!({ "container": "abc", "name": "front" }),
                Some("server-1: disconnect (front)"),
            ),
            ("exec_start: squall", "abc", json!({}), None),
            ("die", "xyz", json!({}), None),
        ] {
            assert_eq!(words(action, id, &attributes).as_deref(), expected, "{action}");
        }
    }
}
