//! A glance at a message: what can be told of an ordinary request at a fraction of what a look costs.

use super::envelope::Kind;
use crate::operation::OperationId;

/// How deep values may be nested until a glance gives up.
const DEEPEST: u32 = 64;

/// What a glance tells of a request or a notification, in the words of
/// [`Message`](super::envelope::Message).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// What it is: a request or a notification.
    pub kind: Kind,
    /// The id exactly as it was written.
    pub id: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// `params.name`, or else `params.uri`.
    pub name: Option<&'a str>,
    /// The version that `params._meta` names.
    pub meta_version: Option<&'a str>,
    /// Name and version of the client, from `params._meta`.
    pub client: Option<(&'a str, &'a str)>,
    /// The trace id of `params._meta.traceparent`.
    pub operation: Option<OperationId>,
}

#[derive(Default)]
struct Outline<'a> {
    version: Option<&'a str>,
    id: Option<&'a str>,
    method: Option<&'a str>,
    has_params: bool,
}

#[derive(Default)]
struct Params<'a> {
    name: Option<&'a str>,
    uri: Option<&'a str>,
    has_meta: bool,
}

#[derive(Default)]
struct Meta<'a> {
    traceparent: Option<&'a str>,
    version: Option<&'a str>,
    is_of_client: bool,
    client_name: &'a str,
    client_version: &'a str,
}

impl<'a> Glance<'a> {
    /// Glances at a body. `None` says nothing about it but that it takes
    /// [`Envelope::peek`](super::envelope::Envelope::peek) to tell what it is: a batch, an answer, an
    /// `initialize`, anything with escapes where they matter, or what is no message at all.
    pub fn at(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { text: std::str::from_utf8(body).ok()?, at: 0 };
        let (mut outline, mut params, mut meta) = Default::default();
        reader.space();
        reader.outline(&mut outline, &mut params, &mut meta)?;
        reader.space();
        if reader.at < body.len() || outline.version != Some("2.0") {
            return None;
        }
        let kind = if outline.id.is_some() { Kind::Request } else { Kind::Notification };
        Some(Self {
            kind,
            id: outline.id,
            method: outline.method?,
            name: params.name.or(params.uri),
            meta_version: meta.version,
            client: meta.is_of_client.then_some((meta.client_name, meta.client_version)),
            operation: meta.traceparent.and_then(OperationId::from_traceparent),
        })
    }
}

/// Keeps what is there once.
fn once<'a>(place: &mut Option<&'a str>, value: &'a str) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// What has been there once.
fn first(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}

/// The bytes that end a string, or cannot stand in one as they are.
static IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize;
        byte += 1;
    }
    special
};

/// Reads JSON (RFC 8259), and takes nothing that is not.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_it = self.byte() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn outline(
        &mut self,
        outline: &mut Outline<'a>,
        params: &mut Params<'a>,
        meta: &mut Meta<'a>,
    ) -> Option<()> {
        self.object(|reader, key| match key {
            "jsonrpc" => once(&mut outline.version, reader.said()?),
            "id" => once(&mut outline.id, reader.part(|reader| reader.value(1))?),
            "method" => once(&mut outline.method, reader.said()?),
            "params" => {
                first(&mut outline.has_params)?;
                reader.params(params, meta)
            }
            "result" | "error" => None,
            _ => reader.value(1),
        })
    }

    fn params(&mut self, params: &mut Params<'a>, meta: &mut Meta<'a>) -> Option<()> {
        self.object(|reader, key| match key {
            "name" => once(&mut params.name, reader.said()?),
            "uri" => once(&mut params.uri, reader.said()?),
            "_meta" => {
                first(&mut params.has_meta)?;
                reader.meta(meta)
            }
            "protocolVersion" | "clientInfo" => None,
            _ => reader.value(2),
        })
    }

    fn meta(&mut self, meta: &mut Meta<'a>) -> Option<()> {
        self.object(|reader, key| match key {
            "traceparent" => once(&mut meta.traceparent, reader.said()?),
            "io.modelcontextprotocol/protocolVersion" => once(&mut meta.version, reader.said()?),
            "io.modelcontextprotocol/clientInfo" => {
                first(&mut meta.is_of_client)?;
                (meta.client_name, meta.client_version) = reader.implementation()?;
                Some(())
            }
            _ => reader.value(3),
        })
    }

    fn implementation(&mut self) -> Option<(&'a str, &'a str)> {
        let (mut name, mut version) = (None, None);
        self.object(|reader, key| match key {
            "name" => once(&mut name, reader.said()?),
            "version" => once(&mut version, reader.said()?),
            _ => reader.value(4),
        })?;
        Some((name.unwrap_or_default(), version.unwrap_or_default()))
    }

    /// Reads an object. What it is given reads each value, and is told its key. A key with escapes may say
    /// anything, so that it is none.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        if !self.takes(b'{') {
            return None;
        }
        self.space();
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let key = self.said()?;
            self.space();
            if !self.takes(b':') {
                return None;
            }
            self.space();
            member(self, key)?;
            if !self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    /// Reads a string in which nothing is escaped.
    fn said(&mut self) -> Option<&'a str> {
        if !self.takes(b'"') {
            return None;
        }
        let start = self.at;
        let end = start + self.special()?;
        self.at = end + 1;
        if self.text.as_bytes()[end] == b'"' { self.text.get(start..end) } else { None }
    }

    /// How far the next byte is that is special in a string.
    fn special(&self) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        rest.iter().position(|byte| IS_SPECIAL[usize::from(*byte)])
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.at += 1;
        self.space();
        if self.takes(b']') {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if !self.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Whether another one comes, or the end.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        self.space();
        if self.takes(b',') {
            self.space();
            return Some(true);
        }
        self.takes(end).then_some(false)
    }

    fn part(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        let start = self.at;
        read(self)?;
        self.text.get(start..self.at)
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.byte()? {
            b'"' => self.string(),
            b'{' => self.object(|reader, _| reader.value(depth + 1)),
            b'[' => self.array(depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let is_it = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_it.then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if !self.takes(b'"') {
            return None;
        }
        loop {
            self.at += self.special()? + 1;
            match self.text.as_bytes()[self.at - 1] {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let kind = self.byte()?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.takes(b'e') || self.takes(b'E') {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()?;
        }
        Some(())
    }

    /// One digit at least.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::super::envelope::Envelope;
    use super::*;

    const TRACE: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

    /// Asserts that a look says of a body what a glance says, if that says anything.
    fn agree(body: &[u8]) -> bool {
        let Some(glance) = Glance::at(body) else { return false };
        let looked = Envelope::peek(body);
        let Ok(Envelope::Single(message)) = looked else { panic!("{looked:?} is {glance:?}") };
        assert_eq!(glance.kind, message.kind);
        assert_eq!(glance.id, message.id.map(RawValue::get));
        assert_eq!(Some(glance.method), message.method.as_deref());
        assert_eq!(glance.name, message.name.as_deref());
        assert_eq!(glance.meta_version, message.meta_version.as_deref());
        let client = message.client();
        let client = client.as_ref().map(|(name, version)| (&**name, &**version));
        assert_eq!(glance.client, client);
        assert_eq!(glance.operation, message.operation);
        true
    }

    #[test]
    fn an_ordinary_request_is_told_at_a_glance() {
        let info = r#"{"name":"inspector","version":"1"}"#;
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(),
            r#" { "jsonrpc" : "2.0" , "method" : "notifications/initialized" } "#.to_owned(),
            r#"{"params":{"arguments":{"x":[1.5e3,-0,{"y":null}],"s":"\u00e9\n"},"name":"fast-echo"},"method":"tools/call","id":"a","jsonrpc":"2.0"}"#.to_owned(),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"uri":"app://x","_meta":{{"traceparent":"{TRACE}","progressToken":1}}}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{info}}}}}}}"#),
        ] {
            assert!(agree(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_takes_a_look() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for body in [
            "",
            "{",
            "[]",
            r#"{"jsonrpc":"2.0","method":"x"} x"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1}"#,
            r#"{"jsonrpc":"2.0","method":"x","method":"y"}"#,
            r#"{"jsonrpc":"2.0","method":"tools\/call"}"#,
            r#"{"jsonrpc":"2.0","method":"x","\u0069d":1}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":[1]}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":{"name":7}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{}}}"#,
            r#"{"jsonrpc":"2.0","id":01,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":1.,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":tru,"method":"x"}"#,
            &format!(r#"{{"jsonrpc":"2.0","id":{deep},"method":"x"}}"#),
        ] {
            assert!(!agree(body.as_bytes()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_glance_says_what_a_look_says(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", " ", "\"", "\\", "\\u00e9", "1", "-0.5e+7", "null",
                "\"jsonrpc\":\"2.0\"", "\"method\":\"x\"", "\"id\":1", "\"params\":{", "\"name\":\"y\"",
                "\"uri\":\"z\"", "\"_meta\":{", "\"traceparent\":\"t\"", "\"error\":{}",
                "\"io.modelcontextprotocol/clientInfo\":{", "\"version\":\"v\"",
            ]), 0..14)
        ) {
            let body = format!("{{{}}}", pieces.concat());
            agree(body.as_bytes());
        }

        #[test]
        fn whatever_is_changed_in_a_request_a_glance_says_what_a_look_says(
            place in 0..180_usize, byte in any::<u8>()
        ) {
            let mut body = format!(
                r#"{{"jsonrpc":"2.0","id":-1.5e3,"method":"tools/call","params":{{"name":"a","arguments":{{"b":[true,"\u00e9"]}},"_meta":{{"traceparent":"{TRACE}"}}}}}}"#
            ).into_bytes();
            let place = place % body.len();
            body[place] = byte;
            agree(&body);
        }
    }
}
