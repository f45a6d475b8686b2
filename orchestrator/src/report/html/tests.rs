//! What the page holds, and what it must never hold.

use squall_model::history::{Cause, Event, Outcome};

use super::*;
use crate::check::sample::{Sample, at};

fn page(sample: Sample) -> String {
    render(&Report::from(&sample.build())).expect("a page")
}

#[test]
fn the_page_shows_the_verdict_the_charts_and_the_tables() {
    let page = page(Sample::killed_replica());
    for part in
        ["Held", "Throughput", "Errors", "Latency", "Recovery of each session", "kill -9 r1"]
    {
        assert!(page.contains(part), "no {part}");
    }
    assert_eq!(page.matches("<svg").count(), 8);
}

#[test]
fn the_page_needs_nothing_from_a_network_and_runs_no_script() {
    let page = page(Sample::killed_replica()).replace("http://www.w3.org/2000/svg", "");
    for part in ["<script", "http:", "https:", "url(", "@import", "<link", "<img"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn every_colour_of_a_chart_follows_the_theme() {
    let page = page(Sample::killed_replica());
    for attribute in ["fill=\"#", "stroke=\"#"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[test]
fn what_a_drill_or_a_server_says_is_escaped_everywhere() {
    const EVIL: &str = "<b onload=\"x\">'&</b>";
    let said = Outcome::Failed(Cause::Protocol(EVIL.to_owned()));
    let sample = Sample::killed_replica().call_on(1, "n1", 12_900, 5, said.clone());
    let sample = sample.operation(1, EVIL, Some(EVIL), 20_000, 5, Outcome::Ok);
    let page =
        page(sample.lives(99, EVIL, true).call_on(99, EVIL, 12_000, 5, said).with(|evidence| {
            let run = &mut evidence.run;
            for text in [&mut run.name, &mut run.title, &mut run.id, &mut run.world, &mut run.load]
            {
                EVIL.clone_into(text);
            }
            run.targets = vec![EVIL.to_owned()];
            evidence.faults[0].what = EVIL.to_owned();
            evidence.thresholds[0].metric = EVIL.to_owned();
            evidence.thresholds[0].expression = EVIL.to_owned();
            for home in &mut evidence.sessions_at_fault {
                home.home = Some(EVIL.to_owned());
            }
            evidence.events.push(Event {
                at: at(1),
                until: None,
                kind: EVIL.to_owned(),
                what: EVIL.to_owned(),
            });
        }));
    assert!(!page.contains("<b onload"));
    assert!(page.matches("&#60;b onload").count() >= 10);
}

#[test]
fn a_run_without_any_operation_has_a_page_too() {
    let page = page(Sample::new());
    assert!(page.contains("Unknown") && !page.contains("<svg"));
}
