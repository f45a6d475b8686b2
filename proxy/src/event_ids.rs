//! The last event id of each stream, for faults that resume the wrong one.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Streams that are remembered; the one that spoke longest ago makes room.
const MOST: usize = 256;
/// Ids longer than this are not remembered, in bytes.
const LONGEST: usize = 1024;

/// The ids, the latest first. They are kept only while a fault asks for them.
#[derive(Debug, Default)]
pub(crate) struct EventIds(Mutex<VecDeque<Seen>>);

#[derive(Debug)]
struct Seen {
    stream: u64,
    session: Option<Arc<str>>,
    id: String,
}

impl EventIds {
    /// The stream has sent an event of this id.
    pub(crate) fn saw(&self, stream: u64, session: Option<&Arc<str>>, id: &str) {
        if id.len() > LONGEST {
            return;
        }
        let mut seen = self.0.lock();
        seen.retain(|other| other.stream != stream);
        seen.push_front(Seen { stream, session: session.cloned(), id: id.to_owned() });
        seen.truncate(MOST);
    }

    /// The last id of another stream than the one that the client means: of the same session, if
    /// there is one.
    pub(crate) fn of_another_stream(&self, meant: &str, session: Option<&str>) -> Option<String> {
        let seen = self.0.lock();
        let others = || seen.iter().filter(|other| other.id != meant);
        let same_session = others().find(|other| other.session.as_deref() == session);
        same_session.or_else(|| others().next()).map(|other| other.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_stream_of_the_same_session_comes_first() {
        let ids = EventIds::default();
        let (mine, others): (Arc<str>, Arc<str>) = ("mine".into(), "other".into());
        ids.saw(1, Some(&mine), "a1");
        ids.saw(2, Some(&mine), "b1");
        ids.saw(3, Some(&others), "c1");
        assert_eq!(ids.of_another_stream("a1", Some("mine")).as_deref(), Some("b1"));
        ids.saw(2, Some(&mine), "b2");
        assert_eq!(ids.of_another_stream("a1", Some("mine")).as_deref(), Some("b2"));
        assert_eq!(ids.of_another_stream("c1", Some("unknown")).as_deref(), Some("b2"));
    }

    #[test]
    fn memory_is_bounded() {
        let ids = EventIds::default();
        for stream in 0..10_000 {
            ids.saw(stream, None, &"x".repeat(stream as usize % 3000));
        }
        let seen = ids.0.lock();
        assert!(seen.len() <= MOST && seen.iter().all(|seen| seen.id.len() <= LONGEST));
    }
}
