//! Latency against rate, as SVG: percentiles over the rates of a sweep, both axes logarithmic.
//!
//! Where the rate was lost, a point is hollow: it tells how long the queue had become, not how long an append takes.

use plotters::prelude::*;

use super::scale::{Area, Broken, FAINT, GRID, INK, LABEL, latency, real, render, short, whole_decades};
use crate::percentiles::Percentiles;
use crate::report::Report;

const SIZE: (u32, u32) = (960, 600);

/// What is drawn of each report: a name, a colour, where it is found.
type Line = (&'static str, RGBColor, fn(&Report) -> Option<f64>);

const LINES: [Line; 5] = [
    ("ack max", RGBColor(0xb0, 0x30, 0x2a), |report| of(report.ack, |found| found.max_us)),
    ("ack p999", RGBColor(0xd9, 0x6a, 0x1a), |report| of(report.ack, |found| found.p999_us)),
    ("ack p99", RGBColor(0x2c, 0x8c, 0x5a), |report| of(report.ack, |found| found.p99_us)),
    ("ack p50", RGBColor(0x1f, 0x77, 0xb4), |report| of(report.ack, |found| found.p50_us)),
    ("visible p99", RGBColor(0x7a, 0x4f, 0xa3), |report| of(report.visible, |found| found.p99_us)),
];

fn of(percentiles: Option<Percentiles>, quantile: fn(&Percentiles) -> f64) -> Option<f64> {
    percentiles.map(|percentiles| quantile(&percentiles).max(1.0))
}

/// Draws the open loops among the reports; gives the SVG's text.
pub(crate) fn draw_sweep(reports: &[Report]) -> Result<String, String> {
    render(SIZE, |area| compose(area, reports))
}

fn compose(area: &Area<'_>, reports: &[Report]) -> Result<(), Broken> {
    let rate = |report: &Report| report.offered_per_s.map(real);
    let rates = whole_decades(reports.iter().filter_map(rate));
    let shown = reports.iter().flat_map(|report| LINES.iter().filter_map(|(_, _, value)| value(report)));
    let latencies = whole_decades(shown);
    let mut chart = ChartBuilder::on(area);
    let caption = ("sans-serif", 18).into_font().style(FontStyle::Bold).color(&INK);
    chart.caption(title(reports), caption).margin(18).margin_right(30);
    chart.x_label_area_size(46).y_label_area_size(84);
    let mut chart = chart.build_cartesian_2d(rates.log_scale(), latencies.log_scale())?;
    let (rate_shown, latency_shown) = (|rate: &f64| short(*rate), |us: &f64| latency(*us));
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&rate_shown).y_label_formatter(&latency_shown);
    mesh.x_desc("records a second offered (hollow: the rate was lost)").y_desc("from when a batch was due");
    mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(FAINT);
    mesh.label_style(LABEL.into_font().color(&FAINT)).draw()?;
    for (name, color, value) in LINES {
        let point =
            |report: &Report| Some(((rate(report)?, value(report)?), report.rate_kept != Some(false)));
        let mut points: Vec<((f64, f64), bool)> = reports.iter().filter_map(point).collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
        let line = LineSeries::new(points.iter().map(|(at, _)| *at), color.stroke_width(2));
        let drawn = chart.draw_series(line)?.label(name);
        drawn.legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(3)));
        let style = |kept| if kept { color.filled() } else { color.stroke_width(2) };
        chart.draw_series(points.iter().map(|(at, kept)| Circle::new(*at, 4, style(*kept))))?;
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.85));
    labels.label_font(LABEL.into_font().color(&INK)).draw()?;
    Ok(())
}

fn title(reports: &[Report]) -> String {
    reports.first().map_or_else(
        || "no runs".to_owned(),
        |report| {
            format!(
                "{}: records of {} bytes, batches of {}, {} producers, {} shards, durability {}",
                report.system,
                report.record_bytes,
                report.batch_records,
                report.producers,
                report.shards,
                report.durability
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::scale::tests::is_well_formed;
    use crate::report::tests::open;

    #[test]
    fn the_picture_is_svg_with_every_rate_and_hollow_where_the_rate_was_lost() {
        let svg = draw_sweep(&[open(1_000, 1_000), open(10_000, 10_000), open(100_000, 50_000)]).unwrap();
        assert!(svg.starts_with("<svg") && is_well_formed(&svg), "{svg}");
        // Three points on each of four lines; nobody read, so the fifth is not there.
        assert_eq!(svg.matches("<circle").count(), 12, "{svg}");
        let hollow = |circle: &&str| circle.split('>').next().unwrap().contains("fill=\"none\"");
        assert_eq!(svg.split("<circle").skip(1).filter(hollow).count(), 4, "{svg}");
        for text in ["ack p50", "ack max", "10 k", "the rate was lost", "records of 1024 bytes"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("visible"));
    }

    #[test]
    fn a_single_rate_and_none_at_all_are_drawn_too() {
        for reports in [vec![], vec![open(1_000, 1_000)]] {
            assert!(is_well_formed(&draw_sweep(&reports).unwrap()));
        }
    }
}
