//! The heads of messages: read, and written with the names of headers as they were spelt.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use httparse::{Header, Status};
use hyper::ext::ReasonPhrase;
use squall_model::mcp::header::JSON;

use super::Body;
use super::raw_head::{RawHead, Spelt};
use crate::halves::{Answer, Request};
use crate::headers::Headers;
use crate::stream::Incoming;
use crate::upstream::{Outgoing, UpstreamError};

/// Headers of one message; a request with more is not plain, and an answer with more is no answer.
const MOST_HEADERS: usize = 100;
/// Bytes of the name of a header, which no map takes if it is longer.
const LONGEST_NAME: usize = u16::MAX as usize;
/// Bytes of an answer's head.
const LONGEST_HEAD: usize = 256 * 1024;

type Parsed<'b> = [MaybeUninit<Header<'b>>; MOST_HEADERS];

/// A request that is plain.
pub(super) struct PlainRequest {
    pub(super) request: Request,
    /// Whether its client wants to make another one on the connection.
    pub(super) keeps_alive: bool,
}

/// How the body of an answer is delimited (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// An answer's head.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) raw: RawHead,
    pub(super) framing: Framing,
    /// Whether the connection can be used again.
    pub(super) keeps_alive: bool,
    /// What came after it.
    pub(super) rest: Bytes,
}

/// Why a request cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// It is out of the ordinary, as far as one can see.
    NotPlain,
    /// It is plain, but its body is not all there; it would be held until it is.
    Incomplete,
}

/// Takes a request from the beginning of what was read, if it is plain and all there. A JSON body is waited
/// for if it is no longer than the limit.
pub(super) fn take_request(read: &mut BytesMut, limit: usize) -> Result<PlainRequest, Untaken> {
    let all = read.split().freeze();
    match parse_request(&all, limit) {
        Ok((request, length)) => {
            if length < all.len() {
                read.extend_from_slice(&all[length..]);
            }
            Ok(request)
        }
        Err(untaken) => {
            *read = thawed(all);
            Err(untaken)
        }
    }
}

/// The request at the beginning of these bytes, and how many of them it has.
fn parse_request(all: &Bytes, limit: usize) -> Result<(PlainRequest, usize), Untaken> {
    let mut headers: Parsed<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(all, &mut headers);
    let Ok(Status::Complete(length)) = status else { return Err(Untaken::NotPlain) };
    let outline = Outline::of(parsed.headers).filter(|_| parsed.version == Some(1));
    let outline = outline.ok_or(Untaken::NotPlain)?;
    let end = length.saturating_add(outline.length);
    if end > all.len() {
        let is_held = outline.is_json && outline.length <= limit && parsed.method == Some("POST");
        return Err(if is_held { Untaken::Incomplete } else { Untaken::NotPlain });
    }
    let request = request(all, &parsed, length, end).ok_or(Untaken::NotPlain)?;
    Ok((PlainRequest { request, keeps_alive: outline.keeps_alive }, end))
}

fn request(
    all: &Bytes,
    parsed: &httparse::Request<'_, '_>,
    length: usize,
    end: usize,
) -> Option<Request> {
    let (method, target) = (parsed.method?, parsed.path?);
    let uri = Uri::from_maybe_shared(all.slice_ref(target.as_bytes())).ok()?;
    let text = all.slice(..length);
    // An origin is asked for a path (RFC 9112, section 3.2.1).
    let is_usual = text.starts_with(method.as_bytes()) && target.starts_with('/');
    let first_line = method.len() + target.len() + "  HTTP/1.1\r\n".len();
    let raw = RawHead::new(text, is_usual.then_some(first_line), parsed.headers);
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    (method != Method::CONNECT).then(|| Request {
        method,
        uri,
        version: Version::HTTP_11,
        headers: Headers::came(raw),
        extensions: Extensions::new(),
        body: Incoming::Plain(Body::whole(all.slice(length..end))),
    })
}

/// The same bytes, to which more can be added.
fn thawed(bytes: Bytes) -> BytesMut {
    bytes.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(&bytes[..]))
}

/// What the headers of a plain request say of it.
struct Outline {
    /// Bytes of its body.
    length: usize,
    is_json: bool,
    /// Whether its client wants to make another one.
    keeps_alive: bool,
}

impl Outline {
    /// `None` if it is not plain.
    fn of(headers: &[Header<'_>]) -> Option<Self> {
        let mut length = None;
        let (mut is_json, mut keeps_alive) = (false, true);
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                2 if is("te") => return None,
                6 if is("expect") => return None,
                7 if is("upgrade") => return None,
                17 if is("transfer-encoding") => return None,
                12 if is("content-type") => {
                    let start = header.value.get(..JSON.len());
                    is_json =
                        start.is_some_and(|start| start.eq_ignore_ascii_case(JSON.as_bytes()));
                }
                LONGEST_NAME.. => return None,
                // One that says it twice is not plain, whatever it says.
                14 if is("content-length") && length.is_some() => return None,
                14 if is("content-length") => length = Some(digits(header.value)?),
                10 if is("connection") => {
                    keeps_alive &= match header.value {
                        value if value.eq_ignore_ascii_case(b"keep-alive") => true,
                        value if value.eq_ignore_ascii_case(b"close") => false,
                        _ => return None,
                    }
                }
                _ => {}
            }
        }
        let length = usize::try_from(length.unwrap_or_default()).ok()?;
        Some(Self { length, is_json, keeps_alive })
    }
}

/// Takes an answer's head from the beginning of what was read; `None` if more is to come.
pub(super) fn take_response(
    read: &mut BytesMut,
    asked: &Method,
) -> Result<Option<Head>, UpstreamError> {
    let all = read.split().freeze();
    let head = parse_response(&all, asked)?;
    if head.is_none() {
        if all.len() > LONGEST_HEAD {
            return Err(UpstreamError::Invalid);
        }
        *read = thawed(all);
    }
    Ok(head)
}

fn parse_response(all: &Bytes, asked: &Method) -> Result<Option<Head>, UpstreamError> {
    let invalid = UpstreamError::Invalid;
    let mut headers: Parsed<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let status = parser.parse_response_with_uninit_headers(&mut parsed, all, &mut headers);
    let Status::Complete(length) = status.map_err(|_| invalid)? else { return Ok(None) };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| invalid)?;
    if parsed.headers.iter().any(|header| header.name.len() > LONGEST_NAME) {
        return Err(invalid);
    }
    let reason = parsed.reason.filter(|reason| !reason.is_empty());
    let text = all.slice(..length);
    let first_line = "HTTP/1.1 200 \r\n".len() + reason.map_or(0, str::len);
    let is_usual = text.starts_with(b"HTTP/1.1 ");
    let raw = RawHead::new(text, is_usual.then_some(first_line), parsed.headers);
    let reason = reason.filter(|reason| status.canonical_reason() != Some(reason));
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let said = AnswerOutline::of(parsed.headers);
    let is_http10 = parsed.version != Some(1);
    let framing =
        if is_bodiless(asked, status) { Framing::Length(0) } else { said.framing(is_http10)? };
    let keeps_alive = framing != Framing::UntilClose && said.keeps_alive(is_http10);
    Ok(Some(Head { status, reason, raw, framing, keeps_alive, rest: all.slice(length..) }))
}

/// Whether an answer of that status, to a request of that method, has no body whatever its headers say.
pub(super) fn is_bodiless(asked: &Method, status: StatusCode) -> bool {
    let is_status = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    asked == Method::HEAD || is_status || status.is_informational()
}

/// What the headers of an answer say of its body and its connection.
struct AnswerOutline<'a> {
    /// Whether it has `Transfer-Encoding`, and the last of its codings.
    coding: Option<&'a [u8]>,
    /// The length, as it says it.
    length: Option<&'a [u8]>,
    /// Whether it says another one, too.
    is_torn: bool,
    closes: bool,
    keeps_alive: bool,
}

impl<'a> AnswerOutline<'a> {
    fn of(headers: &[Header<'a>]) -> Self {
        let (coding, length) = (None, None);
        let mut said = Self { coding, length, is_torn: false, closes: false, keeps_alive: false };
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                10 if is("connection") => {
                    let says = |word| tokens(header.value).any(|it| it.eq_ignore_ascii_case(word));
                    said.closes |= says(b"close");
                    said.keeps_alive |= says(b"keep-alive");
                }
                14 if is("content-length") => {
                    let other = said.length.replace(header.value);
                    said.is_torn |=
                        other.is_some_and(|other| digits(other) != digits(header.value));
                }
                17 if is("transfer-encoding") => said.coding = tokens(header.value).last(),
                _ => {}
            }
        }
        said
    }

    fn framing(&self, is_http10: bool) -> Result<Framing, UpstreamError> {
        if let Some(coding) = self.coding {
            // HTTP/1.0 has no such header, and one cannot know what is meant by it.
            if is_http10 {
                return Err(UpstreamError::Invalid);
            }
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            return Ok(if is_chunked { Framing::Chunked } else { Framing::UntilClose });
        }
        let Some(length) = self.length else { return Ok(Framing::UntilClose) };
        let length = digits(length).filter(|_| !self.is_torn);
        length.map(Framing::Length).ok_or(UpstreamError::Invalid)
    }

    fn keeps_alive(&self, is_http10: bool) -> bool {
        if is_http10 { self.keeps_alive } else { !self.closes }
    }
}

/// The words of a list, without the space around them.
fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// A number of nothing but digits (RFC 9110, section 8.6).
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Writes a request's head. The length of its body is this one, whatever its headers say.
pub(super) fn write_request(out: &mut BytesMut, request: &Outgoing<'_>, length: usize) {
    if let Some((start, end)) = request.as_it_came().and_then(RawHead::onwards) {
        out.reserve(start.len() + end.len());
        out.extend_from_slice(start);
        out.extend_from_slice(end);
        return;
    }
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.extend_from_slice(b" ");
    match request.uri().path_and_query() {
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
        None => out.extend_from_slice(b"/"),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut spelt = Spelt::by(request.raw());
    let mut says_length = false;
    for (name, value) in request.headers() {
        if name == CONTENT_LENGTH && digits(value.as_bytes()) != Some(length as u64) {
            if !std::mem::replace(&mut says_length, true) {
                write_length(out, spelt.name(name), length);
            }
        } else {
            says_length |= name == CONTENT_LENGTH;
            write_header(out, spelt.name(name), value.as_bytes());
        }
    }
    if !says_length && length > 0 {
        write_length(out, CONTENT_LENGTH.as_str().as_bytes(), length);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer's head, with more headers.
pub(super) fn write_response<T>(
    out: &mut BytesMut,
    answer: &Answer<T>,
    more: &[(HeaderName, HeaderValue)],
) {
    let mut end = &b"\r\n"[..];
    if let Some(onwards) = answer.headers.as_they_came().and_then(RawHead::onwards) {
        out.extend_from_slice(onwards.0);
        end = onwards.1;
    } else {
        write_lines(out, answer);
    }
    for (name, value) in more {
        write_header(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(end);
}

fn write_lines<T>(out: &mut BytesMut, answer: &Answer<T>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(answer.status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    let reason = answer.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let canonical = answer.status.canonical_reason().unwrap_or("<none>");
    out.extend_from_slice(reason.unwrap_or(canonical.as_bytes()));
    out.extend_from_slice(b"\r\n");
    let mut spelt = Spelt::by(answer.headers.raw());
    for (name, value) in answer.headers.map() {
        write_header(out, spelt.name(name), value.as_bytes());
    }
}

/// Writes the trailers of a body, and its end.
pub(super) fn write_trailers(out: &mut BytesMut, trailers: &HeaderMap) {
    for (name, value) in trailers {
        write_header(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut BytesMut, name: &[u8], length: usize) {
    out.extend_from_slice(name);
    let _ = write!(out, ": {length}\r\n"); // it has room
}

fn write_header(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Exchange;
    use crate::stream::Held;

    const BODY: &str = "{\"a\":1}";

    fn take(text: &str) -> (Result<PlainRequest, Untaken>, BytesMut) {
        let mut read = BytesMut::from(text);
        let taken = take_request(&mut read, 1024);
        (taken, read)
    }

    fn post(headers: &str, body: &str) -> String {
        format!("POST /mcp HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
    }

    #[test]
    fn a_plain_request_is_taken_and_what_comes_after_it_is_left() {
        let headers = "content-LENGTH: 7\r\nX-Two: 1\r\nx-two:  2 \r\n";
        let (taken, rest) = take(&(post(headers, BODY) + "GET / HT"));
        let taken = taken.expect("plain");
        assert_eq!((&taken.request.method, taken.request.uri.path()), (&Method::POST, "/mcp"));
        assert_eq!(taken.request.body.is_here().map(|body| &body[..]), Some(BODY.as_bytes()));
        assert!(taken.keeps_alive);
        let two: Vec<_> = taken.request.headers.map().get_all("x-two").iter().collect();
        assert_eq!(two, ["1", "2"]);
        assert_eq!(rest, "GET / HT");
    }

    #[test]
    fn a_request_that_is_out_of_the_ordinary_is_left_as_it_is() {
        let length = "Content-Length: 7\r\n";
        for text in [
            String::new(),
            "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(),
            "GET / HTTP/1.0\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "CONNECT a:1 HTTP/1.1\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}".to_owned(),
            "GET / HTTP/1.1\r\nA : b\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n".to_owned(),
            post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            post(&format!("{length}Transfer-Encoding: chunked\r\n"), BODY),
            post(&format!("{length}{length}"), BODY),
            post("Content-Length: 7, 7\r\n", BODY),
            post("Content-Length: +7\r\n", BODY),
            post("Content-Length: 99999999999999999999\r\n", BODY),
            post(&format!("{length}Expect: 100-continue\r\n"), BODY),
            post(&format!("{length}Connection: Upgrade\r\nUpgrade: x\r\n"), BODY),
            post(&format!("{length}Connection: X-Secret\r\nX-Secret: 1\r\n"), BODY),
            post(&format!("{length}TE: trailers\r\n"), BODY),
            post(length, "{"),
            post("Content-Type: application/json\r\nContent-Length: 2000\r\n", BODY),
            post(&"X: y\r\n".repeat(MOST_HEADERS), ""),
        ] {
            let (taken, rest) = take(&text);
            assert_eq!(taken.err(), Some(Untaken::NotPlain), "{text}");
            assert_eq!(rest, text.as_bytes());
        }
    }

    #[test]
    fn a_json_body_is_waited_for() {
        let headers = "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 7\r\n";
        let (taken, rest) = take(&post(headers, "{"));
        assert_eq!(taken.err(), Some(Untaken::Incomplete));
        assert_eq!(rest, post(headers, "{").as_bytes());
    }

    /// What goes out of a request that came so, once this was done to it.
    fn written(came: &str, edit: impl FnOnce(&mut Outgoing<'_>)) -> String {
        let (taken, _) = take(came);
        let Request { method, uri, headers, extensions, body, .. } = taken.expect("plain").request;
        let exchange = Exchange::new(method, uri, headers);
        let mut request = Outgoing::new(&exchange, extensions, Held::nothing(body));
        edit(&mut request);
        request.settle();
        let body = request.body.here().expect("all there");
        let mut out = BytesMut::new();
        write_request(&mut out, &request, body.len());
        out.extend_from_slice(&body);
        String::from_utf8(out.into()).expect("text")
    }

    #[test]
    fn a_request_that_nobody_edits_goes_on_as_it_came() {
        let headers = "X-SHOUT: 1\r\nContent-length: 7\r\nx-Mixed: 2\r\n";
        let came = post(headers, BODY);
        assert_eq!(written(&came, |_| ()), came);
        let of_connection = "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n";
        assert_eq!(written(&post(&(of_connection.to_owned() + headers), BODY), |_| ()), came);
    }

    #[test]
    fn a_request_that_is_edited_is_written_as_it_was_spelt_with_the_length_that_it_has() {
        let headers =
            "X-SHOUT: 1\r\nKeep-Alive: 5\r\nContent-length: 7\r\nx-Mixed:2\r\nX-Shout: 3\r\n";
        for (said, declared) in [(BODY, "7"), ("{ }", "3"), ("", "0")] {
            let text = written(&post(headers, BODY), |request| {
                request.headers_mut().insert("x-new", HeaderValue::from_static("4"));
                request.say(said.into());
            });
            let length = format!("Content-length: {declared}");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let mut lines: Vec<_> = head.split("\r\n").collect();
            assert_eq!((lines.remove(0), body), ("POST /mcp HTTP/1.1", said));
            let mut expected =
                ["Host: a", "X-SHOUT: 1", "X-Shout: 3", "x-Mixed: 2", "x-new: 4", &length];
            lines.sort_unstable();
            expected.sort_unstable();
            assert_eq!(lines, expected);
        }
    }

    #[test]
    fn a_request_for_a_proxy_is_written_as_an_origin_is_asked() {
        let came = "GET http://b:1/mcp?x HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(written(came, |_| ()), "GET /mcp?x HTTP/1.1\r\nHost: b:1\r\n\r\n");
    }

    fn head_of(text: &str, asked: &Method) -> Result<Option<Head>, UpstreamError> {
        take_response(&mut BytesMut::from(text), asked)
    }

    #[test]
    fn how_long_an_answer_is_follows_the_rules() {
        let (get, head) = (Method::GET, Method::HEAD);
        for (text, asked, framing, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &get, Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &head, Framing::Length(0), true),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", &get, Framing::Length(0), true),
            ("HTTP/1.1 304 No\r\n\r\n", &get, Framing::Length(0), true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                &get,
                Framing::Chunked,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n",
                &get,
                Framing::Chunked,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                &get,
                Framing::UntilClose,
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", &get, Framing::UntilClose, false),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n",
                &get,
                Framing::Length(1),
                false,
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", &get, Framing::Length(1), false),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
                &get,
                Framing::Length(1),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                &get,
                Framing::Length(5),
                true,
            ),
        ] {
            let found = head_of(text, asked).expect(text).expect("all there");
            assert_eq!((found.framing, found.keeps_alive), (framing, keeps_alive), "{text}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 99 No\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert_eq!(head_of(text, &get).err(), Some(UpstreamError::Invalid), "{text}");
        }
        assert!(head_of("HTTP/1.1 200 OK\r\n", &get).expect("so far").is_none());
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(LONGEST_HEAD));
        assert_eq!(head_of(&endless, &get).err(), Some(UpstreamError::Invalid));
    }
}
