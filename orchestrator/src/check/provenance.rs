//! Provenance: whether an error was injected, followed from a fault, or came by itself.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use squall_model::history::{Nanos, Operation};
use squall_model::operation::OperationId;

use super::recovery::Recovery;
use crate::evidence::Evidence;

/// Where an error came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provenance {
    /// A fault of the proxy made it.
    Injected,
    /// It fell into a fault's time or the recovery from it.
    Secondary,
    /// Neither.
    Organic,
}

/// Tells errors apart.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    injected: HashSet<OperationId>,
    /// From the fault's start to recovery (not included), or without end.
    aftermath: Option<(Nanos, Nanos)>,
}

impl Origins {
    /// For the errors of this run.
    pub(crate) fn of(evidence: &Evidence, recovery: &Recovery) -> Self {
        let recovered = recovery.recovered_at.unwrap_or(Nanos(u64::MAX));
        let aftermath = evidence.fault.map(|span| (span.from, recovered.max(span.to)));
        Self { injected: evidence.injected(), aftermath }
    }

    /// Where this operation's error came from.
    pub(crate) fn tell(&self, operation: &Operation) -> Provenance {
        let moment = operation.completed;
        if self.injected.contains(&operation.id) {
            Provenance::Injected
        } else if self.aftermath.is_some_and(|(from, to)| from <= moment && operation.due < to) {
            Provenance::Secondary
        } else {
            Provenance::Organic
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_model::history::{Cause, Outcome};

    use super::*;
    use crate::check::Measured;
    use crate::check::sample::Sample;

    fn tell(sample: Sample) -> Vec<Provenance> {
        let evidence = sample.build();
        let recovery = Measured::of(&evidence).recovery;
        let origins = Origins::of(&evidence, &recovery);
        let bad = evidence.operations.iter().filter(|o| !o.outcome.is_ok());
        bad.map(|operation| origins.tell(operation)).collect()
    }

    #[test]
    fn an_error_is_secondary_from_the_fault_until_recovery_and_organic_elsewhere() {
        let failed = || Outcome::Failed(Cause::Timeout);
        for (due, expected) in [
            (9_000, Provenance::Organic),
            (10_000, Provenance::Secondary),
            (12_500, Provenance::Secondary),
            (25_000, Provenance::Organic),
        ] {
            let sample = Sample::steady_but_failing(12_000..13_000).call(1, due, 5, failed());
            assert!(tell(sample).contains(&expected), "{due}");
            if expected == Provenance::Organic {
                let quiet = Sample::steady_but_failing(0..0).call(1, due, 5, failed());
                assert_eq!(tell(quiet), [expected], "{due}");
            }
        }
    }

    #[test]
    fn what_was_sent_before_the_fault_and_ended_in_it_is_secondary() {
        let sample = Sample::steady_but_failing(0..0);
        let cut = sample.call(1, 9_990, 50, Outcome::Unknown(Cause::Closed));
        assert_eq!(tell(cut), [Provenance::Secondary]);
    }

    #[test]
    fn an_operation_that_a_fault_names_or_that_is_named_by_an_injection_is_injected() {
        let sample = Sample::steady_but_failing(0..0);
        let failed = Outcome::Failed(Cause::Http(500));
        let marked = sample.clone().call(1, 3_000, 5, failed.clone()).marked("slow");
        assert_eq!(tell(marked), [Provenance::Injected]);
        let logged = sample.call(1, 3_000, 5, failed).logged("slow");
        assert_eq!(tell(logged), [Provenance::Injected]);
    }
}
