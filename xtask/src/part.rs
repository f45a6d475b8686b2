//! The parts of a test run, how each ended, and the table at the end.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::command::{Counts, Ended};

/// How a part ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok(Counts),
    Failed { counts: Counts, why: String },
    Skipped { why: String },
}

/// A part of the run under its name.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

impl Part {
    pub(crate) fn of(name: impl Into<String>, ended: Result<Ended>) -> Self {
        let outcome = match ended {
            Ok(Ended { counts, success: true, .. }) if counts.failed == 0 => Outcome::Ok(counts),
            Ok(Ended { counts, failures, .. }) => Outcome::Failed { counts, why: blame(&failures) },
            Err(error) => Outcome::Failed { counts: Counts::default(), why: format!("{error:#}") },
        };
        Self { name: name.into(), outcome }
    }

    /// A part that lacks something: skipped, or failed where `required` (the value of
    /// `SQUALL_REQUIRE`) names that something.
    pub(crate) fn lacking(name: String, need: &str, why: String, required: &str) -> Self {
        let outcome = if required.split(',').any(|one| one.trim() == need) {
            Outcome::Failed {
                counts: Counts::default(),
                why: format!("{why} (and SQUALL_REQUIRE names `{need}`)"),
            }
        } else {
            Outcome::Skipped { why }
        };
        Self { name, outcome }
    }
}

fn blame(failures: &[String]) -> String {
    if failures.is_empty() { "see above".to_owned() } else { failures.join(", ") }
}

/// Tests of which not one ran are no success.
pub(crate) fn with_tests(ended: Result<Ended>) -> Result<Ended> {
    let ended = ended?;
    ensure!(ended.counts.passed + ended.counts.failed > 0, "it ended without a test");
    Ok(ended)
}

/// Whether no part failed.
pub(crate) fn all_well(parts: &[Part]) -> bool {
    let failed = |part: &Part| matches!(part.outcome, Outcome::Failed { .. });
    !parts.iter().any(failed)
}

/// The parts, one a line, and the sum of their tests. A part that failed without a test of its
/// own to blame counts as one failure.
pub(crate) fn table(parts: &[Part]) -> String {
    let mut out = String::from("\n");
    let mut sum = Counts::default();
    let mut skipped = 0;
    for Part { name, outcome } in parts {
        let (word, counts, note) = match outcome {
            Outcome::Ok(counts) => ("ok", *counts, ""),
            Outcome::Failed { counts, why } => ("FAILED", at_least_one_failure(*counts), &**why),
            Outcome::Skipped { why } => {
                skipped += 1;
                ("skipped", Counts::default(), &**why)
            }
        };
        sum = sum.plus(counts);
        let line = format!(
            "{name:<36} {word:<8} {:>5} passed {:>4} failed  {note}",
            counts.passed, counts.failed
        );
        let _ = writeln!(out, "{}", line.trim_end()); // a String takes everything
    }
    let Counts { passed, failed } = sum;
    if skipped > 0 {
        let _ = writeln!(out, "parts skipped: {skipped} (`cargo xtask test --setup` may help)");
    }
    let _ = write!(out, "{passed} passed, {failed} failed");
    out
}

fn at_least_one_failure(counts: Counts) -> Counts {
    Counts { failed: counts.failed.max(1), ..counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(success: bool, passed: u32, failed: u32) -> Ended {
        let counts = Counts { passed, failed };
        Ended { success, counts, failures: Vec::new() }
    }

    #[test]
    fn a_part_is_ok_only_if_its_command_and_all_of_its_tests_are() {
        for (part, is_ok) in [
            (Part::of("p", Ok(ended(true, 3, 0))), true),
            (Part::of("p", Ok(ended(true, 3, 1))), false),
            (Part::of("p", Ok(ended(false, 3, 0))), false),
            (Part::of("p", Err(anyhow::anyhow!("no such file"))), false),
            (Part::of("p", Ok(ended(true, 0, 0))), true),
            (Part::of("p", with_tests(Ok(ended(true, 0, 0)))), false),
            (Part::of("p", with_tests(Ok(ended(true, 1, 0)))), true),
        ] {
            assert_eq!(all_well(&[part]), is_ok);
        }
    }

    #[test]
    fn what_is_lacking_is_a_failure_only_where_it_is_required() {
        for (required, is_ok) in [
            ("", true),
            ("docker", true),
            ("pythonic", true),
            ("python", false),
            ("docker, python", false),
        ] {
            let part = Part::lacking("p".to_owned(), "python", "missing".to_owned(), required);
            assert_eq!(all_well(&[part]), is_ok, "{required}");
        }
    }

    #[test]
    fn the_table_names_every_part_and_ends_with_the_sum() {
        let parts = [
            Part::of("workspace", Ok(ended(true, 30, 0))),
            Part::of(
                "other crate",
                Ok(Ended { failures: vec!["a::b".to_owned()], ..ended(false, 2, 1) }),
            ),
            Part::of("peer", Err(anyhow::anyhow!("it does not start"))),
            Part {
                name: "other peer".to_owned(),
                outcome: Outcome::Skipped { why: "python3 is missing".to_owned() },
            },
        ];
        let table = table(&parts);
        let lines: Vec<_> = table.trim().lines().collect();
        assert!(lines[0].starts_with("workspace") && lines[0].contains("30 passed"));
        assert!(lines[1].contains("FAILED") && lines[1].ends_with("a::b"));
        assert!(lines[2].contains("FAILED") && lines[2].ends_with("it does not start"));
        assert!(lines[3].contains("skipped") && lines[3].ends_with("python3 is missing"));
        assert_eq!(lines.last(), Some(&"32 passed, 2 failed"));
    }
}
