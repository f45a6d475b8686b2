//! What travels from replica to replica: a notification, and who it is for.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Kind, Message, PeekError};

use super::Target;

/// Bytes of an envelope; a larger one is not ours. The tool's bound on its data leaves room.
const MAX_ENVELOPE: usize = 32 * 1024;

/// One notification on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<'a> {
    /// By which its sender knows it again.
    pub(super) id: u64,
    pub(super) to: Target,
    /// The JSON-RPC message as it goes out to the streams.
    #[serde(borrow)]
    pub(super) message: &'a RawValue,
}

/// Something on the channel that no server of ours sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForeignMessage {
    #[error("it has {0} bytes: {MAX_ENVELOPE} at most were expected")]
    TooLarge(usize),
    #[error("it is not an envelope with `id`, `to` and `message`")]
    NoEnvelope(#[source] serde_json::Error),
    #[error("what it holds is not JSON-RPC")]
    NoMessage(#[source] PeekError),
    #[error("what it holds is a {0:?}: a notification was expected")]
    NoNotification(Kind),
}

impl<'a> Envelope<'a> {
    /// Reads what came over the channel, whoever sent it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ForeignMessage> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(ForeignMessage::TooLarge(bytes.len()));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(ForeignMessage::NoEnvelope)?;
        let message = Message::peek(envelope.message).map_err(ForeignMessage::NoMessage)?;
        match message.kind {
            Kind::Notification => Ok(envelope),
            kind => Err(ForeignMessage::NoNotification(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionId;

    const MESSAGE: &str = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1e999}}"#;

    #[test]
    fn what_was_written_is_read_back() {
        let message = RawValue::from_string(MESSAGE.to_owned()).expect("JSON");
        for to in [Target::All, Target::Session(SessionId::of(7))] {
            let written = serde_json::to_vec(&Envelope { id: u64::MAX, to, message: &message });
            let written = written.expect("writable");
            let read = Envelope::read(&written).expect("ours");
            assert_eq!((read.id, read.to, read.message.get()), (u64::MAX, to, MESSAGE));
        }
    }

    #[test]
    fn what_nobody_of_ours_wrote_is_refused() {
        let id = SessionId::of(7);
        for text in [
            String::new(),
            "nonsense".to_owned(),
            "[]".to_owned(),
            format!(r#"{{"id":1,"message":{MESSAGE}}}"#),
            format!(r#"{{"id":-1,"to":"all","message":{MESSAGE}}}"#),
            format!(r#"{{"id":1,"to":"none","message":{MESSAGE}}}"#),
            format!(r#"{{"id":1,"to":"session","message":{MESSAGE}}}"#),
            format!(r#"{{"id":1,"to":{{"session":"*"}},"message":{MESSAGE}}}"#),
            format!(r#"{{"id":1,"to":{{"session":"{id}"}},"message":7}}"#),
            r#"{"id":1,"to":"all","message":{"jsonrpc":"2.0","id":1,"method":"ping"}}"#.to_owned(),
            r#"{"id":1,"to":"all","message":{"jsonrpc":"2.0","id":1,"result":{}}}"#.to_owned(),
            format!(r#"{{"id":1,"to":"all","message":{MESSAGE}}}{}"#, " ".repeat(MAX_ENVELOPE)),
        ] {
            assert!(Envelope::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Envelope::read(b"\xff").is_err());
    }
}
