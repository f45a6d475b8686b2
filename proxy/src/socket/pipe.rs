//! What faults do to the bytes that flow one way over a connection: each piece is stamped when it comes,
//! and waits for its time. Without a fault there is no pipe.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::RngExt as _;
use rand::SeedableRng as _;
use squall_model::chance::Draw;
use squall_model::verdict::{Ending, Shaping};
use tokio::time::Instant;

use crate::delay::{Delay, Wait};
use crate::link::Stage;

/// What a pipe that only delays may hold, in bytes; beyond, the sender has to wait.
const DELAY_LIMIT: usize = 16 * 1024 * 1024;
/// What a pipe may hold that slows down or stands still, in bytes.
const RATE_LIMIT: usize = 64 * 1024;
/// The largest piece that a rate lets through at a time, in bytes, and the smallest.
const QUANTUM: std::ops::RangeInclusive<u64> = 16..=16 * 1024;

/// One way of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    delay: Delay,
    pieces: VecDeque<Piece>,
    held: usize,
    stages: Vec<Shaper>,
    wait: Option<Wait>,
    /// How it ends, once what it holds has gone.
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    came: Instant,
    /// What each stage makes it wait.
    waits: Vec<(usize, Duration)>,
}

/// A stage, and what it remembers of this way.
#[derive(Debug)]
struct Shaper {
    stage: Arc<Stage>,
    draw: Draw,
    /// When the bytes before have gone.
    free: Option<Instant>,
    left: u64,
}

impl Piece {
    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>() + 24 * self.waits.len()
    }

    fn due(&self) -> Instant {
        self.came + self.waits.iter().map(|(_, wait)| *wait).sum::<Duration>()
    }
}

/// Names a stage for as long as it lives.
fn key(stage: &Arc<Stage>) -> usize {
    Arc::as_ptr(stage).addr()
}

impl Pipe {
    pub(super) fn new(delay: Delay) -> Self {
        Self {
            delay,
            pieces: VecDeque::new(),
            held: 0,
            stages: Vec::new(),
            wait: None,
            ending: None,
        }
    }

    /// Takes over the stages as they are now. What only an ended stage held is free.
    pub(super) fn set(&mut self, stages: Vec<Arc<Stage>>) {
        let mut before = std::mem::take(&mut self.stages);
        for stage in stages {
            let known = before.iter().position(|shaper| Arc::ptr_eq(&shaper.stage, &stage));
            let known = known.map(|place| before.swap_remove(place));
            self.stages.push(known.unwrap_or_else(|| Shaper::new(stage)));
        }
        let live: Vec<_> = self.stages.iter().map(|shaper| key(&shaper.stage)).collect();
        for piece in &mut self.pieces {
            piece.waits.retain(|(of, _)| live.contains(of));
        }
        self.held = self.pieces.iter().map(Piece::cost).sum();
        self.wait = None;
    }

    /// Whether it has nothing to do any more.
    pub(super) fn is_idle(&self) -> bool {
        self.stages.is_empty() && self.pieces.is_empty() && self.ending.is_none()
    }

    /// Whether it takes more.
    pub(super) fn has_room(&self) -> bool {
        let slow = |shaper: &Shaper| !matches!(shaper.stage.shaping, Shaping::Delay(..));
        let limit = if self.stages.iter().any(slow) { RATE_LIMIT } else { DELAY_LIMIT };
        self.held < limit
    }

    /// How it has ended, once what came before has gone.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.filter(|_| self.pieces.is_empty())
    }

    /// Whether nothing passes.
    pub(super) fn is_stalled(&self) -> bool {
        let stalls = |shaper: &Shaper| {
            matches!(shaper.stage.shaping, Shaping::Stall | Shaping::Rate { bytes: 0, .. })
        };
        self.stages.iter().any(stalls)
    }

    /// How much later the end comes.
    pub(super) fn late_end(&self) -> Duration {
        let late = self.stages.iter().filter_map(|shaper| match shaper.stage.shaping {
            Shaping::LateEnd(delay) => Some(delay),
            _ => None,
        });
        late.sum()
    }

    /// Takes a chunk in.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.ending.is_some() {
            return;
        }
        let now = Instant::now();
        let mut pieces =
            vec![Piece { bytes: BytesMut::from(chunk).freeze(), came: now, waits: Vec::new() }];
        for shaper in &mut self.stages {
            pieces = shaper.shape(pieces);
            if let Shaping::Limit { ending, .. } = shaper.stage.shaping
                && shaper.left == 0
            {
                self.ending = Some(ending);
            }
        }
        for piece in pieces {
            self.held += piece.cost();
            self.pieces.push_back(piece);
        }
    }

    /// The next bytes, once their time has come; they stay until they are [taken](Self::advance).
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(head) = self.pieces.front() else { return Poll::Ready(None) };
        if self.is_stalled() {
            return Poll::Pending; // the task that ends the stall polls again
        }
        let due = head.due();
        if due > Instant::now() {
            let wait = self.wait.insert(self.delay.until(due));
            if std::pin::pin!(wait).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Some(head.bytes.clone()))
    }

    /// So many of the next bytes have gone.
    pub(super) fn advance(&mut self, count: usize) {
        if let Some(mut head) = self.pieces.pop_front() {
            self.held -= head.cost();
            if count < head.bytes.len() {
                head.bytes = head.bytes.slice(count..);
                self.held += head.cost();
                self.pieces.push_front(head);
            }
        }
    }
}

impl Shaper {
    fn new(stage: Arc<Stage>) -> Self {
        let seed = match &stage.shaping {
            Shaping::Delay(_, seed) | Shaping::Slice { seed, .. } => *seed,
            _ => 0,
        };
        let left = match stage.shaping {
            Shaping::Limit { bytes, .. } => bytes,
            _ => u64::MAX,
        };
        Self { stage, draw: Draw::seed_from_u64(seed), free: None, left }
    }

    fn shape(&mut self, pieces: Vec<Piece>) -> Vec<Piece> {
        match self.stage.shaping.clone() {
            Shaping::Delay(latency, _) => {
                let time = latency.time(&mut self.draw);
                self.each_waits(pieces, time)
            }
            Shaping::Rate { bytes, shared } if bytes > 0 => self.at_rate(pieces, bytes, shared),
            Shaping::Slice { size, variation, pause, .. } => {
                self.sliced(pieces, size.max(1), variation, pause)
            }
            Shaping::Limit { .. } => self.limited(pieces),
            Shaping::Rate { .. } | Shaping::Stall | Shaping::LateEnd(_) => pieces,
        }
    }

    fn each_waits(&self, mut pieces: Vec<Piece>, time: Duration) -> Vec<Piece> {
        for piece in &mut pieces {
            piece.waits.push((key(&self.stage), time));
        }
        pieces
    }

    fn at_rate(&mut self, pieces: Vec<Piece>, rate: u64, shared: bool) -> Vec<Piece> {
        let quantum = (rate / 20).clamp(*QUANTUM.start(), *QUANTUM.end());
        let mut out = Vec::new();
        for mut piece in cut(pieces, |_| quantum) {
            let time = Duration::from_secs_f64(piece.bytes.len() as f64 / rate as f64);
            let due = piece.due();
            let gone = if shared {
                book(&mut self.stage.fault.budget().lock(), due, time)
            } else {
                book(&mut self.free, due, time)
            };
            piece.waits.push((key(&self.stage), gone - due));
            out.push(piece);
        }
        out
    }

    fn sliced(&mut self, pieces: Vec<Piece>, size: u64, vary: u64, pause: Duration) -> Vec<Piece> {
        let draw = &mut self.draw;
        let mut slices = cut(pieces, |_| {
            let least = size.saturating_sub(vary).max(1);
            draw.random_range(least..=size.saturating_add(vary))
        });
        for slice in &mut slices {
            let due = slice.due();
            let gone = book(&mut self.free, due, pause) - pause; // the first goes at once
            slice.waits.push((key(&self.stage), gone - due));
        }
        slices
    }

    fn limited(&mut self, pieces: Vec<Piece>) -> Vec<Piece> {
        let mut out = Vec::new();
        for mut piece in pieces {
            let allowed = piece.bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= allowed as u64;
            piece.bytes.truncate(allowed);
            if !piece.bytes.is_empty() {
                out.push(piece);
            }
        }
        out
    }
}

/// Books time on a line that is free from `free` on: when what is due then has gone.
fn book(free: &mut Option<Instant>, due: Instant, time: Duration) -> Instant {
    let gone = free.map_or(due, |free| free.max(due)) + time;
    *free = Some(gone);
    gone
}

/// Cuts pieces into smaller ones.
fn cut(pieces: Vec<Piece>, mut size: impl FnMut(&Piece) -> u64) -> Vec<Piece> {
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = piece.bytes.clone();
        while !rest.is_empty() {
            let length = usize::try_from(size(&piece)).unwrap_or(usize::MAX).min(rest.len());
            let bytes = rest.split_to(length);
            out.push(Piece { bytes, came: piece.came, waits: piece.waits.clone() });
        }
    }
    out
}
