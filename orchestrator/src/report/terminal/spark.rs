//! The small timeline: throughput, errors and p95 in block characters, over the phases.

use owo_colors::Style;

use super::{View, at_most};
use crate::report::{Report, Stretch};

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns before the row, and after it.
const MARGINS: (usize, usize) = (14, 16);
/// The most columns; a longer run gets more seconds a column.
const MOST_COLUMNS: u64 = 80;
/// Columns between the times on the axis.
const TICK: u64 = 10;

/// The seconds that the timeline shows, and how many share a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    first: u64,
    last: u64,
    step: u64,
}

impl Axis {
    fn of(report: &Report, room: u64) -> Option<Self> {
        let seconds = report.timeline.iter().map(|bucket| bucket.second);
        let first = seconds.clone().min()?;
        let last = seconds.max()? + 1;
        let step = (last - first).div_ceil(room.clamp(1, MOST_COLUMNS));
        Some(Self { first, last, step })
    }

    fn columns(self) -> usize {
        (self.last - self.first).div_ceil(self.step) as usize
    }

    fn column(self, second: u64) -> usize {
        (second.saturating_sub(self.first) / self.step) as usize
    }

    /// The column of a moment, at most one behind the last.
    fn column_of_ms(self, ms: f64) -> usize {
        #[expect(clippy::cast_sign_loss, reason = "moments are never negative")]
        let second = (ms / 1e3).floor() as u64;
        self.column(second).min(self.columns())
    }

    /// The seconds in a column: the last may have fewer.
    fn seconds(self, column: usize) -> f64 {
        let from = self.first + column as u64 * self.step;
        (self.last - from).min(self.step) as f64
    }
}

/// What one column shows.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    total: f64,
    errors: f64,
    p95: f64,
}

fn columns(report: &Report, axis: Axis) -> Vec<Column> {
    let mut columns = vec![Column::default(); axis.columns()];
    for bucket in &report.timeline {
        let column = &mut columns[axis.column(bucket.second)];
        column.total += bucket.total() as f64;
        column.errors += bucket.errors() as f64;
        column.p95 = column.p95.max(bucket.p95_ms.unwrap_or(0.0));
    }
    for (index, column) in columns.iter_mut().enumerate() {
        column.total /= axis.seconds(index);
        column.errors /= axis.seconds(index);
    }
    columns
}

/// Draws the timeline; nothing where there were no operations.
pub(super) fn render(report: &Report, view: &View) -> String {
    let room = usize::from(view.columns()).saturating_sub(MARGINS.0 + MARGINS.1);
    let Some(axis) = Axis::of(report, room as u64) else {
        return String::new();
    };
    let columns = columns(report, axis);
    let largest = |value: fn(&Column) -> f64| columns.iter().map(value).fold(0.0, f64::max);
    let bars = |value: fn(&Column) -> f64| -> String {
        let most = largest(value);
        columns.iter().map(|column| bar(value(column), most)).collect()
    };
    let (total, errors, p95) = (
        |column: &Column| column.total,
        |column: &Column| column.errors,
        |column: &Column| column.p95,
    );
    let row = |label: &str, bars: String, style: Style, scale: String| {
        format!(" {label:<12} {}  {scale}\n", view.paint(&bars, style))
    };
    let rate = |most: f64| format!("max {most:.0}/s");
    let mut out = view.title("Timeline");
    out += &row("operations", bars(total), Style::new().green(), rate(largest(total)));
    out += &row("errors", bars(errors), Style::new().red(), rate(largest(errors)));
    out += &row("p95", bars(p95), Style::new().cyan(), at_most(largest(p95)));
    out += &phases(report, view, axis);
    out + &format!(" {:<12} {}\n", "", ticks(axis))
}

/// One block character; a dot for nothing at all.
fn bar(value: f64, most: f64) -> char {
    if value <= 0.0 {
        return '·';
    }
    #[expect(clippy::cast_sign_loss, reason = "both are above zero here")]
    let level = (value / most * LEVELS.len() as f64).ceil() as usize;
    LEVELS[level.clamp(1, LEVELS.len()) - 1]
}

/// A line under the bars, heavy where the fault was, and the names below it.
fn phases(report: &Report, view: &View, axis: Axis) -> String {
    let fault = report.fault.unwrap_or(report.phases.impact);
    let (from, to) = (axis.column_of_ms(fault.from_ms), end_column(axis, fault));
    let rest = axis.columns().saturating_sub(to);
    let line = format!(
        "{}{}{}",
        "─".repeat(from),
        view.paint(&"━".repeat(to - from), Style::new().red().bold()),
        "─".repeat(rest),
    );
    let name = if report.fault.is_some() { "fault" } else { "impact" };
    let names = labels(&[(0, "baseline"), (from, name), (to, "recovery")]);
    format!(" {:<12} {line}\n {:<12} {names}\n", "", "")
}

/// The column behind the stretch: one that is shorter than a column still shows.
fn end_column(axis: Axis, stretch: Stretch) -> usize {
    let from = axis.column_of_ms(stretch.from_ms);
    let to = axis.column_of_ms(stretch.to_ms);
    to.max(from + 1).min(axis.columns()).max(from)
}

/// Words at their columns, pushed to the right where they would overlap.
fn labels(words: &[(usize, &str)]) -> String {
    let mut line = String::new();
    for (column, word) in words {
        let used = line.chars().count();
        let gap = column.saturating_sub(used).max(usize::from(used > 0));
        line += &" ".repeat(gap);
        line += word;
    }
    line
}

fn ticks(axis: Axis) -> String {
    let every = TICK * axis.step;
    let seconds = (axis.first..axis.last).step_by(every.min(usize::MAX as u64) as usize);
    let ticks: Vec<_> = seconds.map(|second| (axis.column(second), format!("{second}s"))).collect();
    let ticks: Vec<_> = ticks.iter().map(|(column, text)| (*column, text.as_str())).collect();
    labels(&ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_a_dot_for_nothing_and_full_for_the_most() {
        let bars: String =
            [0.0, 0.1, 50.0, 51.0, 100.0].map(|value| bar(value, 100.0)).into_iter().collect();
        assert_eq!(bars, "·▁▄▅█");
    }

    #[test]
    fn words_that_would_overlap_are_pushed_to_the_right() {
        assert_eq!(
            labels(&[(0, "baseline"), (10, "fault"), (12, "recovery")]),
            "baseline  fault recovery"
        );
    }

    #[test]
    fn a_long_run_gets_more_seconds_a_column() {
        let axis = |last| Axis { first: 0, last, step: last.div_ceil(50) };
        assert_eq!((axis(50).step, axis(50).columns()), (1, 50));
        assert_eq!((axis(51).step, axis(51).columns()), (2, 26));
        assert!((axis(51).seconds(25) - 1.0).abs() < f64::EPSILON);
        assert_eq!(axis(u64::MAX).columns(), 50);
    }
}
