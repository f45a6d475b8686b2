//! Server-sent events: where one event ends in a stream of bytes, and what it says.
//!
//! The format is the WHATWG HTML standard's, section 9.2.6 (interpreting an event stream).

use bytes::{Bytes, BytesMut};

/// Cuts a stream into events at their exact byte boundaries: the pieces, put together, are the
/// stream.
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    /// How far the buffer has been looked at.
    scanned: usize,
    /// Whether the line that is being looked at is still empty.
    line_is_empty: bool,
    /// Whether the last byte was a CR, so that an LF belongs to it.
    after_cr: bool,
    /// Whether this stream ends its lines with CR LF, so that a blank line's LF is worth a wait.
    crlf: bool,
    limit: usize,
    oversized: bool,
}

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// One whole event (or comment), with the blank line that ends it.
    Event(Bytes),
    /// A part of an event that is larger than the splitter's limit. It can only be passed on.
    Oversized(Bytes),
}

impl Piece {
    /// Its bytes.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Event(bytes) | Self::Oversized(bytes) => bytes,
        }
    }
}

impl Splitter {
    /// A splitter that holds at most `limit` bytes of an unfinished event.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            line_is_empty: true,
            after_cr: false,
            crlf: false,
            limit,
            oversized: false,
        }
    }

    /// Takes the next chunk of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// What is held of pieces that are not complete yet.
    pub fn unfinished(&self) -> &[u8] {
        &self.buffer
    }

    /// The next piece that is complete, if there is one.
    pub fn next_piece(&mut self) -> Option<Piece> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                self.crlf = true;
                self.scanned += 1;
                continue;
            }
            let ends_line = byte == b'\n' || byte == b'\r';
            if ends_line && self.line_is_empty {
                match self.take_event(byte) {
                    Some(event) => return Some(event),
                    None => break,
                }
            }
            self.after_cr = byte == b'\r';
            self.line_is_empty = ends_line;
            self.scanned += 1;
        }
        if self.buffer.len() > self.limit {
            self.oversized = true;
            self.scanned = 0;
            return Some(Piece::Oversized(self.buffer.split().freeze()));
        }
        None
    }

    /// What is left when the stream has ended: an unfinished event, or nothing.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        (!self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    fn take_event(&mut self, terminator: u8) -> Option<Piece> {
        let mut end = self.scanned + 1;
        if terminator == b'\r' {
            match self.buffer.get(end) {
                Some(b'\n') => end += 1,
                None if self.crlf => return None, // its LF is on the way
                None => self.after_cr = true,
                Some(_) => {}
            }
        }
        self.scanned = 0;
        self.line_is_empty = true;
        let bytes = self.buffer.split_to(end).freeze();
        if std::mem::take(&mut self.oversized) {
            return Some(Piece::Oversized(bytes));
        }
        Some(Piece::Event(bytes))
    }
}

/// What one event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event:`, where given.
    pub event: Option<String>,
    /// The `data:` lines, joined by line feeds; `None` for a comment or a bare id.
    pub data: Option<String>,
    /// `id:`, where given; an id with a NUL is ignored.
    pub id: Option<String>,
    /// `retry:` in milliseconds, where it is a number.
    pub retry: Option<u64>,
}

impl Event {
    /// Reads the bytes of one event. Invalid UTF-8 becomes U+FFFD, as the standard says.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut event = Self::default();
        for line in text.split('\n').flat_map(|line| line.split('\r')) {
            event.read_line(line);
        }
        event
    }

    fn read_line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => self.retry = value.parse().ok(),
            _ => {}
        }
    }
}

/// The same event with other data, which may be any bytes but line feeds are several lines; its other
/// fields stay as they were. `None` where it has no data.
pub fn with_data(event: &[u8], data: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(event.len() + data.len());
    let mut is_written = false;
    for line in lines(event) {
        if field(line) != b"data" {
            out.extend_from_slice(line);
        } else if !std::mem::replace(&mut is_written, true) {
            for part in data.split(|byte| *byte == b'\n') {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(part);
                out.extend_from_slice(b"\n");
            }
        }
    }
    is_written.then(|| out.freeze())
}

/// The same event with another value of this field, or without it. What it has of the field stands at
/// the front afterwards, once.
pub fn with_field(event: &[u8], name: &str, value: Option<&str>) -> Bytes {
    let mut out = BytesMut::with_capacity(event.len() + 40);
    if let Some(value) = value {
        out.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    for line in lines(event).filter(|line| field(line) != name.as_bytes()) {
        out.extend_from_slice(line);
    }
    out.freeze()
}

/// The lines, with what ends them: LF, CR, or CR LF.
fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = event;
    std::iter::from_fn(move || {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let end = match end {
            Some(end) if rest[end..].starts_with(b"\r\n") => end + 2,
            Some(end) => end + 1,
            None => rest.len(),
        };
        let (line, others) = rest.split_at(end);
        rest = others;
        (!line.is_empty()).then_some(line)
    })
}

/// The name of the line's field; empty for a comment and a blank line.
fn field(line: &[u8]) -> &[u8] {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let end = line.iter().position(|byte| matches!(byte, b':' | b'\n' | b'\r'));
    &line[..end.unwrap_or(line.len())]
}

/// Writes one `message` event. `data` is JSON, so that it has no line feed of its own.
pub fn encode(id: Option<&str>, data: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 40);
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"event: message\n");
    for line in data.split('\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
    out.freeze()
}

/// An event that says nothing but its id and, where given, after how many milliseconds to come back: its
/// data is empty (MCP 2025-11-25, basic/transports, sending messages to the server).
pub fn encode_id(id: &str, retry: Option<u32>) -> Bytes {
    let retry = retry.map_or_else(String::new, |retry| format!("retry: {retry}\n"));
    format!("id: {id}\n{retry}data:\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::new(1024);
        let mut pieces = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(piece) = splitter.next_piece() {
                pieces.push(String::from_utf8_lossy(&piece.into_bytes()).into_owned());
            }
        }
        pieces
    }

    #[test]
    fn a_blank_line_ends_an_event_in_all_three_line_endings() {
        assert_eq!(split(&[b"data: 1\n\ndata: 2\n\n"]), ["data: 1\n\n", "data: 2\n\n"]);
        assert_eq!(split(&[b"data: 1\r\n\r\n: c\r\n\r\n"]), ["data: 1\r\n\r\n", ": c\r\n\r\n"]);
        assert_eq!(split(&[b"data: 1\r\rdata: 2\r\r"]), ["data: 1\r\r", "data: 2\r\r"]);
    }

    #[test]
    fn an_event_comes_out_as_soon_as_its_last_byte_is_in() {
        assert_eq!(split(&[b"data: 1\n", b"\n"]), ["data: 1\n\n"]);
        assert_eq!(split(&[b"data: 1\r\n\r", b"\n"]), ["data: 1\r\n\r\n"]);
        assert_eq!(split(&[b"data: 1\r\r"]), ["data: 1\r\r"]);
        assert_eq!(split(&[b"data: 1\n"]), [""; 0]);
    }

    #[test]
    fn an_event_over_the_limit_is_passed_on_in_parts_and_the_next_is_whole_again() {
        let mut splitter = Splitter::new(8);
        splitter.push(b"data: 123456");
        assert_eq!(splitter.next_piece(), Some(Piece::Oversized("data: 123456".into())));
        splitter.push(b"789\n\nid: 1\n\n");
        assert_eq!(splitter.next_piece(), Some(Piece::Oversized("789\n\n".into())));
        assert_eq!(splitter.next_piece(), Some(Piece::Event("id: 1\n\n".into())));
    }

    #[test]
    fn what_waits_for_the_lf_of_its_end_is_held_within_the_limit_too() {
        let mut splitter = Splitter::new(8);
        splitter.push(b"id: 1\r\n\r\n");
        assert_eq!(splitter.next_piece(), Some(Piece::Event("id: 1\r\n\r\n".into())));
        splitter.push(b"data: 123456\r\n\r");
        let start = Piece::Oversized("data: 123456\r\n\r".into());
        assert_eq!(splitter.next_piece(), Some(start));
        splitter.push(b"\nid: 2\r\n\r\n");
        assert_eq!(splitter.next_piece(), Some(Piece::Oversized("\n".into())));
        assert_eq!(splitter.next_piece(), Some(Piece::Event("id: 2\r\n\r\n".into())));
    }

    #[test]
    fn an_event_says_what_its_lines_say() {
        let event = Event::parse(b": hi\nid: 7\nevent:message\ndata: {\ndata: }\nretry: 50\n\n");
        let expected = Event {
            event: Some("message".into()),
            data: Some("{\n}".into()),
            id: Some("7".into()),
            retry: Some(50),
        };
        assert_eq!(event, expected);
        assert_eq!(Event::parse(b": only a comment\n\n"), Event::default());
    }

    #[test]
    fn what_is_encoded_is_parsed_back() {
        let event = Event::parse(&encode(Some("a-1"), r#"{"x":1}"#));
        assert_eq!((event.id.as_deref(), event.data.as_deref()), (Some("a-1"), Some(r#"{"x":1}"#)));
    }

    #[test]
    fn an_event_gets_other_data_and_keeps_the_rest() {
        let event = b": c\r\nid: 1\r\ndata: a\r\ndata: b\r\nevent: message\r\n\r\n";
        let altered = with_data(event, b"x").expect("it has data");
        assert_eq!(&altered[..], b": c\r\nid: 1\r\ndata: x\nevent: message\r\n\r\n");
        assert_eq!(with_data(b"id: 1\n\n", b"x"), None);
    }

    #[test]
    fn a_field_is_set_or_removed() {
        let event = b"id: 1\ndata: a\nid: 2\n\n";
        assert_eq!(&with_field(event, "id", None)[..], b"data: a\n\n");
        assert_eq!(&with_field(event, "id", Some("9"))[..], b"id: 9\ndata: a\n\n");
        assert_eq!(
            &with_field(event, "retry", Some("5"))[..],
            b"retry: 5\nid: 1\ndata: a\nid: 2\n\n"
        );
    }

    proptest! {
        #[test]
        fn the_pieces_put_together_are_the_stream(
            stream in prop::collection::vec(prop::sample::select(b"ab:\n\r \xff".to_vec()), 0..200),
            cuts in prop::collection::vec(1usize..20, 0..40),
            limit in 1usize..64,
        ) {
            let mut splitter = Splitter::new(limit);
            let mut out = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (chunk, tail) = rest.split_at(cut.min(rest.len()));
                rest = tail;
                splitter.push(chunk);
                while let Some(piece) = splitter.next_piece() {
                    out.extend_from_slice(&piece.into_bytes());
                }
            }
            out.extend(splitter.rest().unwrap_or_default());
            prop_assert_eq!(out, stream);
        }
    }
}
