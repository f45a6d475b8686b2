//! The answer to one request, out of a JSON body or an event stream, bounded whatever comes.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use squall_model::history::Cause;
use squall_model::mcp::envelope::{Kind, Message};
use squall_model::mcp::header;
use squall_model::mcp::sse::{Event, Splitter};

use super::courtesy::Courtesy;
use super::resume::Place;
use super::{Client, trouble};

/// How large an answer may be.
const LARGEST: usize = 16 * 1024 * 1024;

/// Reads the JSON-RPC message that answers `client`'s request `id`, result or error.
pub(super) async fn read(
    client: &Client,
    headers: &HeaderMap,
    body: &mut Incoming,
    id: u64,
    place: &mut Place,
) -> Result<Bytes, Cause> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    let media_type = match content_type {
        Some(Ok(value)) => value.split(';').next().unwrap_or_default().trim(),
        Some(Err(_)) => "unreadable",
        None if body.is_end_stream() => return Err(protocol("empty body")),
        None => return Err(protocol("no content type")),
    };
    if media_type.eq_ignore_ascii_case(header::JSON) {
        in_body(&whole(body).await?, id)
    } else if media_type.eq_ignore_ascii_case(header::EVENT_STREAM) {
        in_stream(body, id, Courtesy::of(client), place).await
    } else {
        let shown: String = media_type.chars().take(60).collect();
        Err(protocol(&format!("content type {shown}")))
    }
}

async fn whole(body: &mut Incoming) -> Result<Bytes, Cause> {
    let mut all = BytesMut::new();
    while let Some(chunk) = next_chunk(body).await {
        let chunk = chunk?;
        check_size(all.len() + chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

async fn next_chunk(body: &mut Incoming) -> Option<Result<Bytes, Cause>> {
    loop {
        match body.frame().await? {
            Err(error) => return Some(Err(trouble::cause_of(&error))),
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
        }
    }
}

fn in_body(body: &Bytes, id: u64) -> Result<Bytes, Cause> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(protocol("empty body"));
    }
    find(body, id, Anonymous::IsOurs, |_| ())?.ok_or_else(|| protocol("answer has another id"))
}

async fn in_stream(
    body: &mut Incoming,
    id: u64,
    mut courtesy: Courtesy<'_>,
    place: &mut Place,
) -> Result<Bytes, Cause> {
    let mut splitter = Splitter::new(LARGEST);
    let mut size = 0;
    loop {
        while let Some(piece) = splitter.next_piece() {
            let event = Event::parse(&piece.into_bytes());
            place.note(&event);
            if let Some(answer) = in_event(event, id, |asked| courtesy.answer(asked))? {
                return Ok(answer);
            }
        }
        let chunk = next_chunk(body).await;
        place.ended = chunk.is_none();
        let chunk = match chunk {
            Some(Err(Cause::Closed)) | None => return Err(Cause::StreamCut),
            Some(chunk) => chunk?,
        };
        size += chunk.len();
        check_size(size)?;
        splitter.push(&chunk);
    }
}

/// Messages that are not our answer (progress, log) are let by, after `other` saw them.
fn in_event(
    event: Event,
    id: u64,
    other: impl FnMut(&Message<'_>),
) -> Result<Option<Bytes>, Cause> {
    let is_message = event.event.is_none_or(|name| name == "message");
    match event.data {
        Some(data) if is_message && !data.is_empty() => {
            find(&data.into(), id, Anonymous::IsNot, other)
        }
        _ => Ok(None),
    }
}

fn check_size(size: usize) -> Result<(), Cause> {
    if size > LARGEST {
        return Err(protocol("answer over 16 MiB"));
    }
    Ok(())
}

/// Whether an error without an id can only mean our request, which its receiver could not read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Anonymous {
    IsOurs,
    IsNot,
}

/// Finds the answer in one message or, as 2025-03-26 has it, a batch. What comes before it, `other`
/// sees.
fn find(
    body: &Bytes,
    id: u64,
    anonymous: Anonymous,
    mut other: impl FnMut(&Message<'_>),
) -> Result<Option<Bytes>, Cause> {
    let id = id.to_string();
    for raw in messages(body)? {
        let message = Message::peek(raw).map_err(|_| protocol("not JSON-RPC"))?;
        let is_answer = matches!(message.kind, Kind::Response | Kind::Error);
        let found = message.id.map_or("null", RawValue::get);
        let is_nameless = message.kind == Kind::Error && found == "null";
        if is_answer && (found == id || is_nameless && anonymous == Anonymous::IsOurs) {
            return Ok(Some(body.slice_ref(raw.get().as_bytes())));
        }
        other(&message);
    }
    Ok(None)
}

fn messages(body: &[u8]) -> Result<Vec<&RawValue>, Cause> {
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let parsed = if is_batch {
        serde_json::from_slice(body)
    } else {
        serde_json::from_slice(body).map(|raw| vec![raw])
    };
    parsed.map_err(|_| protocol("broken JSON"))
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorOutline {
    code: i64,
}

/// The result of an answer, which the specification has as an object.
pub(crate) fn result_of<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Cause> {
    let outline: Outline<'_> =
        serde_json::from_slice(answer).map_err(|_| protocol("broken JSON"))?;
    if let Some(error) = outline.error {
        let outline: Result<ErrorOutline, _> = serde_json::from_str(error.get());
        return Err(outline.map_or_else(
            |_| protocol("error without a code"),
            |error| Cause::JsonRpc(error.code),
        ));
    }
    let result = outline.result.map_or("null", RawValue::get);
    if !result.starts_with('{') {
        return Err(protocol("result is not an object"));
    }
    serde_json::from_str(result).map_err(|_| protocol("result of another shape"))
}

pub(super) fn protocol(what: &str) -> Cause {
    Cause::Protocol(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn look(body: &str) -> Result<Value, String> {
        let answer = in_body(&Bytes::copy_from_slice(body.as_bytes()), 7);
        let result = answer.and_then(|answer| result_of(&answer));
        result.map_err(|cause| cause.to_string())
    }

    #[test]
    fn only_a_result_for_our_own_id_is_an_answer() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, "ok"),
            (r#"[{"jsonrpc":"2.0","id":7,"result":{}}]"#, "ok"),
            (r#"{"jsonrpc":"2.0","id":8,"result":{}}"#, "another id"),
            (r#"{"jsonrpc":"2.0","id":"7","result":{}}"#, "another id"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, "another id"),
            (r#"{"jsonrpc":"2.0","id":7,"result":[]}"#, "not an object"),
            (r#"{"jsonrpc":"2.0","id":7,"error":{"code":-3,"message":""}}"#, "error -3"),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-3,"message":""}}"#, "error -3"),
            (r#"{"jsonrpc":"2.0","id":7,"error":{}}"#, "without a code"),
            (r#"{"id":7,"result":{}}"#, "not JSON-RPC"),
            (r#"{"jsonrpc":"2.0","id":7,"#, "broken JSON"),
            ("[]", "another id"),
            (" \n", "empty body"),
            ("<html>", "broken JSON"),
        ] {
            let found = look(body).map_or_else(|error| error, |_| "ok".to_owned());
            assert!(found.contains(expected), "{body}: {found}");
        }
    }

    #[test]
    fn in_a_stream_other_messages_are_let_by() {
        let piece = |text: &'static str| in_event(Event::parse(text.as_bytes()), 7, |_| ());
        for skipped in [
            ": comment\n\n",
            "id: 1\ndata:\n\n",
            "event: other\ndata: nonsense\n\n",
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n",
            "data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\n",
        ] {
            assert_eq!(piece(skipped), Ok(None), "{skipped}");
        }
        let ours = "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":7,\"result\":{}}\n\n";
        assert!(piece(ours).expect("JSON-RPC").is_some());
        assert!(piece("data: nonsense\n\n").is_err());
    }
}
