//! Steps: could the drill do what it was to do? A replica that does not come back is a finding.

use super::{Checker, Finding, Judgement};
use crate::evidence::Failure;

/// Broken where what is drilled would not be put back; unknown where the drill itself failed.
pub(crate) fn check(failures: &[Failure]) -> Finding {
    let judgement = match failures {
        [] => Judgement::Held,
        failures if failures.iter().any(|failure| failure.tells) => Judgement::Broken,
        _ => Judgement::Unknown,
    };
    let said: Vec<_> = failures.iter().map(|failure| failure.what.as_str()).collect();
    let summary = match &said[..] {
        [] => "Every step was carried out.".to_owned(),
        said => format!("{}.", said.join("; ")),
    };
    Finding::new(Checker::Steps, judgement, summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_does_not_come_back_is_broken_and_a_drill_that_fails_is_unknown() {
        let failure = |tells| Failure { what: "start: not ready".into(), tells };
        for (failures, expected) in [
            (vec![], Judgement::Held),
            (vec![failure(false)], Judgement::Unknown),
            (vec![failure(false), failure(true)], Judgement::Broken),
        ] {
            assert_eq!(check(&failures).verdict, expected, "{failures:?}");
        }
    }
}
