//! The report as one web page that needs nothing but itself: no script, no network.

use askama::Template;

use super::Report;
use super::chart::{self, DrawChartError, NARROW, Size, WIDE};
use crate::check::words::{percent, time, time_or_dash};
use crate::check::{Checker, Finding, Judgement, Verdict};

mod tables;

use tables::Grid;

/// The page could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderPageError {
    /// A chart could not be drawn.
    #[error(transparent)]
    Chart(#[from] DrawChartError),
    /// The template failed.
    #[error("cannot fill the template report.html")]
    Template(#[from] askama::Error),
}

/// Draws the page.
pub(crate) fn render(report: &Report) -> Result<String, RenderPageError> {
    let page = Page {
        report,
        tone: tone(report.verdict),
        tiles: tiles(report),
        findings: report.findings.iter().map(|finding| (tone_of(finding), finding)).collect(),
        fates: fates(report),
        figures: figures(report)?,
        tables: tables::of(report),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    /// `good`, `bad` or `unsure`: the colour of the banner.
    tone: &'static str,
    tiles: Vec<Tile>,
    /// Each with its tone.
    findings: Vec<(&'static str, &'a Finding)>,
    fates: Vec<Fate>,
    figures: Vec<Figure>,
    tables: Vec<Grid>,
}

/// A key number.
struct Tile {
    name: &'static str,
    value: String,
    note: String,
    tone: &'static str,
}

/// A part of the bar that shows what became of the sessions.
struct Fate {
    name: &'static str,
    class: &'static str,
    number: u64,
}

/// A chart, drawn for both widths.
struct Figure {
    title: &'static str,
    note: &'static str,
    legend: Vec<(&'static str, &'static str)>,
    wide: String,
    narrow: String,
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "good",
        Verdict::Broken | Verdict::RollbackIncomplete => "bad",
        Verdict::Unknown | Verdict::Stopped | Verdict::NotStarted => "unsure",
    }
}

fn tone_of(finding: &Finding) -> &'static str {
    match finding.verdict {
        Judgement::Held => "good",
        Judgement::Broken => "bad",
        Judgement::Unknown => "unsure",
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let (sessions, recovery) = (&report.sessions, &report.recovery);
    let good_if = |good: bool| if good { "good" } else { "bad" };
    let total: u64 = report.timeline.iter().map(super::timeline::Bucket::total).sum();
    let ok: u64 = report.timeline.iter().map(|bucket| bucket.ok).sum();
    let judged = report.findings.iter().find(|finding| finding.checker == Checker::Recovery);
    let recovered = match judged.map(|finding| finding.verdict) {
        Some(Judgement::Unknown) | None => ("unknown".to_owned(), ""),
        Some(_) if report.fault.is_none() => ("–".to_owned(), "good"),
        Some(_) => (
            recovery.recovered_ms.map_or("never".to_owned(), time),
            good_if(recovery.recovered_ms.is_some()),
        ),
    };
    // Without a session that re-initialised, the way back is that of those that kept theirs.
    let way_back = match report.reinit.total.count {
        0 => &report.reinit.outage,
        _ => &report.reinit.total,
    };
    let breaches: u64 = report.breaches.iter().map(|breach| breach.count).sum();
    let tile = |name, value: String, note: String, tone| Tile { name, value, note, tone };
    let times = format!("p50 {}, max {}", time_or_dash(way_back.p50), time_or_dash(way_back.max));
    let broken = report.availability.impact.map_or_else(|| "–".to_owned(), percent);
    vec![
        tile(
            "Recovered after",
            recovered.0,
            format!("first error at {}", time_or_dash(recovery.first_error_ms)),
            recovered.1,
        ),
        tile(
            "Re-initialised",
            format!("{} of {}", sessions.reinitialised, sessions.total),
            format!("{} lived on what was broken", percent(sessions.broken_share)),
            "",
        ),
        tile(
            "Never recovered",
            sessions.never_recovered.to_string(),
            format!("of {} sessions", sessions.total),
            good_if(sessions.never_recovered == 0),
        ),
        tile("Way back, p95", time_or_dash(way_back.p95), times, ""),
        tile(
            "Went well",
            percent(ok as f64 / total.max(1) as f64),
            format!("of {total} operations; {broken} while things were broken"),
            "",
        ),
        tile(
            "Breaches of MCP",
            breaches.to_string(),
            "answers that break the specification".to_owned(),
            good_if(breaches == 0),
        ),
    ]
}

fn fates(report: &Report) -> Vec<Fate> {
    let sessions = &report.sessions;
    let fate = |name, class, number| Fate { name, class, number };
    vec![
        fate("untouched", "untouched", sessions.untouched),
        fate("survived", "survived", sessions.survived),
        fate("re-initialised", "reinitialised", sessions.reinitialised),
        fate("never recovered", "never", sessions.never_recovered),
    ]
}

type Draw = fn(&Report, Size) -> Result<String, DrawChartError>;

fn figure(
    report: &Report,
    draw: Draw,
    (title, note): (&'static str, &'static str),
    legend: &[(&'static str, &'static str)],
) -> Result<Figure, DrawChartError> {
    Ok(Figure {
        title,
        note,
        legend: legend.to_vec(),
        wide: draw(report, WIDE)?,
        narrow: draw(report, NARROW)?,
    })
}

fn figures(report: &Report) -> Result<Vec<Figure>, DrawChartError> {
    const FAULT: (&str, &str) = ("fault", "fault");
    const RECOVERED: (&str, &str) = ("recovered", "recovered");
    let mut figures = Vec::new();
    if !report.timeline.is_empty() {
        let (failed, unknown) = (("failed", "failed"), ("unknown", "no answer"));
        figures.push(figure(
            report,
            chart::throughput,
            ("Throughput", "operations per second, by the time at which they were due"),
            &[("ok", "went well"), failed, unknown, FAULT, RECOVERED],
        )?);
        figures.push(figure(
            report,
            chart::errors,
            ("Errors", "operations per second that did not go well"),
            &[failed, unknown, FAULT, RECOVERED],
        )?);
        figures.push(figure(
            report,
            chart::latency,
            ("Latency", "95th percentile of each second, from due to completed"),
            &[("latency", "p95"), ("dashed", "p95 of the baseline"), FAULT, RECOVERED],
        )?);
    }
    if !report.paths.is_empty() {
        figures.push(figure(
            report,
            chart::recovery,
            (
                "Recovery of each session",
                "from the last success to the next; one bar a session, quickest first",
            ),
            &[
                ("hop1", "last success → 404"),
                ("hop2", "404 → initialize"),
                ("hop3", "initialize → ready"),
                ("hop4", "ready → first success"),
            ],
        )?);
    }
    Ok(figures)
}

#[cfg(test)]
mod tests;
