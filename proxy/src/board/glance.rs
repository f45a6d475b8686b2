//! What can be told at a glance of whether a fault may act, so that many faults that ask for something
//! else cost next to nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use squall_model::scope::{Direction, Subject};

use super::LiveFault;

/// A fault of one moment, and what it asks for.
#[derive(Debug)]
pub(super) struct Entry {
    /// What one of the messages has to be called, or its method, as a digest: two texts may share it.
    wants: Option<u64>,
    direction: Direction,
    pub(super) live: Arc<LiveFault>,
}

/// What a subject has of it.
#[derive(Debug)]
pub(super) struct Glance {
    direction: Direction,
    has: Vec<u64>,
}

#[derive(Hash)]
enum Text<'a> {
    Name(&'a str),
    Method(&'a str),
}

fn digest(text: &Text<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    pub(super) fn new(live: Arc<LiveFault>) -> Self {
        let scope = &live.fault.scope;
        let name = scope.only_name().map(|name| digest(&Text::Name(&name)));
        let method = || scope.only_method().map(|method| digest(&Text::Method(&method)));
        Self { wants: name.or_else(method), direction: live.fault.direction(), live }
    }
}

impl Glance {
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let mut has = Vec::with_capacity(2 * subject.messages.len());
        for message in subject.messages {
            has.extend(message.name.as_deref().map(|name| digest(&Text::Name(name))));
            has.extend(message.method.as_deref().map(|method| digest(&Text::Method(method))));
        }
        Self { direction: subject.direction, has }
    }

    /// Whether the fault is worth asking.
    pub(super) fn may_fit(&self, entry: &Entry) -> bool {
        entry.direction == self.direction
            && entry.wants.is_none_or(|wants| self.has.contains(&wants))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use squall_model::chance::Seed;
    use squall_model::mcp::envelope::Kind;
    use squall_model::scope::MessageSubject;

    use super::*;
    use crate::board::Board;
    use crate::board::tests::post;

    fn entry(scope: &str) -> Entry {
        let fault = format!(r#"{{"id":"f","match":{scope},"effect":{{"drop":{{}}}}}}"#);
        let live = Board::new(Seed::new(1)).add(serde_json::from_str(&fault).expect(scope));
        Entry::new(live.expect("an empty board"))
    }

    fn look(entry: &Entry, messages: &[(&'static str, Option<&'static str>)]) -> (bool, bool) {
        let message = |(method, name): &(&'static str, Option<&'static str>)| MessageSubject {
            kind: Kind::Request,
            method: Some((*method).into()),
            name: name.map(Into::into),
        };
        let messages: Vec<_> = messages.iter().map(message).collect();
        let headers = HeaderMap::new();
        let subject = post(&headers, &messages);
        (Glance::of(&subject).may_fit(entry), entry.live.fault.matches(&subject))
    }

    #[test]
    fn what_fits_is_never_passed_over() {
        let scopes = [
            "{}",
            r#"{"tool":"x"}"#,
            r#"{"tool":"*"}"#,
            r#"{"tool":"?"}"#,
            r#"{"method":"tools/call"}"#,
            r#"{"method":"tools/*"}"#,
            r#"{"prompt":"x"}"#,
            r#"{"resource":"x","method":"resources/read"}"#,
        ];
        let messages: [&[_]; 5] = [
            &[],
            &[("tools/call", Some("x"))],
            &[("tools/list", None), ("tools/call", Some("x"))],
            &[("prompts/get", Some("x"))],
            &[("resources/read", Some("x"))],
        ];
        for scope in scopes {
            for messages in messages {
                let (may_fit, fits) = look(&entry(scope), messages);
                assert!(may_fit || !fits, "{scope}: {messages:?}");
            }
        }
    }

    #[test]
    fn what_asks_for_another_name_method_or_direction_is_passed_over() {
        let call: &[_] = &[("tools/call", Some("x"))];
        for scope in
            [r#"{"tool":"y"}"#, r#"{"method":"tools/list"}"#, r#"{"direction":"response"}"#]
        {
            assert!(!look(&entry(scope), call).0, "{scope}");
        }
    }
}
