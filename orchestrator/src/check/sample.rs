//! A small builder of synthetic evidence, for tests. Times are milliseconds.
//!
//! The baseline is [0, 10 s), the fault [10 s, 15 s), the impact phase the same, recovery [15 s, 30 s).

use std::ops::Range;
use std::time::Duration;

use squall_model::chance::Seed;
use squall_model::history::{Cause, Event, Injection, Nanos, Operation, Outcome};
use squall_model::operation::OperationId;

use crate::evidence::{
    Evidence, Expectation, FaultUse, Phases, RunInfo, SessionAtFault, Span, SteadyRule,
    ThresholdResult,
};

/// Evidence in the making.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    evidence: Evidence,
    number: u32,
}

/// A moment in milliseconds.
pub(crate) fn at(ms: u64) -> Nanos {
    Nanos(ms * 1_000_000)
}

/// A stretch of time in milliseconds.
pub(crate) fn span(range: Range<u64>) -> Span {
    Span { from: at(range.start), to: at(range.end) }
}

impl Sample {
    /// No operations, one fault window.
    pub(crate) fn new() -> Self {
        let evidence = Evidence {
            run: run(),
            operations: Vec::new(),
            injections: Vec::new(),
            events: Vec::new(),
            faults: Vec::new(),
            phases: Phases {
                baseline: span(0..10_000),
                impact: span(10_000..15_000),
                recovery: span(15_000..30_000),
            },
            fault: Some(span(10_000..15_000)),
            sessions_at_fault: Vec::new(),
            expectation: Expectation::Reinitialise,
            steady: SteadyRule::default(),
            min_broken_share: 0.3,
            thresholds: Vec::new(),
            failures: Vec::new(),
            stopped: None,
            cut_short: None,
        };
        Self { evidence, number: 0 }
    }

    /// The evidence.
    pub(crate) fn build(self) -> Evidence {
        self.evidence
    }

    /// Changes anything.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Evidence)) -> Self {
        change(&mut self.evidence);
        self
    }

    /// An operation of the workload, due and sent at `due`, over `took` later, on session `s<client>`.
    pub(crate) fn call(self, client: u32, due: u64, took: u64, outcome: Outcome) -> Self {
        self.call_on(client, &format!("s{client}"), due, took, outcome)
    }

    /// The same on a session of another name.
    pub(crate) fn call_on(
        self,
        client: u32,
        session: &str,
        due: u64,
        took: u64,
        outcome: Outcome,
    ) -> Self {
        self.operation(client, "tools/call fast-echo", Some(session), due, took, outcome)
    }

    /// One operation of a handshake.
    pub(crate) fn handshake_step(
        self,
        client: u32,
        name: &str,
        session: Option<&str>,
        due: u64,
        took: u64,
        outcome: Outcome,
    ) -> Self {
        self.operation(client, name, session, due, took, outcome)
    }

    /// A handshake that goes well: 10 ms for `initialize`, 10 ms for `notifications/initialized`.
    pub(crate) fn handshake(self, client: u32, session: &str, due: u64) -> Self {
        let session = Some(session);
        self.operation(client, "initialize", session, due, 10, Outcome::Ok).operation(
            client,
            "notifications/initialized",
            session,
            due + 10,
            10,
            Outcome::Ok,
        )
    }

    pub(crate) fn operation(
        mut self,
        client: u32,
        name: &str,
        session: Option<&str>,
        due: u64,
        took: u64,
        outcome: Outcome,
    ) -> Self {
        self.number += 1;
        self.evidence.operations.push(Operation {
            id: OperationId::new(Seed::new(7), client, self.number),
            name: name.into(),
            session: session.map(Into::into),
            due: at(due),
            sent: Some(at(due)),
            completed: at(due + took),
            outcome,
            faults: Vec::new(),
        });
        self
    }

    /// The last operation's answer names this fault.
    pub(crate) fn marked(mut self, fault: &str) -> Self {
        let fault = fault.parse().expect("an id");
        let last = self.evidence.operations.last_mut().expect("an operation");
        last.faults.push(fault);
        self
    }

    /// The proxy logged that this fault hit the last operation.
    pub(crate) fn logged(mut self, fault: &str) -> Self {
        let last = self.evidence.operations.last().expect("an operation");
        self.evidence.injections.push(Injection {
            at: last.due,
            fault: fault.parse().expect("an id"),
            effect: "http-status".to_owned(),
            operation: Some(last.id),
            session: None,
            method: None,
        });
        self
    }

    /// Where a session lived.
    pub(crate) fn lives(mut self, client: u32, session: &str, broken: bool) -> Self {
        self.evidence.sessions_at_fault.push(SessionAtFault {
            client,
            session: Some(session.into()),
            home: Some(if broken { "r1" } else { "r2" }.to_owned()),
            broken,
        });
        self
    }

    /// A fault or a step of the drill.
    pub(crate) fn fault(mut self, id: &str, hits: u64, step: bool) -> Self {
        self.evidence.faults.push(FaultUse {
            id: id.parse().expect("an id"),
            what: if step { "kill -9 r1" } else { "latency 200 ms" }.to_owned(),
            hits,
            step,
            seen_after: None,
        });
        self
    }

    /// Ended before its time.
    pub(crate) fn stopped(self, why: &str) -> Self {
        self.with(|evidence| evidence.stopped = Some(why.to_owned()))
    }

    /// 100 operations a second of 10 ms each, that fail where they are due in `bad` (milliseconds).
    pub(crate) fn steady_but_failing(bad: Range<u64>) -> Self {
        (0..30_000).step_by(10).fold(Self::new(), |sample, due| {
            let outcome =
                if bad.contains(&due) { Outcome::Failed(Cause::Timeout) } else { Outcome::Ok };
            sample.call(1, due, 10, outcome)
        })
    }

    /// A drill as it should go: ten clients, four of them on the replica that is killed at 10 s and is
    /// back at 12 s.
    pub(crate) fn killed_replica() -> Self {
        let sample = (1..=10).fold(Self::new(), |sample, client| {
            let sample = sample.lives(client, &format!("s{client}"), client <= 4);
            sample.a_client(client, client <= 4)
        });
        let event = |from, until, kind: &str, what: &str| Event {
            at: at(from),
            until: Some(at(until)),
            kind: kind.to_owned(),
            what: what.to_owned(),
        };
        sample.fault("kill-r1", 1, true).with(|evidence| {
            evidence.events = vec![
                event(10_000, 10_020, "step", "kill -9 r1"),
                event(11_000, 12_000, "undo", "start r1"),
            ];
            evidence.thresholds = vec![ThresholdResult {
                metric: "latency".to_owned(),
                expression: "p(95)<500".to_owned(),
                observed: Some(9.0),
                holds: true,
                samples: 2_900,
            }];
        })
    }

    fn a_client(self, client: u32, is_hit: bool) -> Self {
        let (old, offset) = (format!("s{client}"), u64::from(client) * 7);
        let sample = self.handshake(client, &old, offset);
        let due = |range: Range<u64>| range.step_by(100).map(move |due| due + offset);
        let calls = |sample: Self, range, session: &str, took, outcome: Outcome| {
            due(range).fold(sample, |s, due| s.call_on(client, session, due, took, outcome.clone()))
        };
        let sample = calls(sample, 100..10_000, &old, 5 + u64::from(client % 4), Outcome::Ok);
        if !is_hit {
            return calls(sample, 10_000..30_000, &old, 6, Outcome::Ok);
        }
        let down = Outcome::Failed(Cause::Gateway("connection refused".to_owned()));
        let gone = Outcome::Failed(Cause::Http(404));
        let new = format!("n{client}");
        let back = 12_000 + offset;
        let sample = calls(sample, 10_000..12_000, &old, 2, down);
        let sample = sample.call_on(client, &old, back, 4, gone).handshake(client, &new, back + 6);
        calls(sample, 12_100..30_000, &new, 7, Outcome::Ok)
    }
}

fn run() -> RunInfo {
    RunInfo {
        name: "server-restart".to_owned(),
        title: "Restart a server under load".to_owned(),
        id: "20260102-030405-7".to_owned(),
        seed: Seed::new(7),
        world: "process".to_owned(),
        started: Duration::from_secs(1_767_323_045).as_nanos() as u64,
        load: "10 sessions, 100 operations/s".to_owned(),
        targets: vec!["r1".to_owned(), "r2".to_owned(), "r3".to_owned()],
    }
}
