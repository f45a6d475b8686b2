//! The head of a message as it came: it goes on as it is where it can, and tells how names were spelt where
//! it cannot.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Header;

/// The head of a message, byte by byte, and where its headers stand.
#[derive(Clone, Debug)]
pub(crate) struct RawHead {
    text: Bytes,
    fields: Box<[Field]>,
    /// The lines that are its connection's alone; where there are none, the empty place before its end. `None`
    /// if it takes more than to leave these out.
    hop: Option<Range<usize>>,
}

/// Where a header stands.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: Place,
    value: Place,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// The place of a part, which is nowhere if it is empty.
    fn of(part: &[u8], text: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        // A head is no longer than the reader's limits.
        let place = |at: usize| u32::try_from(at).unwrap_or_default();
        Self { start: place(start), end: place(start.wrapping_add(part.len())) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }
}

impl RawHead {
    /// A head with these headers, which stand in it. The length is that of its first line, if that is written
    /// as one writes it.
    pub(super) fn new(text: Bytes, first_line: Option<usize>, headers: &[Header<'_>]) -> Self {
        let field = |header: &Header<'_>| Field {
            name: Place::of(header.name.as_bytes(), &text),
            value: Place::of(header.value, &text),
        };
        let fields = headers.iter().map(field).collect();
        let hop = first_line.and_then(|length| hop(&text, length, headers));
        Self { text, fields, hop }
    }

    /// Whether it can go on as it is, but for the lines that are its connection's alone.
    pub(crate) fn can_go_on(&self) -> bool {
        self.hop.is_some()
    }

    /// What goes on of it. More headers can come between the two parts.
    pub(super) fn onwards(&self) -> Option<(&[u8], &[u8])> {
        let hop = self.hop.as_ref()?;
        Some((&self.text[..hop.start], &self.text[hop.end..]))
    }

    /// The values of that name, in the order in which they stand.
    pub(crate) fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let name = name.as_str().as_bytes();
        let is_it = move |field: &&Field| {
            field.name.len() == name.len() && self.at(field.name).eq_ignore_ascii_case(name)
        };
        self.fields.iter().filter(is_it).map(|field| self.at(field.value))
    }

    /// The first value of that name.
    pub(crate) fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        self.piece(self.values(name).next()?)
    }

    /// All headers.
    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let name = HeaderName::from_bytes(self.at(field.name)).ok();
            // What the reader of heads takes for a header is one.
            if let Some((name, value)) = name.zip(self.piece(self.at(field.value))) {
                map.append(name, value);
            }
        }
        map
    }

    /// A value that is a piece of this text.
    fn piece(&self, value: &[u8]) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.text.slice_ref(value)).ok()
    }

    fn at(&self, place: Place) -> &[u8] {
        self.text.get(place.range()).unwrap_or_default()
    }
}

/// The lines of the connection alone. `None` unless every line is exactly `NAME: VALUE` with CR and LF, these
/// lines stand together, and nothing else has to change where they are left out (RFC 9110, section 7.6.1).
fn hop(text: &[u8], first_line: usize, headers: &[Header<'_>]) -> Option<Range<usize>> {
    let begins = |part: &[u8]| part.as_ptr().addr().checked_sub(text.as_ptr().addr());
    let has = |at: usize, bytes: &[u8]| text.get(at..at + bytes.len()) == Some(bytes);
    if !has(first_line.checked_sub(2)?, b"\r\n") {
        return None;
    }
    let (mut line, mut hop) = (first_line, None);
    for header in headers {
        let colon = line + header.name.len();
        let end = colon + 2 + header.value.len();
        let is_usual = begins(header.name.as_bytes()) == Some(line)
            && begins(header.value) == Some(colon + 2)
            && has(colon, b": ")
            && has(end, b"\r\n");
        if !is_usual {
            return None;
        }
        let next = end + 2;
        if is_of_connection(header)? {
            let Range { start, end } = hop.unwrap_or(line..line);
            if end != line {
                return None;
            }
            hop = Some(start..next);
        }
        line = next;
    }
    (has(line, b"\r\n") && text.len() == line + 2).then(|| hop.unwrap_or(line..line))
}

/// Whether a header is its connection's alone. `None` if others are concerned where it is left out.
fn is_of_connection(header: &Header<'_>) -> Option<bool> {
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    match header.name.len() {
        2 if is("te") => None,
        7 if is("upgrade") => Some(true),
        10 if is("keep-alive") => Some(true),
        10 if is("connection") => {
            let is_simple = [&b"keep-alive"[..], b"close"];
            is_simple.iter().any(|word| header.value.eq_ignore_ascii_case(word)).then_some(true)
        }
        16 if is("proxy-connection") => Some(true),
        17 if is("transfer-encoding") => None,
        _ => Some(false),
    }
}

/// Finds how names were spelt. Most are asked for in the order in which they stand.
pub(super) struct Spelt<'a> {
    head: Option<&'a RawHead>,
    /// The header to look at next.
    next: usize,
}

impl<'a> Spelt<'a> {
    pub(super) fn by(head: Option<&'a RawHead>) -> Self {
        Self { head, next: 0 }
    }

    /// The name of a header as it was spelt, or else in small letters.
    pub(super) fn name(&mut self, name: &'a HeaderName) -> &'a [u8] {
        let plain = name.as_str().as_bytes();
        let Some(head) = self.head else { return plain };
        let names = || head.fields.iter().map(|field| head.at(field.name)).enumerate();
        let is_it = |(_, spelt): &(usize, &[u8])| spelt.eq_ignore_ascii_case(plain);
        let found = names().skip(self.next).find(is_it).or_else(|| names().find(is_it));
        let Some((place, spelt)) = found else { return plain };
        self.next = place + 1;
        spelt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_LINE: &str = "GET / HTTP/1.1\r\n";

    fn head(lines: &str) -> RawHead {
        let text = Bytes::from(format!("{FIRST_LINE}{lines}\r\n"));
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&text).expect("a head");
        RawHead::new(text.clone(), Some(FIRST_LINE.len()), parsed.headers)
    }

    /// What goes on of a head with these lines, if it can.
    fn onwards(lines: &str) -> Option<String> {
        let head = head(lines);
        let (start, end) = head.onwards()?;
        let lines = [&start[FIRST_LINE.len()..], end].concat();
        Some(String::from_utf8(lines).expect("it was text"))
    }

    #[test]
    fn its_headers_can_be_looked_at_and_made_a_map_of() {
        let head = head("Host: a\r\nX-Two:1\r\nx-two: \t 2\u{e4} \r\nEmpty:\r\n");
        let two = HeaderName::from_static("x-two");
        let empty = HeaderName::from_static("empty");
        let expected: [&[u8]; 2] = [b"1", "2\u{e4}".as_bytes()];
        assert_eq!(head.values(&two).collect::<Vec<_>>(), expected);
        assert_eq!(head.values(&empty).collect::<Vec<_>>(), [b""]);
        assert_eq!(head.values(&http::header::ACCEPT).count(), 0);
        let map = head.to_map();
        let values: Vec<_> = map.get_all(two).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!((values, map.len()), (expected.to_vec(), 4));
        assert_eq!((&map["host"], &map[empty]), (&"a".parse().unwrap(), &"".parse().unwrap()));
    }

    #[test]
    fn names_are_told_as_they_were_spelt() {
        let head = head("HOST: a\r\nX-Two: 1\r\nx-TWO: 2\r\n");
        let two = HeaderName::from_static("x-two");
        let other = HeaderName::from_static("other");
        let mut spelt = Spelt::by(Some(&head));
        let names = [&two, &two, &http::header::HOST, &two, &other].map(|name| spelt.name(name));
        let expected: [&[u8]; 5] = [b"X-Two", b"x-TWO", b"HOST", b"X-Two", b"other"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_head_goes_on_without_the_lines_of_its_connection() {
        for (lines, left) in [
            ("", "\r\n"),
            ("Host: a\r\n", "Host: a\r\n\r\n"),
            ("Host: a\r\nconnection: Keep-Alive\r\n", "Host: a\r\n\r\n"),
            (
                "A: 1\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nB: 2\r\n",
                "A: 1\r\nB: 2\r\n\r\n",
            ),
            ("Proxy-Connection: x\r\nUpgrade: h2c\r\nB: 2\r\n", "B: 2\r\n\r\n"),
        ] {
            assert_eq!(onwards(lines).as_deref(), Some(left), "{lines:?}");
        }
    }

    #[test]
    fn a_head_that_takes_more_than_that_does_not_go_on_as_it_is() {
        for lines in [
            "Connection: x-mine\r\nX-Mine: 1\r\n",
            "Connection: close\r\nA: 1\r\nKeep-Alive: timeout=5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "TE: trailers\r\n",
            "A:1\r\n",
            "A:  1\r\n",
            "A: 1 \r\n",
            "A: 1\n",
            "A:\r\n",
        ] {
            assert_eq!(onwards(lines), None, "{lines:?}");
        }
    }
}
