//! Conformance: answers that break the specification.
//!
//! What a fault of the proxy touched is never a breach, nor is what a gateway says of its upstream
//! (502, 504), nor a server that is overloaded (429, 503).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use squall_model::history::{Cause, Operation};
use squall_model::operation::OperationId;

use super::words::count;
use super::{Checker, Finding, Judgement};
use crate::evidence::Evidence;

const SESSION_MANAGEMENT: &str = "MCP 2025-11-25 basic/transports, Session Management";
const TRANSPORTS: &str = "MCP 2025-11-25 basic/transports";
/// How many different breaches are told apart; what a server says is not ours to bound otherwise.
const KINDS: usize = 50;
/// How many operations are named for each.
const SAMPLES: usize = 5;

/// One way in which the server broke the specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breach {
    /// What it did, such as `answered 500 where 404 is due`.
    pub(crate) what: String,
    /// The part of the specification that says otherwise.
    pub(crate) source: String,
    /// How often.
    pub(crate) count: u64,
    /// The ids of some operations that met it.
    pub(crate) operations: Vec<OperationId>,
}

/// Gathers the breaches, the most frequent first.
pub(crate) fn measure(evidence: &Evidence) -> Vec<Breach> {
    let injected = evidence.injected();
    let lost = lost_sessions(evidence);
    let mut breaches: BTreeMap<String, Breach> = BTreeMap::new();
    for operation in &evidence.operations {
        if injected.contains(&operation.id) {
            continue;
        }
        let late = operation.completed >= evidence.damage_from();
        let on_lost = late && is_on_lost_session(&lost, operation);
        if let Some((what, source)) = breach_of(operation, on_lost) {
            note(&mut breaches, what, source, operation.id);
        }
    }
    let mut breaches: Vec<_> = breaches.into_values().collect();
    breaches.sort_by_key(|breach| std::cmp::Reverse(breach.count));
    breaches
}

/// The sessions whose home was broken, by client.
fn lost_sessions(evidence: &Evidence) -> HashMap<u32, &Arc<str>> {
    let broken = evidence.sessions_at_fault.iter().filter(|at| at.broken);
    broken.filter_map(|at| Some((at.client, at.session.as_ref()?))).collect()
}

fn is_on_lost_session(lost: &HashMap<u32, &Arc<str>>, operation: &Operation) -> bool {
    let session = operation.session.as_ref();
    session.is_some() && lost.get(&operation.id.session()).copied() == session
}

fn breach_of(operation: &Operation, on_lost_session: bool) -> Option<(String, &'static str)> {
    match operation.outcome.cause()? {
        Cause::Protocol(what) => Some((what.clone(), TRANSPORTS)),
        Cause::Http(404 | 429 | 502 | 503 | 504) => None,
        Cause::Http(status @ 400..=599) if on_lost_session => {
            let what = format!("answered {status} where 404 is due");
            Some((what, SESSION_MANAGEMENT))
        }
        _ => None,
    }
}

fn note(breaches: &mut BTreeMap<String, Breach>, what: String, source: &str, id: OperationId) {
    let what = if breaches.len() < KINDS || breaches.contains_key(&what) {
        what
    } else {
        "other violations of the protocol".to_owned()
    };
    let breach = breaches.entry(what.clone()).or_insert_with(|| Breach {
        what,
        source: source.to_owned(),
        count: 0,
        operations: Vec::new(),
    });
    breach.count += 1;
    if breach.operations.len() < SAMPLES {
        breach.operations.push(id);
    }
}

/// Broken where the server broke the specification.
pub(crate) fn check(breaches: &[Breach]) -> Finding {
    let said = |breach: &Breach| format!("{} ({})", breach.what, count(breach.count, "time"));
    let Some((first, more)) = breaches.split_first() else {
        let summary = "No answer broke the specification.";
        return Finding::new(Checker::Conformance, Judgement::Held, summary);
    };
    let others = match more.len() as u64 {
        0 => String::new(),
        1 => ", and in another way".to_owned(),
        number => format!(", and in {number} other ways"),
    };
    let summary = format!("The server broke the specification: {}{others}.", said(first));
    let details = breaches.iter().map(|b| format!("{}: {}", said(b), b.source));
    Finding::new(Checker::Conformance, Judgement::Broken, summary).with_details(details.collect())
}

#[cfg(test)]
mod tests {
    use squall_model::history::Outcome;

    use super::*;
    use crate::check::sample::Sample;

    const LATE: u64 = 12_000;

    /// Client 1 lives on what is broken, client 2 does not.
    fn sample() -> Sample {
        Sample::new().lives(1, "s1", true).lives(2, "s2", false)
    }

    fn whats(sample: Sample) -> Vec<String> {
        let breaches = measure(&sample.build());
        breaches.into_iter().map(|breach| breach.what).collect()
    }

    #[test]
    fn a_lost_session_is_due_a_404_and_nothing_else() {
        for (client, session, due, cause, expected) in [
            (1, "s1", LATE, Cause::Http(500), Some("answered 500 where 404 is due")),
            (1, "s1", LATE, Cause::Http(400), Some("answered 400 where 404 is due")),
            (1, "s1", LATE, Cause::Http(401), Some("answered 401 where 404 is due")),
            (1, "s1", LATE, Cause::Http(404), None),
            (1, "s1", LATE, Cause::Http(429), None),
            (1, "s1", LATE, Cause::Http(502), None),
            (1, "s1", LATE, Cause::Http(503), None),
            (1, "s1", LATE, Cause::Gateway("refused".into()), None),
            (1, "s1", LATE, Cause::Refused, None),
            (1, "s1", 500, Cause::Http(500), None),
            (1, "other", LATE, Cause::Http(500), None),
            (2, "s2", LATE, Cause::Http(500), None),
            (2, "s2", 500, Cause::Protocol("no id".into()), Some("no id")),
        ] {
            let outcome = Outcome::Failed(cause);
            let found = whats(sample().call_on(client, session, due, 5, outcome.clone()));
            assert_eq!(found.first().map(String::as_str), expected, "{session} {outcome:?}");
        }
    }

    #[test]
    fn what_was_injected_is_no_breach() {
        let failed = Outcome::Failed(Cause::Http(500));
        let call = sample().call_on(1, "s1", LATE, 5, failed);
        assert_eq!(whats(call.clone().marked("f")), [""; 0]);
        assert_eq!(whats(call.logged("f")), [""; 0]);
    }

    #[test]
    fn breaches_are_counted_named_and_broken() {
        let failed = Outcome::Failed(Cause::Http(500));
        let many = (0..7).fold(sample(), |s, n| s.call_on(1, "s1", LATE + n, 5, failed.clone()));
        let breaches = measure(&many.build());
        assert_eq!((breaches.len(), breaches[0].count, breaches[0].operations.len()), (1, 7, 5));
        let finding = check(&breaches);
        assert_eq!(finding.verdict, Judgement::Broken);
        assert_eq!(
            finding.summary,
            "The server broke the specification: answered 500 where 404 is due (7 times)."
        );
        assert!(finding.details[0].contains("Session Management"), "{finding:?}");
    }

    #[test]
    fn a_server_with_endless_ways_to_break_it_fills_no_memory() {
        let say = |n: u64| Outcome::Failed(Cause::Protocol(format!("nonsense {n}")));
        let many = (0..500).fold(sample(), |s, n| s.call(2, n, 5, say(n)));
        let breaches = measure(&many.build());
        assert_eq!(breaches.len(), KINDS + 1);
        assert_eq!(breaches.iter().map(|breach| breach.count).sum::<u64>(), 500);
    }
}
