//! The report that a person reads in a terminal when the drill is over.

use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::presets::NOTHING;
use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};
use owo_colors::{OwoColorize as _, Style};

use super::operations::OperationStats;
use super::{Availability, Report};
use crate::check::percentile::Percentiles;
use crate::check::words::{count, percent, time, time_or_dash};
use crate::check::{Judgement, Verdict};

mod spark;

/// How the report is shown.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Whether to use colours.
    pub(crate) color: bool,
    /// The terminal's width in columns; less than 60 is taken as 60.
    pub(crate) width: u16,
    /// The report files that were written, named at the end.
    pub(crate) files: Vec<PathBuf>,
}

impl View {
    fn columns(&self) -> u16 {
        self.width.clamp(60, 140)
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.color { text.style(style).to_string() } else { text.to_owned() }
    }

    fn title(&self, text: &str) -> String {
        format!("\n {}\n", self.paint(text, Style::new().bold()))
    }
}

/// Draws the whole report.
pub(crate) fn render(report: &Report, view: &View) -> String {
    let mut out = headline(report, view);
    out.push_str(&spark::render(report, view));
    out.push_str(&availability(report, view));
    out.push_str(&sessions(report, view));
    out.push_str(&hops(report, view));
    out.push_str(&operations(report, view));
    out.push_str(&findings(report, view));
    out.push_str(&breaches(report, view));
    out.push_str(&files(view));
    out
}

/// Text of others, made safe to print: what steers a terminal becomes a question mark.
pub(crate) fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(safe).collect()
}

fn headline(report: &Report, view: &View) -> String {
    let style = match report.verdict {
        Verdict::Held => Style::new().green(),
        Verdict::Broken | Verdict::RollbackIncomplete => Style::new().red(),
        Verdict::Unknown | Verdict::NotStarted | Verdict::Stopped => Style::new().yellow(),
    };
    let verdict = report.verdict.to_string().to_uppercase();
    let verdict = format!("{} {verdict}", report.verdict.glyph());
    let name = plain(&format!("{}: {}", report.drill, report.title));
    let run = format!(
        "seed {}, world {}, {}, run {}",
        report.seed, report.world, report.load, report.run
    );
    let mut table = list(view);
    table.add_row([Cell::new(plain(&report.reason))]);
    table.add_row([Cell::new(plain(&run)).fg(Color::DarkGrey)]);
    let verdict = view.paint(&verdict, style.bold());
    format!("\n {verdict}  {name}\n{}\n", table.trim_fmt())
}

fn availability(report: &Report, view: &View) -> String {
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    let Availability { baseline, impact, recovery } = report.availability;
    let line = format!(
        "Went well: {} of the baseline, {} while things were broken, {} of the recovery.",
        share(baseline),
        share(impact),
        share(recovery),
    );
    let mut table = list(view);
    table.add_row([line]);
    format!("{}{}\n", view.title("Availability"), table.trim_fmt())
}

fn sessions(report: &Report, view: &View) -> String {
    let sessions = &report.sessions;
    let line = format!(
        "{}: {} untouched, {} survived, {} re-initialised, {} never recovered. {} on what was broken ({}).",
        count(sessions.total, "session"),
        sessions.untouched,
        sessions.survived,
        sessions.reinitialised,
        sessions.never_recovered,
        sessions.on_broken,
        percent(sessions.broken_share),
    );
    let mut table = list(view);
    table.add_row([line]);
    format!("{}{}\n", view.title("Sessions"), table.trim_fmt())
}

fn hops(report: &Report, view: &View) -> String {
    let reinit = &report.reinit;
    if report.paths.is_empty() && reinit.outage.count == 0 {
        return String::new();
    }
    let mut table = grid(view, &["hop", "sessions", "p50", "p95", "p99", "max"]);
    for (name, hop) in [
        ("last success → 404", &reinit.last_success_to_404),
        ("404 → initialize", &reinit.status_404_to_initialize),
        ("initialize → ready", &reinit.initialize_to_ready),
        ("ready → first success", &reinit.ready_to_first_success),
        ("total", &reinit.total),
        ("failure → next success", &reinit.outage),
    ] {
        if hop.count > 0 {
            table.add_row(hop_row(name, hop));
        }
    }
    align_numbers(&mut table);
    format!("{}{}\n", view.title("The way back"), table.trim_fmt())
}

fn hop_row(name: &str, hop: &Percentiles) -> Vec<String> {
    let times = [hop.p50, hop.p95, hop.p99, hop.max].map(time_or_dash);
    let mut row = vec![name.to_owned(), hop.count.to_string()];
    row.extend(times);
    row
}

fn operations(report: &Report, view: &View) -> String {
    let is_wide = view.columns() >= 90;
    let mut head = vec!["operation", "ok", "failed", "unknown", "p50", "p95"];
    head.extend(is_wide.then_some("p99").into_iter().chain(["max"]));
    let mut table = grid(view, &head);
    for (name, stats) in &report.operations {
        table.add_row(operation_row(name, stats, is_wide));
    }
    align_numbers(&mut table);
    let mut out = format!("{}{}\n", view.title("Operations"), table.trim_fmt());
    if report.errors.total > 0 {
        out.push_str(&errors(report, view));
    }
    out
}

fn operation_row(name: &str, stats: &OperationStats, is_wide: bool) -> Vec<String> {
    let counts = [stats.ok, stats.failed, stats.unknown].map(|number| number.to_string());
    let mut times = vec![stats.p50_ms, stats.p95_ms];
    times.extend(is_wide.then_some(stats.p99_ms).into_iter().chain([stats.max_ms]));
    let mut row = vec![plain(name)];
    row.extend(counts);
    row.extend(times.into_iter().map(time_or_dash));
    row
}

/// The causes, the most frequent first.
fn errors(report: &Report, view: &View) -> String {
    let mut causes: Vec<_> = report.errors.by_cause.iter().collect();
    causes.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.total()));
    let mut table = grid(view, &["error", "injected", "secondary", "organic"]);
    for (cause, counts) in causes.iter().take(12) {
        let numbers = [counts.injected, counts.secondary, counts.organic];
        let mut row = vec![plain(cause)];
        row.extend(numbers.map(|number| number.to_string()));
        table.add_row(row);
    }
    align_numbers(&mut table);
    format!("{}{}\n", view.title("Errors"), table.trim_fmt())
}

fn findings(report: &Report, view: &View) -> String {
    let mut table = list(view);
    for finding in &report.findings {
        let color = match finding.verdict {
            Judgement::Held => Color::Green,
            Judgement::Broken => Color::Red,
            Judgement::Unknown => Color::Yellow,
        };
        let glyph = Cell::new(finding.verdict.glyph()).fg(color);
        let mut text = plain(&finding.summary);
        if finding.verdict != Judgement::Held {
            for detail in &finding.details {
                let _ = write!(text, "\n{}", plain(detail));
            }
        }
        let name = Cell::new(finding.checker);
        table.add_row([glyph, name, Cell::new(text)]);
    }
    keep_whole(&mut table, 2);
    format!("{}{}\n", view.title("Findings"), table.trim_fmt())
}

fn breaches(report: &Report, view: &View) -> String {
    if report.breaches.is_empty() {
        return String::new();
    }
    let mut table = list(view);
    for breach in &report.breaches {
        let sample = breach.operations.first().map(ToString::to_string);
        let text = format!(
            "{}\n{}\nsuch as operation {}",
            plain(&breach.what),
            breach.source,
            sample.unwrap_or_default(),
        );
        let number = Cell::new(format!("{}×", breach.count)).fg(Color::Red);
        table.add_row([number, Cell::new(text)]);
    }
    keep_whole(&mut table, 1);
    format!("{}{}\n", view.title("Breaches of the specification"), table.trim_fmt())
}

/// Paths are never cut or wrapped: they are there to be copied.
fn files(view: &View) -> String {
    if view.files.is_empty() {
        return String::new();
    }
    let paths =
        view.files.iter().map(|path| format!("   {}\n", plain(&path.display().to_string())));
    format!("{}{}", view.title("Reports"), paths.collect::<String>())
}

/// Rows of text that wrap, without lines.
fn list(view: &View) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    fit(&mut table, view);
    table
}

/// Rows of numbers under a head.
fn grid(view: &View, head: &[&str]) -> Table {
    const RULED: TableStyle =
        TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table.load_style(RULED);
    table.set_header(head.iter().map(|title| Cell::new(title).fg(Color::DarkGrey)));
    fit(&mut table, view);
    table
}

fn fit(table: &mut Table, view: &View) {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(view.columns());
    table.force_no_tty();
    if view.color {
        table.enforce_styling();
    }
}

fn align_numbers(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

fn keep_whole(table: &mut Table, columns: usize) {
    for column in table.column_iter_mut().take(columns) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// Both ends of a scale, in words.
fn at_most(ms: f64) -> String {
    format!("max {}", time(ms))
}

#[cfg(test)]
mod tests;
