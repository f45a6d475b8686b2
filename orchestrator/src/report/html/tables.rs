//! The tables of the page: every number of the report that is not in a chart.

use crate::check::percentile::Percentiles;
use crate::check::words::{time, time_or_dash};
use crate::report::{EventReport, Report};

/// A table of texts; columns from `numbers_from` on are numbers.
pub(super) struct Grid {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) head: Vec<&'static str>,
    pub(super) numbers_from: usize,
    pub(super) rows: Vec<Vec<String>>,
}

/// The tables that have any rows.
pub(super) fn of(report: &Report) -> Vec<Grid> {
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
        ("failure → next success", &reinit.outage),
    ];
    Grid {
        title: "The way back",
        note: "The hops of the sessions that re-initialised after a 404; the last line, if any, is of every session that had a failure and came back.",
        head: vec!["hop", "sessions", "p50", "p95", "p99", "max"],
        numbers_from: 1,
        rows: rows
            .into_iter()
            .filter(|(_, hop)| hop.count > 0)
            .map(|(name, hop)| row(name, hop))
            .collect(),
    }
}

fn operations(report: &Report) -> Grid {
    let rows = report.operations.iter().map(|(name, stats)| {
        let counts = [stats.count, stats.ok, stats.failed, stats.unknown].map(|n| n.to_string());
        let times =
            [stats.p50_ms, stats.p90_ms, stats.p95_ms, stats.p99_ms, stats.p999_ms, stats.max_ms];
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
        let numbers = [counts.total(), counts.injected, counts.secondary, counts.organic];
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
        let sample = breach.operations.first().map(ToString::to_string).unwrap_or_default();
        vec![breach.what.clone(), breach.source.clone(), sample, breach.count.to_string()]
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
        vec![lost.client.to_string(), home, session, text(&lost.last_failure)]
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
        let seen = fault.seen_after_ms.map_or("–".to_owned(), time);
        let hits = fault.hits.to_string();
        vec![fault.id.to_string(), kind.to_owned(), fault.what.clone(), hits, seen]
    });
    Grid {
        title: "Faults and steps",
        note: "For steps on containers, the engine says how long after the journalled start it saw something happen.",
        head: vec!["name", "kind", "what it does", "hits", "seen by the engine after"],
        numbers_from: 3,
        rows: rows.collect(),
    }
}

fn thresholds(report: &Report) -> Grid {
    let rows = report.thresholds.iter().map(|threshold| {
        let observed = threshold.observed.map_or("–".to_owned(), |n| format!("{n:.3}"));
        let held = if threshold.holds { "✓ held" } else { "✗ broken" };
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
        // To the millisecond: what followed what is what one looks for here.
        let at = format!("{:.3} s", event.at_ms / 1000.0);
        [what, vec![at, time_or_dash(took)]].concat()
    };
    Grid {
        title: "Timeline of the drill",
        note: "",
        head: vec!["kind", "what", "at", "took"],
        numbers_from: 2,
        rows: report.events.iter().map(row).collect(),
    }
}
