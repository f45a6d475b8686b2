//! The definition of recovered, at its edges. The fault begins at 10 s, the run ends at 30 s.

use std::ops::Range;

use squall_model::history::{Cause, Outcome};

use super::*;
use crate::check::sample::{Sample, at, span};

fn measured(sample: Sample) -> (Recovery, Finding) {
    let evidence = sample.build();
    let measured = Measured::of(&evidence);
    let finding = check(&evidence, &measured);
    (measured.recovery, finding)
}

/// Calls that are due in `bad` fail; then the service recovered so many ms after the fault's start.
fn check_failing(bad: Range<u64>, expected: Option<f64>) {
    let (recovery, finding) = measured(Sample::steady_but_failing(bad.clone()));
    assert_eq!(recovery.recovered_ms, expected, "{bad:?}");
    let verdict = if expected.is_some() { Judgement::Held } else { Judgement::Broken };
    assert_eq!(finding.verdict, verdict, "{bad:?}: {}", finding.summary);
}

#[test]
fn recovered_is_the_first_operation_after_the_last_unsteady_window() {
    check_failing(10_000..10_500, Some(1_000.0));
    check_failing(10_990..11_010, Some(0.0)); // one error in each of two windows of 100
    check_failing(10_900..11_100, Some(2_000.0));
    check_failing(12_300..12_400, Some(3_000.0));
    check_failing(10_000..24_000, Some(14_000.0));
}

#[test]
fn it_counts_only_if_steadiness_holds_for_five_seconds() {
    check_failing(24_900..25_000, Some(15_000.0));
    check_failing(24_900..25_100, None);
    check_failing(29_900..30_000, None);
    check_failing(10_000..30_000, None);
}

#[test]
fn one_relapse_puts_recovery_off() {
    let again = |s: Sample| {
        let failed = Outcome::Failed(Cause::Reset);
        (0..10).fold(s, |s, n| s.call(1, 20_000 + n, 10, failed.clone()))
    };
    let (recovery, _) = measured(again(Sample::steady_but_failing(10_000..10_500)));
    assert_eq!((recovery.recovered_ms, recovery.unsteady_windows), (Some(11_000.0), 2));
}

#[test]
fn an_error_rate_within_a_percentage_point_of_the_baseline_is_steady() {
    check_failing(12_000..12_010, Some(0.0)); // 1 of 100
    check_failing(12_000..12_020, Some(3_000.0)); // 2 of 100
}

#[test]
fn no_error_at_all_means_that_none_had_to_recover() {
    let (recovery, finding) = measured(Sample::steady_but_failing(0..0));
    assert_eq!((recovery.first_error_ms, recovery.first_success_ms), (None, None));
    assert_eq!(recovery.recovered_ms, Some(0.0));
    assert!(finding.summary.contains("No error followed"), "{}", finding.summary);
}

#[test]
fn errors_and_successes_count_from_the_start_of_the_fault_when_they_end() {
    let (recovery, _) = measured(Sample::steady_but_failing(10_200..10_500));
    assert_eq!(recovery.first_error_ms, Some(210.0));
    assert_eq!(recovery.first_success_ms, Some(510.0));
    let cut = Sample::steady_but_failing(0..0).call(1, 9_990, 15, Outcome::Unknown(Cause::Closed));
    assert_eq!(measured(cut).0.first_error_ms, Some(5.0));
}

#[test]
fn an_unknown_outcome_is_not_successful() {
    let lost = Outcome::Unknown(Cause::Timeout);
    let sample = Sample::steady_but_failing(0..0);
    let sample = (0..5).fold(sample, |s, n| s.call(1, 12_000 + n, 10, lost.clone()));
    assert_eq!(measured(sample).0.recovered_ms, Some(3_000.0));
}

/// Ten calls of 12 s take `took` ms, of 110 in that window; the baseline's p95 is 10 ms.
fn slow(took: u64) -> Sample {
    let sample = Sample::steady_but_failing(0..0);
    (0..10).fold(sample, |s, n| s.call(1, 12_000 + n, took, Outcome::Ok))
}

#[test]
fn a_p95_up_to_twice_the_baseline_or_20_ms_above_is_steady_whichever_is_more() {
    assert_eq!(measured(slow(30)).0.recovered_ms, Some(0.0));
    assert_eq!(measured(slow(31)).0.recovered_ms, Some(3_000.0));
    let strict = |s: Sample| s.with(|e| e.steady.p95_slack = Duration::from_millis(5));
    assert_eq!(measured(strict(slow(20))).0.recovered_ms, Some(0.0));
    assert_eq!(measured(strict(slow(21))).0.recovered_ms, Some(3_000.0));
}

#[test]
fn a_window_without_operations_is_not_steady() {
    let silent = |from: u64, to: u64| {
        Sample::steady_but_failing(0..0).with(|evidence| {
            evidence.operations.retain(|o| !span(from..to).contains(o.due));
        })
    };
    assert_eq!(measured(silent(12_000, 13_000)).0.recovered_ms, Some(3_000.0));
    assert_eq!(measured(silent(12_000, 12_990)).0.recovered_ms, Some(0.0));
    let (recovery, finding) = measured(silent(13_000, 30_000));
    assert_eq!((recovery.recovered_ms, finding.verdict), (None, Judgement::Broken));
}

#[test]
fn what_is_left_at_the_end_belongs_to_the_last_window() {
    let end = |to: u64, bad: Range<u64>| {
        let sample = Sample::steady_but_failing(bad);
        measured(sample.with(|e| e.phases.recovery.to = at(to))).0.recovered_ms
    };
    assert_eq!(end(29_400, 0..0), Some(0.0));
    assert_eq!(end(29_400, 29_380..29_400), None);
    assert_eq!(end(29_400, 29_390..29_400), Some(0.0)); // 1 of 140
    assert_eq!(end(29_400, 29_400..30_000), Some(0.0)); // after the end
}

#[test]
fn windows_count_from_the_start_of_the_fault_and_not_of_the_second() {
    let sample = Sample::steady_but_failing(10_700..10_900);
    let shifted = sample.with(|e| e.fault = Some(span(10_800..15_000)));
    assert_eq!(measured(shifted).0.recovered_ms, Some(1_000.0));
}

#[test]
fn the_handshake_is_no_part_of_it() {
    let failed = Outcome::Failed(Cause::Refused);
    let sample = Sample::steady_but_failing(0..0);
    let sample = (0..50).fold(sample, |s, n| {
        s.handshake_step(1, "initialize", None, 12_000 + n, 500, failed.clone())
    });
    assert_eq!(measured(sample).0.first_error_ms, None);
}

#[test]
fn what_was_due_in_the_last_window_and_not_sent_any_more_does_not_count() {
    let unsent = |from: u64| {
        let failed = Outcome::Failed(Cause::NotSent);
        let due = (from..from + 50).step_by(10);
        let sample = Sample::steady_but_failing(0..0);
        due.fold(sample, |s, due| s.call(1, due, 30_000 - due, failed.clone()))
    };
    let (recovery, _) = measured(unsent(29_500));
    assert_eq!((recovery.first_error_ms, recovery.recovered_ms), (None, Some(0.0)));
    assert_eq!(measured(unsent(27_000)).0.recovered_ms, None);
}

#[test]
fn without_a_steady_baseline_recovery_cannot_be_judged() {
    let (_, finding) = measured(Sample::steady_but_failing(0..5_000));
    assert_eq!(finding.verdict, Judgement::Unknown);
}

#[test]
fn a_fault_that_never_began_is_unknown_and_no_fault_at_all_held() {
    let none = |s: Sample| measured(s.with(|e| e.fault = None)).1.verdict;
    let planned = Sample::steady_but_failing(0..0).fault("kill", 0, true);
    assert_eq!(none(planned), Judgement::Unknown);
    assert_eq!(none(Sample::steady_but_failing(0..0)), Judgement::Held);
}

#[test]
fn a_phase_of_absurd_length_fills_no_memory() {
    let sample = Sample::steady_but_failing(0..0);
    let endless = sample.with(|e| e.phases.recovery.to = Nanos(u64::MAX));
    assert_eq!(measured(endless).1.verdict, Judgement::Broken);
}

#[test]
fn what_is_unsteady_though_no_fault_fired_is_unknown_and_not_broken() {
    let evidence = Sample::steady_but_failing(12_000..30_000).fault("slow", 0, false).build();
    let finding = check(&evidence, &Measured::of(&evidence));
    assert_eq!(finding.verdict, Judgement::Unknown, "{}", finding.summary);
}
