//! The JSON-RPC classifier takes any bytes, and says of a message what a full parser says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use squall_model::mcp::envelope::{Envelope, Kind};
use squall_model::mcp::glance::Glance;

fuzz_target!(|body: &[u8]| {
    if let Some(glance) = Glance::at(body) {
        let Ok(Envelope::Single(message)) = Envelope::peek(body) else {
            panic!("a glance took it for a message: {glance:?}");
        };
        assert_eq!((glance.kind, Some(glance.method)), (message.kind, message.method.as_deref()));
        assert_eq!((glance.id, glance.name), (message.id.map(|id| id.get()), message.name.as_deref()));
        assert_eq!(glance.operation, message.operation);
        assert_eq!(glance.meta_version, message.meta_version.as_deref());
        let client = message.client();
        assert_eq!(glance.client, client.as_ref().map(|(name, version)| (&**name, &**version)));
    }
    let Ok(envelope) = Envelope::peek(body) else { return };
    for message in envelope.messages() {
        let has_method = matches!(message.kind, Kind::Request | Kind::Notification);
        assert_eq!(message.method.is_some(), has_method);
        let _ = message.client();
    }
    // It gives up on what is nested deeply, and the classifier does not.
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let values = match &value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    };
    assert_eq!(values.len(), envelope.messages().len());
    for (message, value) in envelope.messages().iter().zip(values) {
        assert_eq!(value["jsonrpc"], "2.0");
        assert_eq!(message.method.as_deref(), value["method"].as_str());
        let id = message.id.map(|id| serde_json::from_str::<Value>(id.get()));
        assert_eq!(id.map(|id| id.expect("JSON")).as_ref(), value.get("id"));
    }
});
