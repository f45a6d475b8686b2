//! The open streams of `subscriptions/listen` (2026-07-28, basic/patterns/subscriptions): each hears what it
//! asked for, and every message says which subscription it belongs to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use squall_model::mcp::sse;
use tokio::sync::mpsc;

/// What a listener wants to hear (schema, `SubscriptionFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Filter {
    #[serde(skip_serializing_if = "is_no")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "is_no")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "is_no")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_subscriptions: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_no(wanted: &bool) -> bool {
    !wanted
}

/// The listeners of this process.
#[derive(Default)]
pub(crate) struct Listeners {
    opened: AtomicU64,
    open: Mutex<HashMap<u64, Listener>>,
}

struct Listener {
    filter: Filter,
    /// The id of the request that opened it, as it was written.
    subscription: Box<RawValue>,
    events: mpsc::Sender<Bytes>,
}

/// A place among the listeners, given back on drop.
pub(crate) struct Place {
    listeners: Arc<Listeners>,
    number: u64,
}

/// The outline of a message from this server.
#[derive(Deserialize)]
struct Outline<'a> {
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Updated<'a> {
    uri: std::borrow::Cow<'a, str>,
}

impl Filter {
    fn wants(&self, method: &str, uri: Option<&str>) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools_list_changed,
            "notifications/prompts/list_changed" => self.prompts_list_changed,
            "notifications/resources/list_changed" => self.resources_list_changed,
            "notifications/resources/updated" => {
                uri.is_some_and(|uri| self.resource_subscriptions.iter().any(|own| own == uri))
            }
            _ => false,
        }
    }
}

impl Listeners {
    /// Adds a listener, whose first event is that acknowledgement.
    pub(crate) fn open(
        self: &Arc<Self>,
        filter: Filter,
        subscription: &RawValue,
        events: mpsc::Sender<Bytes>,
    ) -> Place {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let acknowledged = serde_json::json!({ "notifications": &filter }).to_string();
        let method = "notifications/subscriptions/acknowledged";
        // Under the lock, so that nothing comes before it.
        let mut open = self.open.lock();
        let _ = events.try_send(tagged(method, Some(&acknowledged), subscription)); // the first fits
        open.insert(number, Listener { filter, subscription: subscription.to_owned(), events });
        Place { listeners: Arc::clone(self), number }
    }

    /// Tells a message to those who want to hear it, and says how many took it. One who takes no more is
    /// dropped.
    pub(crate) fn tell(&self, message: &RawValue) -> usize {
        let mut open = self.open.lock();
        if open.is_empty() {
            return 0;
        }
        let Ok(outline) = serde_json::from_str::<Outline<'_>>(message.get()) else { return 0 };
        let params = outline.params.map(RawValue::get);
        let updated: Option<Updated<'_>> = params.and_then(|text| serde_json::from_str(text).ok());
        let uri = updated.as_ref().map(|updated| &*updated.uri);
        let mut reached = 0;
        open.retain(|_, listener| {
            if !listener.filter.wants(outline.method, uri) {
                return true;
            }
            let event = tagged(outline.method, params, &listener.subscription);
            let is_taken = listener.events.try_send(event).is_ok();
            reached += usize::from(is_taken);
            is_taken
        });
        reached
    }

    /// Sends bytes that are no message down every stream.
    pub(crate) fn beat(&self, comment: &Bytes) {
        self.open.lock().retain(|_, listener| listener.events.try_send(comment.clone()).is_ok());
    }

    /// Ends all streams in order (basic/patterns/subscriptions, graceful closure).
    pub(crate) fn close_all(&self) {
        for (_, Listener { subscription, events, .. }) in self.open.lock().drain() {
            let id = subscription.get();
            let result = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{{}}}}}}}"#,
                subscription_id(&subscription)
            );
            let _ = events.try_send(sse::encode(None, &result)); // it may be full: then it is cut
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }
}

fn subscription_id(id: &RawValue) -> String {
    format!(r#""io.modelcontextprotocol/subscriptionId":{}"#, id.get())
}

/// A notification with the subscription that it belongs to. Its parameters are an object of this server's
/// own, without `_meta`.
fn tagged(method: &str, params: Option<&str>, subscription: &RawValue) -> Bytes {
    let fields = params.and_then(|text| text.trim().strip_prefix('{')?.strip_suffix('}'));
    let fields = fields.map(str::trim).filter(|fields| !fields.is_empty());
    let (fields, comma) = fields.map_or(("", ""), |fields| (fields, ","));
    let id = subscription_id(subscription);
    let message = format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{fields}{comma}"_meta":{{{id}}}}}}}"#
    );
    sse::encode(None, &message.replace(['\r', '\n'], " "))
}

impl Drop for Place {
    fn drop(&mut self) {
        self.listeners.open.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect(text)
    }

    fn listen(listeners: &Arc<Listeners>, filter: &str) -> (Place, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(3);
        let filter = serde_json::from_str(filter).expect(filter);
        (listeners.open(filter, &raw("\"s\""), sender), receiver)
    }

    fn next(events: &mut mpsc::Receiver<Bytes>) -> Option<Value> {
        let event = events.try_recv().ok()?;
        let text = String::from_utf8(event.to_vec()).expect("UTF-8");
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        Some(serde_json::from_str(data).expect(data))
    }

    #[test]
    fn a_listener_is_acknowledged_first_and_hears_only_what_it_asked_for() {
        let listeners = Arc::new(Listeners::default());
        let filter = r#"{"toolsListChanged":true,"resourceSubscriptions":["app://a"],"x":1}"#;
        let (_place, mut events) = listen(&listeners, filter);
        let first = next(&mut events).expect("the acknowledgement");
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        let agreed =
            serde_json::json!({ "toolsListChanged": true, "resourceSubscriptions": ["app://a"] });
        assert_eq!(first["params"]["notifications"], agreed);
        for (message, reached) in [
            (r#"{"method":"notifications/tools/list_changed"}"#, 1),
            (r#"{"method":"notifications/prompts/list_changed"}"#, 0),
            (r#"{"method":"notifications/resources/updated","params":{"uri":"app:\/\/a"}}"#, 1),
            (r#"{"method":"notifications/resources/updated","params":{"uri":"app://b"}}"#, 0),
            (r#"{"method":"notifications/squall/custom","params":{"data":{}}}"#, 0),
        ] {
            assert_eq!(listeners.tell(&raw(message)), reached, "{message}");
            if reached > 0 {
                let heard = next(&mut events).expect(message);
                let meta = &heard["params"]["_meta"];
                assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "s", "{heard}");
            }
        }
    }

    #[test]
    fn a_listener_that_is_behind_or_gone_is_forgotten() {
        let listeners = Arc::new(Listeners::default());
        let (place, _events) = listen(&listeners, r#"{"toolsListChanged":true}"#);
        let changed = raw(r#"{"method":"notifications/tools/list_changed"}"#);
        assert_eq!([0; 3].map(|_| listeners.tell(&changed)), [1, 1, 0], "three fit");
        assert_eq!(listeners.count(), 0);
        drop(place);
        drop(listen(&listeners, "{}"));
        assert_eq!(listeners.count(), 0);
    }

    #[test]
    fn a_stream_that_the_server_ends_is_answered() {
        let listeners = Arc::new(Listeners::default());
        let (_place, mut events) = listen(&listeners, "{}");
        next(&mut events).expect("the acknowledgement");
        listeners.close_all();
        let last = next(&mut events).expect("the result");
        assert_eq!((&last["id"], &last["result"]["resultType"]), (&"s".into(), &"complete".into()));
        assert_eq!(next(&mut events), None);
    }
}
