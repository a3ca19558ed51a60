//! What grows with one dimension, as SVG: throughput, latency, CPU and memory over its steps, all axes logarithmic.
//!
//! Each run is a dot; lines go through the medians of the runs of one step.

use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::*;

use super::scale::{Area, Broken, FAINT, GRID, INK, LABEL, latency, real, render, short, whole_decades};
use crate::growth::{Dimension, MIB, Point};

const SIZE: (u32, u32) = (1200, 860);

/// A line of a panel: a name, a colour, where its values are found.
type Line = (&'static str, RGBColor, fn(&Point) -> Option<f64>);

struct Panel {
    title: &'static str,
    /// What stands beside the axis.
    unit: &'static str,
    lines: &'static [Line],
    shown: fn(f64) -> String,
}

const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const GREEN: RGBColor = RGBColor(0x2c, 0x8c, 0x5a);
const ORANGE: RGBColor = RGBColor(0xd9, 0x6a, 0x1a);
const VIOLET: RGBColor = RGBColor(0x7a, 0x4f, 0xa3);

const RECORDS: Line = ("records", BLUE, |point| Some(point.report.records_per_s));
const MEGABYTES: Line = ("MB of values", ORANGE, |point| Some(point.report.bytes_per_s / 1e6));

/// What of a panel's height is left free for its legend.
const LEGEND_SHARE: f64 = 0.2;

const LATENCY: Panel = Panel {
    title: "from sending a batch to its acknowledgement",
    unit: "time",
    lines: &[
        ("p99", ORANGE, |point| point.ack(|found| found.p99_us)),
        ("p50", BLUE, |point| point.ack(|found| found.p50_us)),
    ],
    shown: latency,
};
const CPU: Panel = Panel {
    title: "CPU of all nodes for a record",
    unit: "CPU time",
    lines: &[("user and system", GREEN, Point::cpu_us_per_record)],
    shown: latency,
};
const MEMORY: Panel = Panel {
    title: "memory of a node",
    unit: "MiB",
    lines: &[
        ("peak, maps of the log included", ORANGE, |point| {
            point.peak_bytes_per_node().map(|bytes| bytes / MIB)
        }),
        ("anonymous, at the end", VIOLET, |point| point.anonymous_bytes_per_node().map(|bytes| bytes / MIB)),
    ],
    shown: short,
};

/// Draws the runs; gives the SVG's text.
pub(crate) fn draw_growth(dimension: Dimension, points: &[Point]) -> Result<String, String> {
    let throughput = Panel {
        title: "acknowledged",
        unit: "a second",
        // Where records grow, fewer of them are not less.
        lines: if dimension == Dimension::RecordSize { &[RECORDS, MEGABYTES] } else { &[RECORDS] },
        shown: short,
    };
    render(SIZE, |area| {
        let caption = ("sans-serif", 18).into_font().style(FontStyle::Bold).color(&INK);
        let area = area.titled(&title(dimension, points), caption)?;
        for (part, panel) in area.split_evenly((2, 2)).iter().zip([&throughput, &LATENCY, &CPU, &MEMORY]) {
            draw_panel(part, panel, dimension, points)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, panel: &Panel, dimension: Dimension, points: &[Point]) -> Result<(), Broken> {
    let mut steps: Vec<f64> = points.iter().map(|point| real(point.value)).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(()) };
    // Room on both sides, so that no dot lies on an axis.
    let range = (first / 1.5..last * 1.5).log_scale().with_key_points(steps.clone());
    let found = panel.lines.iter().flat_map(|(_, _, value)| points.iter().filter_map(positive(*value)));
    let decades = whole_decades(found);
    let values = decades.start..decades.end * (decades.end / decades.start).powf(LEGEND_SHARE);
    let mut chart = ChartBuilder::on(area);
    chart.caption(panel.title, ("sans-serif", 15).into_font().color(&INK)).margin(10).margin_right(26);
    chart.x_label_area_size(44).y_label_area_size(64);
    let mut chart = chart.build_cartesian_2d(range, values.log_scale())?;
    let (step_shown, value_shown) =
        (|step: &f64| dimension.label(whole(*step)), |value: &f64| (panel.shown)(*value));
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&step_shown).y_label_formatter(&value_shown).x_desc(dimension.axis());
    mesh.y_desc(panel.unit);
    mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(FAINT);
    mesh.label_style(LABEL.into_font().color(&FAINT)).draw()?;
    for (name, color, value) in panel.lines {
        let at = |step: f64| points.iter().filter(move |point| real(point.value).total_cmp(&step).is_eq());
        let medians =
            steps.iter().filter_map(|step| Some((*step, median(at(*step).filter_map(positive(*value)))?)));
        let drawn = chart.draw_series(LineSeries::new(medians, color.stroke_width(2)))?.label(*name);
        drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(3)));
        let dots = points.iter().filter_map(|point| Some((real(point.value), positive(*value)(point)?)));
        chart.draw_series(dots.map(|at| Circle::new(at, 3, color.filled())))?;
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.85));
    labels.label_font(LABEL.into_font().color(&INK)).draw()?;
    Ok(())
}

/// A logarithmic axis has no zero.
fn positive(value: fn(&Point) -> Option<f64>) -> impl Fn(&Point) -> Option<f64> {
    move |point| value(point).filter(|value| *value > 0.0)
}

/// The value in the middle; of an even number the lower one of the two.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// What is the same in all steps.
fn title(dimension: Dimension, points: &[Point]) -> String {
    let Some(report) = points.first().map(|point| &point.report) else { return "no runs".to_owned() };
    let parts = [
        (Dimension::RecordSize, format!("records of {} bytes", report.record_bytes)),
        (Dimension::RecordSize, format!("batches of {}", report.batch_records)),
        (
            Dimension::Producers,
            format!("{} producers with {} batches each in flight", report.producers, report.in_flight),
        ),
        (Dimension::Shards, format!("{} shards", report.shards)),
        (Dimension::Replicas, format!("{} replicas", report.replicas)),
    ];
    let same: Vec<_> =
        parts.into_iter().filter(|(varied, _)| *varied != dimension).map(|(_, text)| text).collect();
    format!("Growth with {}: {}", dimension.name(), same.join(", "))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a step is a whole number")]
fn whole(step: f64) -> u64 {
    step.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::tests::point;
    use crate::picture::scale::tests::is_well_formed;

    #[test]
    fn every_run_is_a_dot_on_each_line_and_every_step_has_its_label() {
        let points = [point(1, 1, 1_000), point(1, 2, 3_000), point(5_000, 1, 500)];
        let svg = draw_growth(Dimension::Shards, &points).unwrap();
        assert!(svg.starts_with("<svg") && is_well_formed(&svg), "{svg}");
        // Six lines: records, two latencies, CPU, two of memory.
        assert_eq!(svg.matches("<circle").count(), 3 * 6, "{svg}");
        for text in ["Growth with shards", "5 k", "p99", "MiB", "CPU of all nodes", "a second"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("MB of values"));
    }

    #[test]
    fn where_records_grow_their_bytes_are_drawn_too() {
        let svg = draw_growth(Dimension::RecordSize, &[point(16, 1, 1_000)]).unwrap();
        assert!(is_well_formed(&svg) && svg.contains("MB of values"), "{svg}");
    }

    #[test]
    fn no_runs_are_drawn_too() {
        assert!(is_well_formed(&draw_growth(Dimension::Shards, &[]).unwrap()));
    }

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        let of = |values: &[f64]| median(values.iter().copied());
        assert_eq!((of(&[3.0, 1.0, 2.0]), of(&[4.0, 1.0]), of(&[])), (Some(2.0), Some(1.0), None));
    }
}
