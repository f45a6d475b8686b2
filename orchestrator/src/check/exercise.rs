//! Exercise: did everything that was to break really break? What never fired proves nothing.

use super::percentile::ms;
use super::words::{count, time};
use super::{Checker, Finding, Judgement};
use crate::evidence::{Evidence, FaultUse};

/// Unknown where a fault never fired or a step was not carried out.
pub(crate) fn check(evidence: &Evidence) -> Finding {
    let faults = &evidence.faults;
    let idle: Vec<_> = faults.iter().filter(|fault| fault.hits == 0).collect();
    if faults.is_empty() {
        let summary = "Nothing was to be broken.";
        return Finding::new(Checker::Exercise, Judgement::Held, summary);
    }
    let details = faults.iter().map(describe).collect();
    let finding = if idle.is_empty() {
        let summary = format!("{} came about.", all(faults.len() as u64));
        Finding::new(Checker::Exercise, Judgement::Held, summary)
    } else {
        let said: Vec<_> = idle.into_iter().map(say_idle).collect();
        let summary = format!("{}.", said.join("; "));
        Finding::new(Checker::Exercise, Judgement::Unknown, summary)
    };
    finding.with_details(details)
}

fn all(number: u64) -> String {
    match number {
        1 => "The fault".to_owned(),
        2 => "Both faults".to_owned(),
        number => format!("All {number} faults"),
    }
}

fn say_idle(fault: &FaultUse) -> String {
    let FaultUse { id, what, .. } = fault;
    if fault.step {
        format!("Step {id} ({what}) was not carried out")
    } else {
        format!("Fault {id} ({what}) never fired: no traffic matched it while it was live")
    }
}

fn describe(fault: &FaultUse) -> String {
    let FaultUse { id, what, hits, seen_after, .. } = fault;
    let seen = seen_after
        .map(|after| format!(", seen by the engine {} after it was begun", time(ms(after))));
    format!("{id} ({what}): {}{}", count(*hits, "hit"), seen.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::sample::Sample;

    #[test]
    fn a_fault_that_never_fired_makes_the_run_unknown() {
        for (hits, expected) in [
            (vec![], Judgement::Held),
            (vec![1], Judgement::Held),
            (vec![0], Judgement::Unknown),
            (vec![9, 0], Judgement::Unknown),
            (vec![9, 1, 5], Judgement::Held),
        ] {
            let sample = hits.iter().fold(Sample::new(), |s, hits| s.fault("slow", *hits, false));
            let finding = check(&sample.build());
            assert_eq!(finding.verdict, expected, "{hits:?}");
        }
    }

    #[test]
    fn it_says_which_fault_and_which_step() {
        let sample = Sample::new().fault("slow", 0, false).fault("kill", 0, true);
        let summary = check(&sample.build()).summary;
        assert!(summary.contains("Fault slow") && summary.contains("never fired"), "{summary}");
        assert!(summary.contains("Step kill") && summary.contains("not carried out"), "{summary}");
    }
}
