//! A body as it comes from its peer: all there, or still to be read from a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

use super::Sender;
use super::head::Framing;
use crate::link::Link;

/// Bytes of a chunk's first line, and of all trailers.
const LONGEST_LINE: usize = 16 * 1024;

/// A body.
#[derive(Debug)]
pub(crate) struct Body {
    /// What is here already.
    here: Bytes,
    rest: Option<Box<Rest>>,
}

/// What is still to come.
#[derive(Debug)]
struct Rest {
    sender: Sender,
    part: Part,
    /// Where the connection goes when the body has ended, if it can be used again.
    home: Option<Home>,
}

/// The connections that a connection belongs to, and the number of its upstream.
pub(super) type Home = (Arc<Link>, usize);

/// Where in the body it is.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// So many bytes are to come.
    Length(u64),
    /// The first line of a chunk is to come.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of the line after a chunk.
    ChunkEnd,
    /// What comes after the last chunk.
    Trailers,
    UntilClose,
}

impl Body {
    /// One that is all here.
    pub(super) fn whole(here: Bytes) -> Self {
        Self { here, rest: None }
    }

    /// The body of an answer that was received on that connection, and begins so. The connection goes home
    /// once the body has ended, unless there is none to go to.
    pub(super) fn received(
        mut sender: Sender,
        framing: Framing,
        mut start: Bytes,
        home: Option<Home>,
    ) -> Self {
        let part = match framing {
            Framing::Length(length) => {
                let length_here = start.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                let here = start.split_to(length_here);
                // What nobody asked for stays on the connection, which is not used again then.
                sender.read.extend_from_slice(&start);
                let left = length - here.len() as u64;
                if left == 0 {
                    go_home(sender, home);
                    return Self::whole(here);
                }
                let rest = Rest { sender, part: Part::Length(left), home };
                return Self { here, rest: Some(Box::new(rest)) };
            }
            Framing::Chunked => Part::Size,
            Framing::UntilClose => Part::UntilClose,
        };
        sender.read.extend_from_slice(&start);
        let rest = Some(Box::new(Rest { sender, part, home }));
        Self { here: Bytes::new(), rest }
    }

    /// All of it, if it is here.
    pub(crate) fn is_here(&self) -> Option<&Bytes> {
        self.rest.is_none().then_some(&self.here)
    }

    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.here.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.here)))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(rest.poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || rest.is_read() {
            let ended = self.rest.take().filter(|_| !matches!(frame, Some(Err(_))));
            if let Some(rest) = ended {
                go_home(rest.sender, rest.home);
            }
        }
        Poll::Ready(frame)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.here.is_empty() && self.rest.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let here = self.here.len() as u64;
        match self.rest.as_ref().map(|rest| rest.part) {
            None => SizeHint::with_exact(here),
            Some(Part::Length(left)) => SizeHint::with_exact(here + left),
            Some(_) => SizeHint::default(),
        }
    }
}

fn go_home(sender: Sender, home: Option<Home>) {
    if let Some((link, number)) = home {
        link.pool.keep(number, sender);
    }
}

impl Rest {
    /// Whether its last byte was read, so that nothing has to be waited for.
    fn is_read(&self) -> bool {
        matches!(self.part, Part::Length(0))
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match self.part.step(&mut self.sender.read) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.sender.poll_read(context)) {
                Ok(0) if matches!(self.part, Part::UntilClose) => return Poll::Ready(None),
                Ok(0) => {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "it ended too early");
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl Part {
    /// Goes on with what was read.
    fn step(&mut self, read: &mut BytesMut) -> io::Result<Step> {
        loop {
            match self {
                Self::Length(0) => return Ok(Step::End),
                Self::UntilClose if read.is_empty() => return Ok(Step::More),
                Self::UntilClose => return Ok(Step::Frame(Frame::data(read.split().freeze()))),
                Self::Chunk(0) => *self = Self::ChunkEnd,
                Self::Length(left) | Self::Chunk(left) => return Ok(piece(read, left)),
                Self::ChunkEnd => match line(read)? {
                    None => return Ok(Step::More),
                    Some(line) if line.is_empty() => *self = Self::Size,
                    Some(_) => return Err(invalid("a chunk is longer than it says")),
                },
                Self::Size => {
                    let Some(line) = line(read)? else { return Ok(Step::More) };
                    *self = match size(&line).ok_or_else(|| invalid("a chunk has no size"))? {
                        0 => Self::Trailers,
                        size => Self::Chunk(size),
                    };
                }
                Self::Trailers => {
                    let Some(trailers) = trailers(read)? else { return Ok(Step::More) };
                    *self = Self::Length(0);
                    if !trailers.is_empty() {
                        return Ok(Step::Frame(Frame::trailers(trailers)));
                    }
                }
            }
        }
    }
}

/// What comes next.
enum Step {
    Frame(Frame<Bytes>),
    End,
    /// What has to be read first.
    More,
}

/// The part of what was read that belongs to the body.
fn piece(read: &mut BytesMut, left: &mut u64) -> Step {
    if read.is_empty() {
        return Step::More;
    }
    let length = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= length as u64;
    Step::Frame(Frame::data(read.split_to(length).freeze()))
}

/// Takes a line, without its end, if it is all there.
fn line(read: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(end) = read.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        let is_long = read.len() >= LONGEST_LINE;
        return if is_long { Err(invalid("a line has no end")) } else { Ok(None) };
    };
    let mut line = read.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(invalid("a line does not end with CR and LF"));
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

/// The size of a chunk, whose extensions nobody needs (RFC 9112, section 7.1).
fn size(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let is_hex = !size.is_empty() && size.len() <= 15 && size.iter().all(u8::is_ascii_hexdigit);
    let digit = |digit: &u8| char::from(*digit).to_digit(16).map(u64::from);
    is_hex.then(|| size.iter().filter_map(digit).fold(0, |sum, digit| sum * 16 + digit))
}

/// Takes the trailers and the empty line after them, if they are all there.
fn trailers(read: &mut BytesMut) -> io::Result<Option<HeaderMap>> {
    if read.starts_with(b"\r\n") {
        let _ = read.split_to(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let parsed = httparse::parse_headers(read, &mut headers);
    let (length, headers) = match parsed.map_err(|_| invalid("the trailers are no headers"))? {
        httparse::Status::Complete(parsed) => parsed,
        httparse::Status::Partial if read.len() > LONGEST_LINE => {
            return Err(invalid("the trailers have no end"));
        }
        httparse::Status::Partial => return Ok(None),
    };
    let read_one = |header: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    };
    let mut trailers = HeaderMap::new();
    for header in headers {
        let (name, value) =
            read_one(header).ok_or_else(|| invalid("the trailers are no headers"))?;
        trailers.append(name, value);
    }
    let _ = read.split_to(length);
    Ok(Some(trailers))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Body::poll_frame(self.get_mut(), context)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a chunked body says that comes in these pieces: its data and its trailers.
    fn said(pieces: &[&[u8]]) -> io::Result<Option<(Vec<u8>, HeaderMap)>> {
        let (mut part, mut read) = (Part::Size, BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        for piece in pieces {
            read.extend_from_slice(piece);
            loop {
                match part.step(&mut read)? {
                    Step::Frame(frame) => match frame.into_data() {
                        Ok(bytes) => data.extend_from_slice(&bytes),
                        Err(frame) => {
                            trailers.extend(frame.into_trailers().ok().into_iter().flatten());
                        }
                    },
                    Step::More => break,
                    Step::End => return Ok(Some((data, trailers))),
                }
            }
        }
        Ok(None)
    }

    const CHUNKED: &[u8] =
        b"5;name=value\r\nhello\r\n6 \r\n world\r\n000\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";

    proptest! {
        #[test]
        fn a_chunked_body_says_the_same_in_whatever_pieces_it_comes(
            mut cuts in prop::collection::vec(0..CHUNKED.len(), 0..8)
        ) {
            cuts.extend([0, CHUNKED.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &CHUNKED[cut[0]..cut[1]]).collect();
            let (data, trailers) = said(&pieces).expect("chunks").expect("all of them");
            prop_assert_eq!(data, b"hello world");
            let sums: Vec<_> = trailers.get_all("x-sum").iter().collect();
            prop_assert_eq!(sums, ["1", "2"]);
        }

        #[test]
        fn whatever_a_server_sends_as_chunks_is_read_or_refused(
            bytes in prop::collection::vec(prop::sample::select(b"05aF;x:\r\n ".to_vec()), 0..60)
        ) {
            let _ = said(&[&bytes]);
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused_and_never_guessed_at() {
        for bytes in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello!\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\nno header\r\n\r\n",
        ] {
            let error = said(&[bytes]).expect_err(&String::from_utf8_lossy(bytes));
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let endless = vec![b'1'; LONGEST_LINE + 1];
        assert!(said(&[&endless]).is_err(), "a size without an end");
    }

    #[test]
    fn a_body_that_ends_early_is_not_one_that_has_ended() {
        for bytes in [&b"5"[..], b"5\r\nhel", b"5\r\nhello\r\n", b"0\r\n", b"0\r\nx: 1\r\n"] {
            assert!(said(&[bytes]).expect("so far").is_none());
        }
    }
}
