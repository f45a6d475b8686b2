//! The report as one web page that needs nothing but itself: no script, no network.

use askama::Template;

use super::chart::{self, DrawChartError, NARROW, Size, WIDE};
use super::{EventReport, Report};
use crate::check::percentile::Percentiles;
use crate::check::words::{percent, time, time_or_dash};
use crate::check::{Finding, Judgement, Verdict};

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
        findings: report
            .findings
            .iter()
            .map(|finding| (tone_of(finding), finding))
            .collect(),
        fates: fates(report),
        figures: figures(report)?,
        tables: tables(report),
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

/// A table of texts; columns from `numbers_from` on are numbers.
struct Grid {
    title: &'static str,
    note: &'static str,
    head: Vec<&'static str>,
    numbers_from: usize,
    rows: Vec<Vec<String>>,
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
    let total: u64 = report
        .timeline
        .iter()
        .map(super::timeline::Bucket::total)
        .sum();
    let ok: u64 = report.timeline.iter().map(|bucket| bucket.ok).sum();
    let recovered = recovery.recovered_ms.map_or("never".to_owned(), time);
    let way_back = &report.reinit.total;
    let breaches: u64 = report.breaches.iter().map(|breach| breach.count).sum();
    vec![
        Tile {
            name: "Recovered after",
            value: if report.fault.is_some() {
                recovered
            } else {
                "–".to_owned()
            },
            note: format!("first error at {}", time_or_dash(recovery.first_error_ms)),
            tone: good_if(report.fault.is_none() || recovery.recovered_ms.is_some()),
        },
        Tile {
            name: "Re-initialised",
            value: format!("{} of {}", sessions.reinitialised, sessions.total),
            note: format!(
                "{} lived on what was broken",
                percent(sessions.broken_share)
            ),
            tone: "",
        },
        Tile {
            name: "Never recovered",
            value: sessions.never_recovered.to_string(),
            note: format!("of {} sessions", sessions.total),
            tone: good_if(sessions.never_recovered == 0),
        },
        Tile {
            name: "Way back, p95",
            value: time_or_dash(way_back.p95),
            note: format!(
                "p50 {}, max {}",
                time_or_dash(way_back.p50),
                time_or_dash(way_back.max)
            ),
            tone: "",
        },
        Tile {
            name: "Went well",
            value: percent(ok as f64 / total.max(1) as f64),
            note: format!(
                "of {total} operations, baseline {}",
                percent(report.baseline.success)
            ),
            tone: "",
        },
        Tile {
            name: "Breaches of MCP",
            value: breaches.to_string(),
            note: "answers that break the specification".to_owned(),
            tone: good_if(breaches == 0),
        },
    ]
}

fn fates(report: &Report) -> Vec<Fate> {
    let sessions = &report.sessions;
    let fate = |name, class, number| Fate {
        name,
        class,
        number,
    };
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
            (
                "Throughput",
                "operations per second, by the time at which they were due",
            ),
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
            (
                "Latency",
                "95th percentile of each second, from due to completed",
            ),
            &[
                ("latency", "p95"),
                ("dashed", "p95 of the baseline"),
                FAULT,
                RECOVERED,
            ],
        )?);
    }
    if !report.paths.is_empty() {
        figures.push(figure(
            report,
            chart::recovery,
            (
                "Recovery of each session",
                "from its last success to the next: a bar for each session, the quickest first",
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

/// The tables that have any rows.
fn tables(report: &Report) -> Vec<Grid> {
    let mut tables = vec![
        breaches(report),
        lost(report),
        hops(report),
        operations(report),
        errors(report),
        faults(report),
        thresholds(report),
        events(report),
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn hops(report: &Report) -> Grid {
    let reinit = &report.reinit;
    let row = |name: &str, hop: &Percentiles| {
        let times = [hop.p50, hop.p95, hop.p99, hop.max].map(time_or_dash);
        [vec![name.to_owned(), hop.count.to_string()], times.to_vec()].concat()
    };
    let rows = [
        ("last success → 404", &reinit.last_success_to_404),
        ("404 → initialize", &reinit.status_404_to_initialize),
        ("initialize → ready", &reinit.initialize_to_ready),
        ("ready → first success", &reinit.ready_to_first_success),
        ("total", &reinit.total),
    ];
    Grid {
        title: "The way back",
        note: "The hops of the sessions that re-initialised after a 404.",
        head: vec!["hop", "sessions", "p50", "p95", "p99", "max"],
        numbers_from: 1,
        rows: rows
            .into_iter()
            .filter(|_| !report.paths.is_empty())
            .map(|(name, hop)| row(name, hop))
            .collect(),
    }
}

fn operations(report: &Report) -> Grid {
    let rows = report.operations.iter().map(|(name, stats)| {
        let counts = [stats.count, stats.ok, stats.failed, stats.unknown].map(|n| n.to_string());
        let times = [
            stats.p50_ms,
            stats.p90_ms,
            stats.p95_ms,
            stats.p99_ms,
            stats.p999_ms,
            stats.max_ms,
        ];
        let times = times.map(time_or_dash);
        [vec![name.clone()], counts.to_vec(), times.to_vec()].concat()
    });
    Grid {
        title: "Operations",
        note: "Latency counts from the moment at which an operation was due.",
        head: vec![
            "operation",
            "count",
            "ok",
            "failed",
            "no answer",
            "p50",
            "p90",
            "p95",
            "p99",
            "p99.9",
            "max",
        ],
        numbers_from: 1,
        rows: rows.collect(),
    }
}

fn errors(report: &Report) -> Grid {
    let mut causes: Vec<_> = report.errors.by_cause.iter().collect();
    causes.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.total()));
    let rows = causes.into_iter().map(|(cause, counts)| {
        let numbers = [
            counts.total(),
            counts.injected,
            counts.secondary,
            counts.organic,
        ];
        [vec![cause.clone()], numbers.map(|n| n.to_string()).to_vec()].concat()
    });
    Grid {
        title: "Errors",
        note: "Injected by the proxy, secondary to the fault or the recovery from it, or neither.",
        head: vec!["cause", "count", "injected", "secondary", "organic"],
        numbers_from: 1,
        rows: rows.collect(),
    }
}

fn breaches(report: &Report) -> Grid {
    let rows = report.breaches.iter().map(|breach| {
        let sample = breach
            .operations
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        vec![
            breach.what.clone(),
            breach.source.clone(),
            sample,
            breach.count.to_string(),
        ]
    });
    Grid {
        title: "Breaches of the specification",
        note: "",
        head: vec!["what", "where it is written", "such as operation", "count"],
        numbers_from: 3,
        rows: rows.collect(),
    }
}

fn lost(report: &Report) -> Grid {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let rows = report.never_recovered.iter().take(100).map(|lost| {
        let (home, session) = (text(&lost.home), text(&lost.session));
        vec![
            lost.client.to_string(),
            home,
            session,
            text(&lost.last_failure),
        ]
    });
    Grid {
        title: "Sessions that never recovered",
        note: "The first hundred; report.json has all.",
        head: vec!["session", "lived on", "Mcp-Session-Id", "last failure"],
        numbers_from: 4,
        rows: rows.collect(),
    }
}

fn faults(report: &Report) -> Grid {
    let rows = report.faults.iter().map(|fault| {
        let kind = if fault.step { "step" } else { "fault" };
        vec![
            fault.id.to_string(),
            kind.to_owned(),
            fault.what.clone(),
            fault.hits.to_string(),
        ]
    });
    Grid {
        title: "Faults and steps",
        note: "",
        head: vec!["name", "kind", "what it does", "hits"],
        numbers_from: 3,
        rows: rows.collect(),
    }
}

fn thresholds(report: &Report) -> Grid {
    let rows = report.thresholds.iter().map(|threshold| {
        let observed = threshold
            .observed
            .map_or("–".to_owned(), |n| format!("{n:.3}"));
        let held = if threshold.holds {
            "✓ held"
        } else {
            "✗ broken"
        };
        vec![
            threshold.metric.clone(),
            threshold.expression.clone(),
            held.to_owned(),
            observed,
            threshold.samples.to_string(),
        ]
    });
    Grid {
        title: "Thresholds",
        note: "",
        head: vec!["metric", "threshold", "result", "observed", "samples"],
        numbers_from: 3,
        rows: rows.collect(),
    }
}

fn events(report: &Report) -> Grid {
    let row = |event: &EventReport| {
        let took = event.until_ms.map(|until| until - event.at_ms);
        let what = vec![event.kind.clone(), event.what.clone()];
        [what, vec![time(event.at_ms), time_or_dash(took)]].concat()
    };
    Grid {
        title: "Timeline of the drill",
        note: "",
        head: vec!["kind", "what", "at", "took"],
        numbers_from: 2,
        rows: report.events.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests;
