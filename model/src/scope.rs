//! What a fault matches: a scope is compared with a subject, the thing that just happened.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::mcp::envelope::Kind;

/// A pattern with `*` (anything) and `?` (any one character).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Glob(WildMatch);

impl Glob {
    /// Whether the whole text fits the pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

impl From<String> for Glob {
    fn from(pattern: String) -> Self {
        Self(WildMatch::new(&pattern))
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0.to_string()
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_string())
    }
}

/// Which way traffic flows: from the client (`request`) or to it (`response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server, before the server has seen it.
    Request,
    /// From the server to the client, after the server has executed it.
    Response,
}

/// An HTTP header's name, checked on entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderKey(String);

/// A text that is not a header name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a header name (RFC 9110, section 5.1)")]
pub struct NotAHeaderName(String);

impl TryFrom<String> for HeaderKey {
    type Error = NotAHeaderName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match HeaderName::try_from(text.as_str()) {
            Ok(name) => Ok(Self(name.as_str().to_owned())),
            Err(_) => Err(NotAHeaderName(text)),
        }
    }
}

impl From<HeaderKey> for String {
    fn from(key: HeaderKey) -> Self {
        key.0
    }
}

impl HeaderKey {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a fault matches. Every field that is given must fit; an empty scope fits everything.
///
/// A batch fits when one of its messages fits all message fields at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// JSON-RPC method by glob: `tools/call`, `notifications/*`. The answer to a request has the
    /// request's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Glob>,
    /// Name of the tool of a `tools/call`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Glob>,
    /// `Mcp-Session-Id`, by glob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Glob>,
    /// Before (`request`) or after (`response`) the server has executed. Default: `request` for
    /// exchanges; the messages of a stream always flow to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// HTTP method, compared exactly: `POST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// Request headers by name; one of the values under the name must fit the glob.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<HeaderKey, Glob>,
}

/// One JSON-RPC message, as far as scopes look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSubject<'a> {
    /// Request, notification, result or error.
    pub kind: Kind,
    /// Its method; for an answer, the method of the request that it answers, where that is known.
    pub method: Option<Cow<'a, str>>,
    /// The tool's, prompt's or resource's name.
    pub name: Option<Cow<'a, str>>,
}

/// What just happened and may be matched.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The way it flows.
    pub direction: Direction,
    /// HTTP method of the request.
    pub http_method: &'a str,
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// `Mcp-Session-Id` of the request.
    pub session: Option<&'a str>,
    /// The messages; empty where the body is not (or not readable as) JSON-RPC.
    pub messages: &'a [MessageSubject<'a>],
}

impl Scope {
    /// Whether the subject fits. `default_direction` is used where the scope names none.
    pub fn matches(&self, subject: &Subject<'_>, default_direction: Direction) -> bool {
        self.direction.unwrap_or(default_direction) == subject.direction
            && fits_exactly(self.http_method.as_deref(), subject.http_method)
            && fits(self.session.as_ref(), subject.session)
            && self.header.iter().all(|(name, glob)| has_header(subject.headers, name, glob))
            && self.fits_messages(subject.messages)
    }

    /// Whether the scope asks for something that only an exchange has. A connection has no method,
    /// tool, session, or header.
    pub fn needs_an_exchange(&self) -> bool {
        *self != Self::default()
    }

    fn fits_messages(&self, messages: &[MessageSubject<'_>]) -> bool {
        (self.method.is_none() && self.tool.is_none())
            || messages.iter().any(|message| self.fits_message(message))
    }

    fn fits_message(&self, message: &MessageSubject<'_>) -> bool {
        let method = message.method.as_deref();
        let tool = message.name.as_deref().filter(|_| method == Some("tools/call"));
        fits(self.method.as_ref(), method) && fits(self.tool.as_ref(), tool)
    }
}

fn fits(glob: Option<&Glob>, text: Option<&str>) -> bool {
    glob.is_none_or(|glob| text.is_some_and(|text| glob.matches(text)))
}

fn fits_exactly(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

fn has_header(headers: &HeaderMap, name: &HeaderKey, glob: &Glob) -> bool {
    let values = headers.get_all(name.as_str());
    values.iter().any(|value| value.to_str().is_ok_and(|text| glob.matches(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: &'static str) -> MessageSubject<'static> {
        MessageSubject {
            kind: Kind::Request,
            method: Some("tools/call".into()),
            name: Some(tool.into()),
        }
    }

    fn check(scope: &str, messages: &[MessageSubject<'_>], expected: bool) {
        let scope: Scope = serde_json::from_str(scope).expect("a scope");
        let mut headers = HeaderMap::new();
        headers.append("x-team", "blue".parse().expect("a value"));
        headers.append("x-team", "red".parse().expect("a value"));
        let subject = Subject {
            direction: Direction::Request,
            http_method: "POST",
            headers: &headers,
            session: Some("abc-1"),
            messages,
        };
        assert_eq!(scope.matches(&subject, Direction::Request), expected, "{scope:?}");
    }

    #[test]
    fn every_field_that_is_given_must_fit() {
        let echo = [call("fast-echo")];
        for (scope, expected) in [
            ("{}", true),
            (r#"{"method":"tools/*"}"#, true),
            (r#"{"method":"tools/list"}"#, false),
            (r#"{"tool":"fast-*"}"#, true),
            (r#"{"tool":"slow-*"}"#, false),
            (r#"{"session":"abc-?"}"#, true),
            (r#"{"session":"xyz"}"#, false),
            (r#"{"direction":"request"}"#, true),
            (r#"{"direction":"response"}"#, false),
            (r#"{"http_method":"POST"}"#, true),
            (r#"{"http_method":"GET"}"#, false),
            (r#"{"header":{"X-Team":"r*"}}"#, true),
            (r#"{"header":{"x-team":"green"}}"#, false),
            (r#"{"header":{"x-other":"*"}}"#, false),
            (r#"{"tool":"fast-*","http_method":"GET"}"#, false),
        ] {
            check(scope, &echo, expected);
        }
    }

    #[test]
    fn a_batch_fits_when_one_message_fits_all_fields_at_once() {
        let list = MessageSubject {
            kind: Kind::Request,
            method: Some("tools/list".into()),
            name: Some("x".into()),
        };
        let batch = [list, call("slow-computation")];
        check(r#"{"tool":"slow-*"}"#, &batch, true);
        check(r#"{"method":"tools/list","tool":"slow-*"}"#, &batch, false);
    }

    #[test]
    fn a_tool_is_the_name_of_a_call_only() {
        let prompt = MessageSubject {
            kind: Kind::Request,
            method: Some("prompts/get".into()),
            name: Some("greeting".into()),
        };
        check(r#"{"tool":"greeting"}"#, &[prompt], false);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(serde_json::from_str::<Scope>(r#"{"metod":"x"}"#).is_err());
        assert!(serde_json::from_str::<Scope>(r#"{"header":{"a b":"x"}}"#).is_err());
    }
}
