//! What really happened, for whoever has to check what clients say: each call that was executed, and each
//! notification that was published. In memory the newest are kept; in a file, where one is given, all of
//! them up to a number of bytes, and what it did not take is counted.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use squall_model::operation::OperationId;

use crate::stats::Counter;
use crate::store::SessionId;

/// Records of each kind that are kept in memory.
const MOST: usize = 65_536;
/// Topics that are counted; the names are the server's own.
const MOST_TOPICS: usize = 64;

/// A call that was executed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Execution {
    /// Counts the calls of this server, from 1.
    pub(crate) sequence: u64,
    pub(crate) tool: &'static str,
    /// None in the stateless era.
    pub(crate) session: Option<SessionId>,
    /// What the caller meant by it: the trace id of `_meta.traceparent`.
    pub(crate) intent: Option<String>,
    /// Milliseconds since the epoch.
    pub(crate) started_ms: u64,
    pub(crate) ended_ms: u64,
    pub(crate) outcome: Outcome,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It gave a result.
    Ok,
    /// It gave a result that is an error.
    Failed,
    /// It asked its client for something, and waits for nobody.
    Asked,
    /// It was not carried out, or not to the end: too many at a time, or cancelled.
    Refused,
}

/// A notification that was published, or was to be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Publication {
    /// Counts the notifications of that topic, from 1.
    pub(crate) sequence: u64,
    /// The method.
    pub(crate) topic: &'static str,
    pub(crate) at_ms: u64,
    /// Streams of this replica that took it, and replicas that got it; none where it was lost.
    pub(crate) streams: Option<usize>,
    pub(crate) replicas: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Execution(&'a Execution),
    Publication(&'a Publication),
}

#[derive(Default)]
pub(crate) struct Journal {
    executions: Mutex<Kept<Execution>>,
    publications: Mutex<Kept<Publication>>,
    file: Option<Mutex<Bounded>>,
    /// Records that are missing in the file.
    lost: Counter,
}

/// A file that takes so many bytes more.
pub(crate) struct Bounded {
    file: File,
    left: u64,
}

impl Bounded {
    /// A file that may have so many bytes, those included that it has already.
    pub(crate) fn new(file: File, limit: u64) -> io::Result<Self> {
        let left = limit.saturating_sub(file.metadata()?.len());
        Ok(Self { file, left })
    }

    /// All of these bytes, or none where they are too many; and then none that come later, so that what is
    /// there has no gaps.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.left = 0;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has reached its limit"));
        };
        self.left = left;
        self.file.write_all(bytes)
    }
}

struct Kept<T> {
    records: VecDeque<T>,
    recorded: u64,
    topics: HashMap<&'static str, u64>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { records: VecDeque::new(), recorded: 0, topics: HashMap::new() }
    }
}

impl<T> Kept<T> {
    fn push(&mut self, record: T) {
        self.recorded += 1;
        if self.records.len() == MOST {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }
}

impl Journal {
    pub(crate) fn new(file: Option<Bounded>) -> Self {
        Self { file: file.map(Mutex::new), ..Self::default() }
    }

    pub(crate) fn executed(
        &self,
        tool: &'static str,
        session: Option<SessionId>,
        intent: Option<OperationId>,
        started_ms: u64,
        outcome: Outcome,
    ) {
        let mut kept = self.executions.lock();
        let execution = Execution {
            sequence: kept.recorded + 1,
            tool,
            session,
            intent: intent.map(|id| id.to_string()),
            started_ms,
            ended_ms: now_ms(),
            outcome,
        };
        self.write(&Line::Execution(&execution));
        kept.push(execution);
    }

    pub(crate) fn published(&self, topic: &'static str, reach: Option<(usize, usize)>) {
        let mut kept = self.publications.lock();
        if !kept.topics.contains_key(topic) && kept.topics.len() == MOST_TOPICS {
            return;
        }
        let count = kept.topics.entry(topic).or_insert(0);
        *count += 1;
        let publication = Publication {
            sequence: *count,
            topic,
            at_ms: now_ms(),
            streams: reach.map(|(streams, _)| streams),
            replicas: reach.map(|(_, replicas)| replicas),
        };
        self.write(&Line::Publication(&publication));
        kept.push(publication);
    }

    /// The executions that are kept, a JSON object a line, the oldest first.
    pub(crate) fn executions(&self) -> String {
        lines(&self.executions.lock().records)
    }

    /// The publications that are kept, in the same way.
    pub(crate) fn publications(&self) -> String {
        lines(&self.publications.lock().records)
    }

    /// One write a record, made when it happens.
    fn write(&self, line: &Line<'_>) {
        let Some(file) = &self.file else { return };
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        if let Err(error) = file.lock().write(&text) {
            if self.lost() == 0 {
                tracing::error!(%error, "the journal's file does not take all that happens: see journal_lost in /metrics");
            }
            self.lost.increase();
        }
    }

    /// How many records the file did not take.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.value()
    }
}

fn lines<T: Serialize>(records: &VecDeque<T>) -> String {
    let mut out = String::new();
    for record in records {
        out += &serde_json::to_string(record).unwrap_or_default();
        out.push('\n');
    }
    out
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_count_goes_on() {
        let journal = Journal::default();
        for _ in 0..MOST + 2 {
            journal.executed("fast-echo", None, None, 0, Outcome::Ok);
        }
        let text = journal.executions();
        assert_eq!(text.lines().count(), MOST);
        let first: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["sequence"], 3);
    }

    #[test]
    fn each_topic_is_counted_by_itself_and_what_was_lost_is_told() {
        let journal = Journal::default();
        journal.published("a", Some((1, 1)));
        journal.published("b", None);
        journal.published("a", Some((0, 2)));
        let lines = journal.publications();
        let read = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (line["topic"].to_string(), line["sequence"].as_u64(), line["streams"].as_u64())
        };
        let expected = [("\"a\"", 1, Some(1)), ("\"b\"", 1, None), ("\"a\"", 2, Some(0))];
        let expected =
            expected.map(|(topic, sequence, streams)| (topic.to_owned(), Some(sequence), streams));
        assert_eq!(lines.lines().map(read).collect::<Vec<_>>(), expected);
    }
}
