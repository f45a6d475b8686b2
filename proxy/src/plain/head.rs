//! The heads of messages: read, and written with the names of headers as they were spelt.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http::{Version, response};
use httparse::Status;
use hyper::ext::ReasonPhrase;
use squall_model::mcp::header::JSON;

use super::Body;
use crate::upstream::UpstreamError;

/// Headers of one message; a request with more is not plain, and an answer with more is no answer.
const MOST_HEADERS: usize = 100;
/// Bytes of an answer's head.
const LONGEST_HEAD: usize = 256 * 1024;

type Headers<'b> = [MaybeUninit<httparse::Header<'b>>; MOST_HEADERS];

/// The head of a message as it came, from which the names of its headers are written as they were spelt.
#[derive(Clone, Debug)]
pub(crate) struct Spelling(Bytes);

/// A request that is plain.
pub(super) struct PlainRequest {
    pub(super) request: Request<Body>,
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
    pub(super) response: Response<()>,
    pub(super) spelling: Spelling,
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
    let mut headers: Headers<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
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
) -> Option<Request<Body>> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    if parts.method == Method::CONNECT {
        return None;
    }
    parts.uri = Uri::from_maybe_shared(all.slice_ref(parsed.path?.as_bytes())).ok()?;
    parts.headers = header_map(all, parsed.headers)?;
    let body = Body::whole(all.slice(length..end)).after(Spelling(all.slice(..length)));
    Some(Request::from_parts(parts, body))
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
    fn of(headers: &[httparse::Header<'_>]) -> Option<Self> {
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
    let mut headers: Headers<'_> = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let status = parser.parse_response_with_uninit_headers(&mut parsed, all, &mut headers);
    let Status::Complete(length) = status.map_err(|_| invalid)? else { return Ok(None) };
    let mut response = Response::new(());
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| invalid)?;
    *response.status_mut() = status;
    if parsed.version != Some(1) {
        *response.version_mut() = Version::HTTP_10;
    }
    *response.headers_mut() = header_map(all, parsed.headers).ok_or(invalid)?;
    let reason = parsed.reason.filter(|reason| !reason.is_empty());
    if let Some(reason) = reason.filter(|reason| status.canonical_reason() != Some(reason))
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    let framing = framing(asked, &response)?;
    let keeps_alive = framing != Framing::UntilClose && keeps_alive(&response);
    let spelling = Spelling(all.slice(..length));
    Ok(Some(Head { response, spelling, framing, keeps_alive, rest: all.slice(length..) }))
}

/// The headers, which keep pieces of the text that they stand in.
fn header_map(text: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(text.slice_ref(header.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

/// Whether an answer of that status, to a request of that method, has no body whatever its headers say.
pub(super) fn is_bodiless(asked: &Method, status: StatusCode) -> bool {
    let is_status = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    asked == Method::HEAD || is_status || status.is_informational()
}

fn framing<T>(asked: &Method, response: &Response<T>) -> Result<Framing, UpstreamError> {
    let headers = response.headers();
    if is_bodiless(asked, response.status()) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        // HTTP/1.0 has no such header, and one cannot know what is meant by it.
        if response.version() == Version::HTTP_10 {
            return Err(UpstreamError::Invalid);
        }
        let is_chunked =
            tokens(coding).next_back().is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
        return Ok(if is_chunked { Framing::Chunked } else { Framing::UntilClose });
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(Framing::UntilClose) };
    let length = digits(length.as_bytes()).ok_or(UpstreamError::Invalid)?;
    if lengths.any(|other| digits(other.as_bytes()) != Some(length)) {
        return Err(UpstreamError::Invalid);
    }
    Ok(Framing::Length(length))
}

fn keeps_alive<T>(response: &Response<T>) -> bool {
    let says = |word: &str| {
        let mut values = response.headers().get_all(CONNECTION).iter().flat_map(tokens);
        values.any(|token| token.eq_ignore_ascii_case(word))
    };
    match response.version() {
        Version::HTTP_11 => !says("close"),
        _ => says("keep-alive"),
    }
}

fn tokens(value: &HeaderValue) -> impl DoubleEndedIterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

/// A number of nothing but digits (RFC 9110, section 8.6).
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Writes a request's head. The length of its body is this one, whatever its headers say.
pub(super) fn write_request<T>(
    out: &mut BytesMut,
    request: &Request<T>,
    spelling: Option<&Spelling>,
    length: usize,
) {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.extend_from_slice(b" ");
    match request.uri().path_and_query() {
        Some(target) => out.extend_from_slice(target.as_str().as_bytes()),
        None => out.extend_from_slice(b"/"),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut spelt = Spelt::by(spelling);
    let mut says_length = false;
    for (name, value) in request.headers() {
        if name == CONTENT_LENGTH && digits(value.as_bytes()) != Some(length as u64) {
            if !std::mem::replace(&mut says_length, true) {
                write_length(out, spelt.name(name, value), length);
            }
        } else {
            says_length |= name == CONTENT_LENGTH;
            write_header(out, spelt.name(name, value), value.as_bytes());
        }
    }
    if !says_length && length > 0 {
        write_length(out, CONTENT_LENGTH.as_str().as_bytes(), length);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer's head, with more headers.
pub(super) fn write_response(
    out: &mut BytesMut,
    response: &response::Parts,
    spelling: Option<&Spelling>,
    more: &[(HeaderName, HeaderValue)],
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    let reason = response.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let canonical = response.status.canonical_reason().unwrap_or("<none>");
    out.extend_from_slice(reason.unwrap_or(canonical.as_bytes()));
    out.extend_from_slice(b"\r\n");
    let mut spelt = Spelt::by(spelling);
    for (name, value) in &response.headers {
        write_header(out, spelt.name(name, value), value.as_bytes());
    }
    for (name, value) in more {
        write_header(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
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

/// Finds how names were spelt. Most come in the order in which they stood.
struct Spelt<'a> {
    head: &'a [u8],
    /// The line to look at next.
    next: usize,
}

impl<'a> Spelt<'a> {
    fn by(spelling: Option<&'a Spelling>) -> Self {
        let head = spelling.map_or(&b""[..], |Spelling(head)| head);
        Self { head, next: line_end(head, 0) }
    }

    /// The name of a header as it was spelt, or else in small letters.
    fn name(&mut self, name: &'a HeaderName, value: &HeaderValue) -> &'a [u8] {
        let plain = name.as_str().as_bytes();
        let (first, head) = (self.next, self.head);
        let place = find(head, plain, first, head.len());
        let place = place.or_else(|| find(head, plain, line_end(head, 0), first));
        let Some(line) = place else { return plain };
        // Most lines have nothing but `NAME: VALUE`, so that one need not look for their end.
        let end = line + plain.len() + value.len() + 4;
        let is_end = head.get(end - 2..end) == Some(b"\r\n");
        self.next = if is_end { end } else { line_end(head, line) };
        &head[line..line + plain.len()]
    }
}

/// Where the line begins, between these places, that has a header of that name.
fn find(head: &[u8], name: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut line = from;
    while line < to {
        let end = line + name.len();
        if head.get(end) == Some(&b':') && head[line..end].eq_ignore_ascii_case(name) {
            return Some(line);
        }
        line = line_end(head, line);
    }
    None
}

/// Where the line ends that begins there, and the next one begins.
fn line_end(head: &[u8], line: usize) -> usize {
    let rest = head.get(line..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.map_or(head.len(), |end| line + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!((taken.request.method(), taken.request.uri().path()), (&Method::POST, "/mcp"));
        assert_eq!(taken.request.body().is_here().map(|body| &body[..]), Some(BODY.as_bytes()));
        assert!(taken.keeps_alive);
        let two: Vec<_> = taken.request.headers().get_all("x-two").iter().collect();
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

    #[test]
    fn a_request_is_written_as_it_was_spelt_with_the_length_that_it_has() {
        let headers = "X-SHOUT: 1\r\nContent-length: 7\r\nx-Mixed:2\r\nX-Shout: 3\r\n";
        let (taken, _) = take(&post(headers, BODY));
        let mut request = taken.expect("plain").request;
        let spelling = request.body_mut().take_spelling();
        request.headers_mut().insert("x-new", HeaderValue::from_static("4"));
        for (length, declared) in [(7, "7"), (3, "3"), (0, "0")] {
            let mut out = BytesMut::new();
            write_request(&mut out, &request, spelling.as_ref(), length);
            let lines = ["Host: a", "X-SHOUT: 1", "X-Shout: 3", "x-Mixed: 2", "x-new: 4"];
            let text = String::from_utf8_lossy(&out);
            assert!(text.starts_with("POST /mcp HTTP/1.1\r\n") && text.ends_with("\r\n\r\n"));
            for line in lines.into_iter().chain([&*format!("Content-length: {declared}")]) {
                assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {text}");
            }
        }
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
