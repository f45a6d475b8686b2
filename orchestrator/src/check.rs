//! THE list of checkers: pure functions from a run's evidence to findings, and the verdict they give.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;

pub(crate) mod baseline;
pub(crate) mod conformance;
pub(crate) mod exercise;
pub(crate) mod percentile;
pub(crate) mod provenance;
pub(crate) mod recovery;
pub(crate) mod reinit;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod steps;
pub(crate) mod thresholds;
pub(crate) mod words;

/// THE list of checkers, in the order in which reports show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checker {
    /// Was there something steady to hold the rest against?
    Baseline,
    /// Did everything that was to break really break?
    Exercise,
    /// Could the drill do what it was to do?
    Steps,
    /// Did the service become steady again?
    Recovery,
    /// Did every session find its way back, and only those that had to?
    Reinit,
    /// Did the server keep to the specification?
    Conformance,
    /// Did the drill's own thresholds hold?
    Thresholds,
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Exercise => "exercise",
            Self::Steps => "steps",
            Self::Recovery => "recovery",
            Self::Reinit => "reinit",
            Self::Conformance => "conformance",
            Self::Thresholds => "thresholds",
        })
    }
}

/// What one checker came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Judgement {
    /// It is as it should be.
    Held,
    /// It is not.
    Broken,
    /// It could not be told, which is never a pass.
    Unknown,
}

impl Judgement {
    /// One character for it.
    pub(crate) fn glyph(self) -> char {
        match self {
            Self::Held => '✓',
            Self::Broken => '✗',
            Self::Unknown => '?',
        }
    }
}

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Which checker.
    pub(crate) checker: Checker,
    /// What it came to.
    pub(crate) verdict: Judgement,
    /// One sentence for people, with the numbers.
    pub(crate) summary: String,
    /// More, a line each.
    pub(crate) details: Vec<String>,
}

impl Finding {
    fn new(checker: Checker, verdict: Judgement, summary: impl Into<String>) -> Self {
        Self { checker, verdict, summary: summary.into(), details: Vec::new() }
    }

    /// A run that ended before its time says nothing of how the service came back: there was no time
    /// for it, or what looks broken is the doing of the drill, which failed. An answer that broke the specification stays one.
    fn doubt(&mut self, why: &str) {
        let depends =
            matches!(self.checker, Checker::Recovery | Checker::Reinit | Checker::Thresholds);
        if depends && self.verdict != Judgement::Unknown {
            self.verdict = Judgement::Unknown;
            let seen = std::mem::take(&mut self.summary);
            self.summary = format!("It cannot be told, the run ended before its time: {why}.");
            self.details.insert(0, format!("until then: {seen}"));
        }
    }

    fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }
}

/// What the checkers measure, computed once for findings and reports alike.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// What steady looked like.
    pub(crate) baseline: baseline::Baseline,
    /// How the service came back.
    pub(crate) recovery: recovery::Recovery,
    /// How the sessions came back.
    pub(crate) reinit: reinit::Reinit,
    /// Where the server broke the specification.
    pub(crate) breaches: Vec<conformance::Breach>,
}

impl Measured {
    /// Measures a run.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let baseline = baseline::measure(evidence);
        Self {
            recovery: recovery::measure(evidence, &baseline),
            baseline,
            reinit: reinit::measure(evidence),
            breaches: conformance::measure(evidence),
        }
    }
}

/// Runs every checker.
pub(crate) fn findings(evidence: &Evidence, measured: &Measured) -> Vec<Finding> {
    let mut findings = vec![
        baseline::check(evidence, &measured.baseline),
        exercise::check(evidence),
        steps::check(&evidence.failures),
        recovery::check(evidence, measured),
        reinit::check(evidence, &measured.reinit),
        conformance::check(&measured.breaches),
        thresholds::check(&evidence.thresholds),
    ];
    if let Some(why) = evidence.cut_short.as_ref().or(evidence.stopped.as_ref()) {
        for finding in &mut findings {
            finding.doubt(why);
        }
    }
    findings
}

/// What a whole run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every finding held.
    Held,
    /// A finding is broken.
    Broken,
    /// It could not be told: a fault never fired, the baseline was not steady.
    Unknown,
    /// A stop condition or an interrupt ended it; all was rolled back.
    Stopped,
    /// Something that the run changed could not be put back.
    RollbackIncomplete,
    /// It could not begin: a port in use, no engine, an output folder that cannot be written.
    NotStarted,
}

impl Verdict {
    /// The verdict of a run that was rolled back, and why: a stop over what is broken, that over
    /// what is unknown.
    pub(crate) fn of(evidence: &Evidence, findings: &[Finding]) -> (Self, String) {
        if let Some(why) = &evidence.stopped {
            return (Self::Stopped, why.clone());
        }
        for (judgement, verdict) in
            [(Judgement::Broken, Self::Broken), (Judgement::Unknown, Self::Unknown)]
        {
            let mut such: Vec<_> = findings
                .iter()
                .filter(|finding| finding.verdict == judgement)
                .map(|finding| finding.summary.as_str())
                .collect();
            such.dedup();
            if !such.is_empty() {
                return (verdict, such.join(" "));
            }
        }
        (Self::Held, held_reason(findings))
    }

    /// The exit code, the same everywhere.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Broken => 1,
            Self::Unknown | Self::NotStarted => 3,
            Self::RollbackIncomplete => 4,
            Self::Stopped => 5,
        }
    }

    /// One character for it.
    pub(crate) fn glyph(self) -> char {
        match self {
            Self::Held => '✓',
            Self::Broken | Self::RollbackIncomplete => '✗',
            Self::Unknown | Self::NotStarted => '?',
            Self::Stopped => '■',
        }
    }

    /// Of two runs, the verdict that counts for both: exit code 4 over 5 over 1 over 3 over 0.
    #[must_use]
    pub(crate) fn worse(self, other: Self) -> Self {
        if other.severity() > self.severity() { other } else { self }
    }

    fn severity(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Unknown => 1,
            Self::NotStarted => 2,
            Self::Broken => 3,
            Self::Stopped => 4,
            Self::RollbackIncomplete => 5,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::RollbackIncomplete => "rollback incomplete",
            Self::NotStarted => "not started",
        })
    }
}

/// What held says for itself: how the service and the sessions came back.
fn held_reason(findings: &[Finding]) -> String {
    let told = |finding: &&Finding| matches!(finding.checker, Checker::Recovery | Checker::Reinit);
    let told: Vec<_> = findings.iter().filter(told).collect();
    if told.is_empty() {
        return "Every check held.".to_owned();
    }
    told.iter().map(|finding| finding.summary.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::sample::Sample;

    fn finding(verdict: Judgement, summary: &str) -> Finding {
        Finding::new(Checker::Recovery, verdict, summary)
    }

    #[test]
    fn a_stop_outranks_what_is_broken_and_that_what_is_unknown() {
        let held = finding(Judgement::Held, "Fine.");
        let unknown = finding(Judgement::Unknown, "Who knows.");
        let broken = finding(Judgement::Broken, "Bad.");
        let quiet = Sample::new().build();
        let stopped = Sample::new().stopped("SIGINT").build();
        for (evidence, findings, verdict, code) in [
            (&quiet, vec![held.clone()], Verdict::Held, 0),
            (&quiet, vec![held.clone(), unknown.clone()], Verdict::Unknown, 3),
            (&quiet, vec![unknown.clone(), broken.clone()], Verdict::Broken, 1),
            (&stopped, vec![unknown, broken], Verdict::Stopped, 5),
            (&stopped, vec![held], Verdict::Stopped, 5),
        ] {
            let (found, reason) = Verdict::of(evidence, &findings);
            assert_eq!((found, found.exit_code()), (verdict, code), "{reason}");
        }
    }

    #[test]
    fn of_several_runs_the_worst_counts() {
        use Verdict::{Broken, Held, NotStarted, RollbackIncomplete, Stopped, Unknown};
        let order = [Held, Unknown, NotStarted, Broken, Stopped, RollbackIncomplete];
        for (rank, verdict) in order.into_iter().enumerate() {
            for better in &order[..=rank] {
                assert_eq!(better.worse(verdict), verdict);
                assert_eq!(verdict.worse(*better), verdict);
            }
        }
    }

    #[test]
    fn the_reason_names_every_finding_of_the_verdict_and_no_other() {
        let findings = [
            finding(Judgement::Broken, "Bad."),
            finding(Judgement::Unknown, "Who knows."),
            finding(Judgement::Broken, "Worse."),
        ];
        let (_, reason) = Verdict::of(&Sample::new().build(), &findings);
        assert_eq!(reason, "Bad. Worse.");
    }

    #[test]
    fn a_run_that_the_drill_cut_short_is_unknown_and_no_verdict_on_the_service() {
        let sample = Sample::steady_but_failing(12_000..30_000).with(|evidence| {
            evidence.cut_short = Some("the drill's proxy has ended".to_owned());
        });
        let evidence = sample.build();
        let findings = findings(&evidence, &Measured::of(&evidence));
        let (verdict, reason) = Verdict::of(&evidence, &findings);
        assert_eq!(verdict, Verdict::Unknown, "{reason}");
        assert!(reason.contains("the drill's proxy has ended"), "{reason}");
    }

    #[test]
    fn a_stop_says_nothing_of_the_recovery_that_it_left_no_time_for() {
        let sample = Sample::steady_but_failing(12_000..30_000).stopped("SIGINT");
        let evidence = sample.build();
        for finding in findings(&evidence, &Measured::of(&evidence)) {
            let depends = matches!(finding.checker, Checker::Recovery | Checker::Reinit);
            assert!(!depends || finding.verdict == Judgement::Unknown, "{finding:?}");
        }
    }

    #[test]
    fn a_good_run_holds_in_every_checker() {
        let evidence = Sample::killed_replica().build();
        let measured = Measured::of(&evidence);
        for finding in findings(&evidence, &measured) {
            assert_eq!(finding.verdict, Judgement::Held, "{finding:?}");
        }
    }
}
