//! Charts as inline SVG, in the colours of the page's theme.
//!
//! The charting crate writes fixed colours. Each colour here is a stand-in that becomes a CSS
//! variable, so that one drawing is right in light and in dark.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Path, Report, Stretch};
use crate::check::words::time;

mod bins;

use bins::{Bin, bins};

const OK: RGBColor = RGBColor(1, 0, 0);
const FAILED: RGBColor = RGBColor(2, 0, 0);
const UNKNOWN: RGBColor = RGBColor(3, 0, 0);
const LATENCY: RGBColor = RGBColor(4, 0, 0);
const FAULT: RGBColor = RGBColor(5, 0, 0);
const GRID: RGBColor = RGBColor(6, 0, 0);
const TEXT: RGBColor = RGBColor(7, 0, 0);
const RECOVERED: RGBColor = RGBColor(8, 0, 0);
const HOPS: [RGBColor; 4] =
    [RGBColor(11, 0, 0), RGBColor(12, 0, 0), RGBColor(13, 0, 0), RGBColor(14, 0, 0)];

/// The stand-ins and the CSS variables that they become.
const VARIABLES: [(&str, &str); 12] = [
    ("#010000", "var(--ok)"),
    ("#020000", "var(--failed)"),
    ("#030000", "var(--unknown)"),
    ("#040000", "var(--latency)"),
    ("#050000", "var(--fault)"),
    ("#060000", "var(--grid)"),
    ("#070000", "var(--muted)"),
    ("#080000", "var(--text)"),
    ("#0B0000", "var(--hop1)"),
    ("#0C0000", "var(--hop2)"),
    ("#0D0000", "var(--hop3)"),
    ("#0E0000", "var(--hop4)"),
];

/// A chart could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the chart `{chart}`: {why}")]
pub(crate) struct DrawChartError {
    chart: &'static str,
    why: String,
}

/// How large a chart is drawn: once for wide windows and once for phones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    width: u32,
    height: u32,
}

/// For windows of over 700 pixels.
pub(super) const WIDE: Size = Size { width: 1120, height: 250 };
/// For phones.
pub(super) const NARROW: Size = Size { width: 400, height: 240 };

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Operations per second: what went well, with what did not on top.
pub(super) fn throughput(report: &Report, size: Size) -> Result<String, DrawChartError> {
    let layers: [Layer; 3] =
        [(OK, |bin| bin.ok), (FAILED, |bin| bin.failed), (UNKNOWN, |bin| bin.unknown)];
    svg("throughput", size, |area| stacked(report, area, &layers))
}

/// Errors per second.
pub(super) fn errors(report: &Report, size: Size) -> Result<String, DrawChartError> {
    let layers: [Layer; 2] = [(FAILED, |bin| bin.failed), (UNKNOWN, |bin| bin.unknown)];
    svg("errors", size, |area| stacked(report, area, &layers))
}

/// The 95th percentile of latency over time, beside the baseline's.
pub(super) fn latency(report: &Report, size: Size) -> Result<String, DrawChartError> {
    svg("latency", size, |area| {
        let bins = bins(&report.timeline);
        let highest = bins.iter().filter_map(|bin| bin.p95).fold(1.0, f64::max);
        let mut chart = over_time(report, area, &bins, highest, &|ms| time(*ms))?;
        let points = || bins.iter().filter_map(|bin| Some((bin.middle(), bin.p95?)));
        chart.draw_series(AreaSeries::new(points(), 0.0, LATENCY.mix(0.15)))?;
        chart.draw_series(LineSeries::new(points(), LATENCY.stroke_width(2)))?;
        if let (Some(p95), Some((from, to))) = (report.baseline.p95_ms, bins::range(&bins)) {
            let line = DashedLineSeries::new([(from, p95), (to, p95)], 5, 4, TEXT.stroke_width(1));
            chart.draw_series(line)?;
        }
        Ok(())
    })
}

/// Every session's way back, the quickest first: its hops on top of each other.
pub(super) fn recovery(report: &Report, size: Size) -> Result<String, DrawChartError> {
    svg("recovery", size, |area| {
        let paths = bins::ranked(&report.paths, 400);
        let highest = paths.iter().filter_map(|path| path.total).fold(1.0, f64::max);
        let count = paths.len() as f64;
        let scale = report.paths.len() as f64 / count.max(1.0);
        let mut chart = frame(area, (0.0, count.max(1.0)), highest)?;
        let rank = |index: &f64| format!("{:.0}", index * scale);
        grid(&mut chart, area.dim_in_pixel().0, &rank, &|ms| time(*ms))?;
        for (index, path) in paths.iter().enumerate() {
            let (left, right) = inset(index as f64, index as f64 + 1.0, paths.len());
            chart.draw_series(pile(left, right, &hops_of(path)))?;
        }
        Ok(())
    })
}

fn hops_of(path: &Path) -> [(f64, RGBColor); 4] {
    let hops = [
        path.last_success_to_404,
        path.status_404_to_initialize,
        path.initialize_to_ready,
        path.ready_to_first_success,
    ];
    std::array::from_fn(|index| (hops[index].unwrap_or(0.0), HOPS[index]))
}

/// A colour, and what it shows of a bin.
type Layer = (RGBColor, fn(&Bin) -> f64);

fn stacked(report: &Report, area: &Area<'_>, layers: &[Layer]) -> Drawn {
    let bins = bins(&report.timeline);
    let height = |bin: &Bin| layers.iter().map(|(_, value)| value(bin)).sum::<f64>();
    let highest = bins.iter().map(height).fold(1.0, f64::max);
    let mut chart = over_time(report, area, &bins, highest, &|rate| whole(*rate))?;
    for bin in &bins {
        let (left, right) = inset(bin.from, bin.to, bins.len());
        let parts: Vec<_> = layers.iter().map(|(color, value)| (value(bin), *color)).collect();
        chart.draw_series(pile(left, right, &parts))?;
    }
    Ok(())
}

/// Rectangles on top of each other.
fn pile(left: f64, right: f64, parts: &[(f64, RGBColor)]) -> Vec<Rectangle<(f64, f64)>> {
    let mut bottom = 0.0;
    let mut pile = Vec::new();
    for (height, color) in parts.iter().filter(|(height, _)| *height > 0.0) {
        let top = bottom + height;
        pile.push(Rectangle::new([(left, bottom), (right, top)], color.filled()));
        bottom = top;
    }
    pile
}

/// Leaves a gap between bars where there are few enough to see one.
fn inset(left: f64, right: f64, bars: usize) -> (f64, f64) {
    let gap = if bars <= 130 { 0.08 * (right - left) } else { 0.0 };
    (left + gap, right - gap)
}

/// A frame over the run's time, with the fault shaded, the phases named above and recovery marked.
fn over_time<'a>(
    report: &Report,
    area: &Area<'a>,
    bins: &[Bin],
    highest: f64,
    format: &dyn Fn(&f64) -> String,
) -> Result<Chart<'a>, Box<dyn std::error::Error>> {
    let axis = bins::range(bins).unwrap_or((0.0, 1.0));
    let top = ceiling(highest);
    let mut chart = frame(area, axis, highest)?;
    shade_fault(report, &mut chart, axis, top)?;
    let width = area.dim_in_pixel().0;
    grid(&mut chart, width, &|second| format!("{second:.0} s"), format)?;
    name_phases(report, &mut chart, axis, top)?;
    mark_recovered(report, &mut chart, axis, top)?;
    Ok(chart)
}

/// The moment in seconds, inside the axis.
fn clip(moment_ms: f64, axis: (f64, f64)) -> f64 {
    (moment_ms / 1e3).clamp(axis.0, axis.1)
}

/// A tint, and a solid strip above it that no bar can hide.
fn shade_fault(report: &Report, chart: &mut Chart<'_>, axis: (f64, f64), top: f64) -> Drawn {
    if let Some(Stretch { from_ms, to_ms }) = report.fault {
        let (from, to) = (clip(from_ms, axis), clip(to_ms, axis));
        let tint = Rectangle::new([(from, 0.0), (to, top)], FAULT.mix(0.13).filled());
        let strip = Rectangle::new([(from, top * 0.982), (to, top)], FAULT.filled());
        chart.draw_series([tint, strip])?;
    }
    Ok(())
}

/// Names and lines where phases begin; the fault, where there is one, stands for the impact phase.
fn name_phases(report: &Report, chart: &mut Chart<'_>, axis: (f64, f64), top: f64) -> Drawn {
    let phases = &report.phases;
    let impact = match report.fault {
        Some(fault) => ("fault", fault.from_ms, FAULT),
        None => ("impact", phases.impact.from_ms, TEXT),
    };
    let pixels = f64::from(chart.plotting_area().dim_in_pixel().0) / (axis.1 - axis.0).max(1.0);
    let mut free = f64::MIN;
    for (name, from_ms, color) in [
        ("baseline", phases.baseline.from_ms, TEXT),
        impact,
        ("recovery", phases.recovery.from_ms, TEXT),
    ] {
        let from = clip(from_ms, axis);
        if from > axis.0 {
            let line = [(from, 0.0), (from, top)];
            chart.draw_series(DashedLineSeries::new(line, 2, 3, color.stroke_width(1)))?;
        }
        if from >= free {
            chart.draw_series([label(name, from, top, color)])?;
            free = from + 8.0 * name.len() as f64 / pixels;
        }
    }
    Ok(())
}

fn mark_recovered(report: &Report, chart: &mut Chart<'_>, axis: (f64, f64), top: f64) -> Drawn {
    let after = report.recovery.recovered_ms.filter(|after| *after > 0.0);
    if let (Some(fault), Some(after)) = (report.fault, after) {
        let at = clip(fault.from_ms + after, axis);
        let line = PathElement::new([(at, 0.0), (at, top)], RECOVERED.stroke_width(2));
        chart.draw_series([line])?;
    }
    Ok(())
}

/// Operations come whole: what lies between, where there are few, gets no label of its own.
fn whole(rate: f64) -> String {
    if rate.fract().abs() < 1e-9 { format!("{rate:.0}") } else { String::new() }
}

fn label(name: &str, x: f64, y: f64, color: RGBColor) -> Text<'_, (f64, f64), &str> {
    let anchor = Pos::new(HPos::Left, VPos::Bottom);
    let style = ("sans-serif", 14).into_font().color(&color).pos(anchor);
    Text::new(name, (x, y), style)
}

/// The top of the axis: a little above the highest value.
fn ceiling(highest: f64) -> f64 {
    highest * 1.06
}

fn frame<'a>(
    area: &Area<'a>,
    x: (f64, f64),
    highest: f64,
) -> Result<Chart<'a>, Box<dyn std::error::Error>> {
    let chart = ChartBuilder::on(area)
        .margin_top(22)
        .margin_right(14)
        .x_label_area_size(30)
        .y_label_area_size(58)
        .build_cartesian_2d(x.0..x.1, 0.0..ceiling(highest))?;
    Ok(chart)
}

fn grid(
    chart: &mut Chart<'_>,
    width: u32,
    x: &dyn Fn(&f64) -> String,
    y: &dyn Fn(&f64) -> String,
) -> Drawn {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(("sans-serif", 15).into_font().color(&TEXT))
        .x_labels(if width > 600 { 12 } else { 6 })
        .y_labels(5)
        .x_label_formatter(&|value| x(value))
        .y_label_formatter(&|value| y(value))
        .draw()?;
    Ok(())
}

fn svg(
    chart: &'static str,
    size: Size,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, DrawChartError> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (size.width, size.height)).into_drawing_area();
    let drawn = draw(&area).and_then(|()| Ok(area.present()?));
    drop(area);
    drawn.map_err(|why| DrawChartError { chart, why: why.to_string() })?;
    Ok(themed(&text))
}

/// Puts CSS variables in the place of the stand-ins.
fn themed(svg: &str) -> String {
    let themed = |svg: String, (color, variable): (&str, &str)| svg.replace(color, variable);
    VARIABLES.into_iter().fold(svg.to_owned(), themed)
}
