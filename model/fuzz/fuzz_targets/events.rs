//! The pieces of an event stream, put together, are the stream, however it was cut into chunks; and an
//! event is the same event whatever chunks it came in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_model::mcp::sse::{Event, Piece, Splitter, encode, with_data, with_field};

fuzz_target!(|input: (Vec<Vec<u8>>, u16)| {
    let (chunks, limit) = input;
    let whole = chunks.concat();
    let mut splitter = Splitter::new(limit.into());
    let mut together = Vec::new();
    for chunk in &chunks {
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece() {
            if let Piece::Event(bytes) = &piece {
                look(bytes);
            }
            together.extend(piece.into_bytes());
        }
        assert!(splitter.unfinished().len() <= usize::from(limit));
    }
    together.extend(splitter.rest().into_iter().flatten());
    assert_eq!(together, whole);

    let text = String::from_utf8_lossy(&whole);
    let text = text.replace('\r', "");
    assert_eq!(Event::parse(&encode(None, &text)).data, Some(text));
});

/// What is done to single events.
fn look(bytes: &[u8]) {
    let event = Event::parse(bytes);
    if let Some(other) = with_data(bytes, b"{}") {
        assert_eq!(Event::parse(&other).data.as_deref(), Some("{}"));
    }
    let without = Event::parse(&with_field(bytes, "id", None));
    assert_eq!((without.id, without.data), (None, event.data));
}
