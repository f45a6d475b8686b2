//! What travels from replica to replica: notifications, and who has the stream of a session.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use squall_model::mcp::envelope::{Kind, Message, PeekError};

use super::{SessionNews, Target};
use crate::store::SessionId;

/// Bytes of an envelope; a larger one is not ours. What a client may POST at most leaves room.
const MAX_ENVELOPE: usize = 4 << 20;

/// One thing that replicas tell each other. Its `id` is what its sender knows it again by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Envelope<'a> {
    Notification {
        id: u64,
        to: Target,
        /// The JSON-RPC message as it goes out to the streams.
        #[serde(borrow)]
        message: &'a RawValue,
    },
    /// The stream of a session is at this replica now, and nowhere else.
    Takeover { id: u64, session: SessionId, by: ReplicaId },
    /// News of a session, for the replica whose business they are.
    News { session: SessionId, by: ReplicaId, news: SessionNews },
}

/// A replica, told apart from all others for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReplicaId(pub(super) u64);

/// Something on the channel that no server of ours sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForeignMessage {
    #[error("it has {0} bytes: {MAX_ENVELOPE} at most were expected")]
    TooLarge(usize),
    #[error("it is neither a notification nor a takeover nor news of a session")]
    NoEnvelope(#[source] serde_json::Error),
    #[error("what it holds is not JSON-RPC")]
    NoMessage(#[source] PeekError),
    #[error("what it holds is a {0:?}: a notification or a request was expected")]
    NoNotification(Kind),
}

impl<'a> Envelope<'a> {
    /// Reads what came over the channel, whoever sent it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ForeignMessage> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(ForeignMessage::TooLarge(bytes.len()));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(ForeignMessage::NoEnvelope)?;
        if let Self::Notification { message, .. } = envelope {
            check(message)?;
        }
        Ok(envelope)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn check(message: &RawValue) -> Result<(), ForeignMessage> {
    match Message::peek(message).map_err(ForeignMessage::NoMessage)?.kind {
        Kind::Notification | Kind::Request => Ok(()),
        kind => Err(ForeignMessage::NoNotification(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1e999}}"#;

    #[test]
    fn what_was_written_is_read_back() {
        let message = RawValue::from_string(MESSAGE.to_owned()).expect("JSON");
        let (id, session) = (u64::MAX, SessionId::of(7));
        for (envelope, expected) in [
            (
                Envelope::Notification { id, to: Target::All, message: &message },
                format!(r#"{{"notification":{{"id":{id},"to":"all","message":{MESSAGE}}}}}"#),
            ),
            (
                Envelope::Notification { id, to: Target::Session(session), message: &message },
                format!(
                    r#"{{"notification":{{"id":{id},"to":{{"session":"{session}"}},"message":{MESSAGE}}}}}"#
                ),
            ),
            (
                Envelope::Takeover { id, session, by: ReplicaId(id) },
                format!(r#"{{"takeover":{{"id":{id},"session":"{session}","by":{id}}}}}"#),
            ),
            (
                Envelope::News {
                    session,
                    by: ReplicaId(id),
                    news: SessionNews::Cancel { request: "\"7\"".to_owned() },
                },
                format!(
                    r#"{{"news":{{"session":"{session}","by":{id},"news":{{"cancel":{{"request":"\"7\""}}}}}}}}"#
                ),
            ),
        ] {
            let written = envelope.write();
            assert_eq!(String::from_utf8_lossy(&written), expected);
            assert_eq!(Envelope::read(&written).expect("ours").write(), written);
        }
    }

    #[test]
    fn what_nobody_of_ours_wrote_is_refused() {
        let id = SessionId::of(7);
        let notification = |fields: &str| format!(r#"{{"notification":{{{fields}}}}}"#);
        let takeover = |fields: &str| format!(r#"{{"takeover":{{{fields}}}}}"#);
        let whole = format!(r#""id":1,"to":"all","message":{MESSAGE}"#);
        let taken = format!(r#""id":1,"session":"{id}","by":1"#);
        assert!(Envelope::read(notification(&whole).as_bytes()).is_ok());
        assert!(Envelope::read(takeover(&taken).as_bytes()).is_ok());
        for text in [
            String::new(),
            "nonsense".to_owned(),
            "[]".to_owned(),
            r#""takeover""#.to_owned(),
            format!("{{{whole}}}"),
            notification(&taken),
            notification(&format!(r#""id":1,"message":{MESSAGE}"#)),
            notification(&format!(r#""id":-1,"to":"all","message":{MESSAGE}"#)),
            notification(&format!(r#""id":1,"to":"none","message":{MESSAGE}"#)),
            notification(&format!(r#""id":1,"to":"session","message":{MESSAGE}"#)),
            notification(&format!(r#""id":1,"to":{{"session":"*"}},"message":{MESSAGE}"#)),
            notification(&format!(r#""id":1,"to":{{"session":"{id}"}},"message":7"#)),
            notification(r#""id":1,"to":"all","message":{"jsonrpc":"2.0","id":1,"result":{}}"#),
            notification(&whole) + &" ".repeat(MAX_ENVELOPE),
            takeover(&whole),
            takeover(&format!(r#""session":"{id}","by":1"#)),
            takeover(&format!(r#""id":1,"session":"{id}""#)),
            takeover(&format!(r#""id":1,"session":"{id}","by":"all""#)),
            takeover(&format!(r#""id":1,"session":"{id}","by":-1"#)),
            takeover(r#""id":1,"session":"*","by":1"#),
            takeover(r#""id":1,"session":null,"by":1"#),
            format!(r#"{{"takeover":{{{taken}}},"notification":{{{whole}}}}}"#),
        ] {
            assert!(Envelope::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Envelope::read(b"\xff").is_err());
    }
}
