//! What was pushed to GET streams lately, so that a stream that was cut can go on where it was (basic/transports,
//! resumability and redelivery). Of a server without Redis; where there is one, it keeps this.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::bus::Target;
use crate::store::SessionId;

/// Messages that are kept, and bytes of them.
pub(crate) const MOST_ENTRIES: usize = 4096;
const MOST_BYTES: usize = 8 << 20;

/// A place among what was pushed: Redis's id of an entry of a stream, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64, u64);

/// A text that is no position.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`NUMBER-NUMBER` was expected")]
pub(crate) struct NoPosition;

#[derive(Default)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    bytes: usize,
    last: u64,
}

struct Entry {
    position: Position,
    target: Target,
    event: Bytes,
}

impl Target {
    /// Whether it means the stream of that session, which subscribed to these resources.
    pub(crate) fn means(&self, session: SessionId, subscriptions: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Session(own) => *own == session,
            Self::Subscribers(uri) => subscriptions.contains(uri),
        }
    }
}

impl History {
    /// The position of what comes next.
    pub(crate) fn next(&self) -> Position {
        Position(0, self.last + 1)
    }

    /// The position of what came last.
    pub(crate) fn last(&self) -> Position {
        Position(0, self.last)
    }

    /// Keeps what comes next, and forgets the oldest where there is too much.
    pub(crate) fn record(&mut self, target: Target, event: Bytes) {
        let position = self.next();
        self.last += 1;
        self.bytes += event.len();
        self.entries.push_back(Entry { position, target, event });
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.event.len();
        }
    }

    /// What a session's stream would have carried since then.
    pub(crate) fn since(
        &self,
        position: Position,
        session: SessionId,
        subscriptions: &[String],
    ) -> Vec<Bytes> {
        let missed = self.entries.iter().filter(|entry| {
            entry.position > position && entry.target.means(session, subscriptions)
        });
        missed.map(|entry| entry.event.clone()).collect()
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (first, second) = text.split_once('-').ok_or(NoPosition)?;
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_plain).ok_or(NoPosition)
        };
        Ok(Self(number(first)?, number(second)?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId::of(0xa);
    const B: SessionId = SessionId::of(0xb);

    #[test]
    fn what_a_session_missed_is_what_was_meant_for_it_since() {
        let mut history = History::default();
        let uri = "app://a".to_owned();
        let targets =
            [Target::All, Target::Session(A), Target::Session(B), Target::Subscribers(uri.clone())];
        for (number, target) in targets.into_iter().enumerate() {
            history.record(target, number.to_string().into());
        }
        let since = |number, subscriptions: &[String]| {
            history.since(Position(0, number), A, subscriptions).concat()
        };
        assert_eq!(since(0, &[]), b"01");
        assert_eq!(since(1, &[uri]), b"13");
        assert_eq!(since(4, &[]), b"");
        assert_eq!(since(99, &[]), b"");
    }

    #[test]
    fn the_oldest_is_forgotten_where_there_is_too_much() {
        let mut history = History::default();
        for _ in 0..=MOST_ENTRIES {
            history.record(Target::All, "x".into());
        }
        assert_eq!(history.since(Position::default(), A, &[]).len(), MOST_ENTRIES);
        history.record(Target::All, Bytes::from(vec![0; MOST_BYTES]));
        assert_eq!(history.since(Position::default(), A, &[]).len(), 1);
        assert_eq!(history.bytes, MOST_BYTES);
    }

    #[test]
    fn a_position_is_read_as_it_was_written_and_nothing_else_is_one() {
        let position = Position(1_795_731_612_534, 7);
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "7", "-", "1-", "-1", "1-2-3", "+1-2", "99999999999999999999-0"] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }
}
