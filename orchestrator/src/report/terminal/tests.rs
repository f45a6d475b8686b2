//! What the terminal shows, as snapshots without colour.

use super::*;
use crate::check::sample::Sample;
use crate::evidence::Evidence;
use squall_model::history::{Cause, Outcome};

fn show(evidence: &Evidence, width: u16) -> String {
    let view = View {
        color: false,
        width,
        files: vec!["squall-out/report.html".into(), "squall-out/report.json".into()],
    };
    render(&Report::from(evidence), &view)
}

/// Client 3 lost its session to a server that answers 500 where 404 is due.
fn bad_run() -> Evidence {
    let failed = Outcome::Failed(Cause::Http(500));
    let bad = Sample::killed_replica().fault("slow-calls", 0, false).with(|evidence| {
        evidence.operations.retain(|o| o.id.session() != 3 || o.completed.0 < 10_000_000_000);
    });
    (11..30).fold(bad, |s, n| s.call(3, n * 1_000, 3, failed.clone())).build()
}

#[test]
fn a_run_that_held() {
    insta::assert_snapshot!(show(&Sample::killed_replica().build(), 100));
}

#[test]
fn a_run_that_broke() {
    insta::assert_snapshot!(show(&bad_run(), 80));
}

#[test]
fn no_line_but_a_path_is_wider_than_the_terminal() {
    for width in [80, 100] {
        for evidence in [Sample::killed_replica().build(), bad_run(), Sample::new().build()] {
            let shown = show(&evidence, width);
            let widest = shown.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(usize::from(width)), "{widest:?} of {width}\n{shown}");
        }
    }
}

#[test]
fn colour_comes_only_when_asked_for() {
    let report = Report::from(&bad_run());
    let view = |color| View { color, width: 80, files: Vec::new() };
    assert!(!render(&report, &view(false)).contains('\u{1b}'));
    assert!(render(&report, &view(true)).contains('\u{1b}'));
}

#[test]
fn what_a_server_says_cannot_steer_the_terminal() {
    let evil = Outcome::Failed(Cause::Protocol("\u{1b}[2J\r\n\u{7}gotcha".to_owned()));
    let sample = Sample::killed_replica().call(1, 12_000, 5, evil);
    let sample = sample.with(|evidence| evidence.run.title = "\u{1b}]0;owned\u{7}".to_owned());
    let shown = show(&sample.build(), 100);
    assert!(shown.contains("gotcha"));
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}
