//! What `report.json` says.

use proptest::prelude::*;
use squall_model::history::{Cause, Outcome};

use super::*;
use crate::check::sample::Sample;

#[test]
fn the_whole_file() {
    let mut report = Report::from(&Sample::killed_replica().build());
    report.timeline.truncate(2);
    report.paths.truncate(1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).expect("a report is JSON"));
}

#[test]
fn a_report_survives_the_journey_through_json() {
    let report = Report::from(&Sample::killed_replica().build());
    let text = serde_json::to_string(&report).expect("a report is JSON");
    let back: Report = serde_json::from_str(&text).expect("a report");
    let again = serde_json::to_string(&back).expect("a report is JSON");
    assert_eq!(again, text);
}

#[test]
fn a_run_without_any_operation_has_a_report_too() {
    let report = Report::from(&Sample::new().build());
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!((report.sessions.total, report.operations.len()), (0, 0));
    serde_json::to_string(&report).expect("a report is JSON");
}

#[test]
fn every_error_has_one_origin() {
    let failed = Outcome::Failed(Cause::Http(500));
    let sample = Sample::killed_replica().call(9, 2_000, 5, failed.clone()).marked("f");
    let report = Report::from(&sample.call(9, 3_000, 5, failed).build());
    let errors = report.errors;
    assert_eq!((errors.origin.injected, errors.origin.organic), (1, 1));
    assert_eq!(errors.total, errors.origin.total());
    assert_eq!(
        errors.total,
        errors.by_cause.values().map(operations::OriginCounts::total).sum::<u64>()
    );
}

#[test]
fn only_a_worse_verdict_overrules() {
    let mut report = Report::from(&Sample::killed_replica().build());
    report.overrule(Verdict::RollbackIncomplete, "r1 could not be started.");
    assert_eq!((report.verdict, report.exit_code), (Verdict::RollbackIncomplete, 4));
    assert!(report.reason.starts_with("r1 could not be started."));
    report.overrule(Verdict::Stopped, "SIGINT.");
    assert_eq!(report.verdict, Verdict::RollbackIncomplete);
}

/// A moment: early, around the fault, or absurd.
fn any_moment() -> impl Strategy<Value = Nanos> {
    prop_oneof![
        (0u64..40_000_000_000).prop_map(Nanos),
        (0u64..40).prop_map(|second| Nanos(second * 1_000_000_000)),
        any::<u64>().prop_map(Nanos),
    ]
}

fn any_span() -> impl Strategy<Value = Span> {
    (any_moment(), any_moment()).prop_map(|(from, to)| Span { from, to })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_history_makes_a_report_panic(
        moments in prop::collection::vec((1u32..5, any_moment(), any_moment(), 0usize..4), 0..60),
        baseline in any_span(),
        fault in prop::option::of(any_span()),
        recovery in any_span(),
        width in any::<u16>(),
    ) {
        let outcomes = [
            Outcome::Ok,
            Outcome::Failed(Cause::Http(404)),
            Outcome::Failed(Cause::NotSent),
            Outcome::Unknown(Cause::Timeout),
        ];
        let mut sample = Sample::new();
        for (client, due, completed, outcome) in moments {
            sample = sample.call(client, 0, 0, outcomes[outcome].clone()).with(|evidence| {
                if let Some(operation) = evidence.operations.last_mut() {
                    (operation.due, operation.completed) = (due, completed);
                }
            });
        }
        let sample = sample.with(|evidence| {
            evidence.phases.baseline = baseline;
            evidence.phases.recovery = recovery;
            evidence.fault = fault;
        });
        let report = Report::from(&sample.build());
        let view = terminal::View { color: false, width, files: Vec::new() };
        terminal::render(&report, &view);
        html::render(&report).expect("a page");
        serde_json::to_string(&report).expect("a report is JSON");
    }
}
