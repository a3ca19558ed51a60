//! The panels of the picture: lines over time, distributions, bytes by kind.
//!
//! Knows what was measured, not where a panel stands. Durations are drawn on a logarithmic scale, for they span many
//! orders of magnitude.

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use timberline::types::Timestamp;

use super::{Bucket, Measured};
use crate::moment::{show_bytes, show_ns};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const FAINT: RGBColor = RGBColor(0x6b, 0x77, 0x85);
const GRID: RGBColor = RGBColor(0xe6, 0xea, 0xee);
const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const GREEN: RGBColor = RGBColor(0x2c, 0x8c, 0x5a);
const ORANGE: RGBColor = RGBColor(0xd9, 0x6a, 0x1a);
const LABEL: (&str, i32) = ("sans-serif", 13);

/// Bars of a distribution.
const BARS: u64 = 24;

fn title<'a, 'b>(area: &'a Area<'b>, text: &'a str) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    let style = ("sans-serif", 17).into_font().style(FontStyle::Bold).color(&INK);
    chart.caption(text, style).margin(14).margin_right(26).x_label_area_size(30).y_label_area_size(84);
    chart
}

#[expect(clippy::cast_precision_loss, reason = "pixels are coarser")]
fn real(number: u64) -> f64 {
    number as f64
}

/// What stands at a place on an axis of nanoseconds or bytes.
#[expect(clippy::cast_sign_loss, reason = "axes begin at zero")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// Seconds since the first record, said as the time of day; of a few seconds, as what has passed.
fn clock(measured: &Measured, seconds: f64) -> String {
    let (first, last) = measured.span.unwrap_or_default();
    let since = whole(seconds * 1e9);
    if last.ns_since(first) < 10_000_000_000 {
        return format!("+{}", show_ns(since));
    }
    let at = Timestamp(first.0.saturating_add(since));
    let Ok(at) = jiff::Timestamp::from_nanosecond(i128::from(at.0)) else { return at.to_string() };
    let form = match last.ns_since(first) {
        0..86_400_000_000_000 => "%H:%M:%S",
        _ => "%d %b %H:%M",
    };
    at.strftime(form).to_string()
}

/// The middles of the slices of time, in seconds since the first record.
fn times(measured: &Measured) -> impl Iterator<Item = f64> {
    let width = real(measured.bucket_ns) / 1e9;
    (0..measured.buckets.len() as u64).map(move |place| (real(place) + 0.5) * width)
}

fn seconds(measured: &Measured) -> f64 {
    (real(measured.bucket_ns) * real(measured.buckets.len() as u64) / 1e9).max(1e-9)
}

/// Records and stored bytes a second.
pub(super) fn throughput(area: &Area<'_>, measured: &Measured) -> Drawn {
    let width = real(measured.bucket_ns) / 1e9;
    let rate = |bucket: &Bucket| real(bucket.records) / width;
    let most = measured.buckets.iter().map(rate).fold(1.0, f64::max);
    let mut chart =
        title(area, "Records a second").build_cartesian_2d(0.0..seconds(measured), 0.0..most * 1.08)?;
    let at = |seconds: &f64| clock(measured, *seconds);
    let shown = |rate: &f64| short(*rate);
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&at).y_label_formatter(&shown).y_labels(6).x_labels(6);
    mesh.disable_x_mesh().bold_line_style(GRID).light_line_style(TRANSPARENT);
    mesh.axis_style(FAINT).label_style(LABEL.into_font().color(&FAINT)).draw()?;
    let points: Vec<_> = times(measured).zip(measured.buckets.iter().map(rate)).collect();
    chart.draw_series(AreaSeries::new(points, 0.0, BLUE.mix(0.18)).border_style(BLUE.stroke_width(2)))?;
    Ok(())
}

/// A number in three digits.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{:.1} M", number / 1e6),
        number if number >= 1e3 => format!("{:.1} k", number / 1e3),
        number if number >= 10.0 => format!("{number:.0}"),
        number => format!("{number:.1}"),
    }
}

/// Median, 99th percentile and maximum of a duration over time.
pub(super) fn spread(
    area: &Area<'_>,
    measured: &Measured,
    name: &str,
    of: &dyn Fn(&Bucket) -> &Histogram<u64>,
) -> Drawn {
    let filled = || measured.buckets.iter().map(of).filter(|histogram| !histogram.is_empty());
    let least = filled().map(|histogram| histogram.value_at_quantile(0.5)).min().unwrap_or(1).max(1);
    let most = filled().map(Histogram::max).max().unwrap_or(1).max(least);
    // Whole powers of ten: there is a label at each end.
    let (low, high) = (real(least).log10().floor(), (real(most) * 1.2).log10().ceil());
    let range = (10_f64.powf(low)..10_f64.powf(high)).log_scale();
    let mut chart = title(area, name).build_cartesian_2d(0.0..seconds(measured), range)?;
    let at = |seconds: &f64| clock(measured, *seconds);
    let shown = |ns: &f64| show_ns(whole(*ns));
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&at).y_label_formatter(&shown).y_labels(6).x_labels(6);
    mesh.disable_x_mesh().bold_line_style(GRID).light_line_style(TRANSPARENT);
    mesh.axis_style(FAINT).label_style(LABEL.into_font().color(&FAINT)).draw()?;
    for (color, label, quantile) in [(ORANGE, "most", 1.0), (GREEN, "99 %", 0.99), (BLUE, "median", 0.5)] {
        let value =
            |bucket: &Bucket| real(of(bucket).value_at_quantile(quantile).min(of(bucket).max()).max(1));
        let held = times(measured).zip(&measured.buckets).filter(|(_, bucket)| !of(bucket).is_empty());
        let points: Vec<_> = held.map(|(at, bucket)| (at, value(bucket))).collect();
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(3)));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.85));
    labels.label_font(LABEL.into_font().color(&INK)).draw()?;
    Ok(())
}

/// How often batches have which size, in bars that double a fraction at a time.
pub(super) fn distribution(
    area: &Area<'_>,
    histogram: &Histogram<u64>,
    name: &str,
    shown: &dyn Fn(u64) -> String,
) -> Drawn {
    let (least, most) = (histogram.min().max(1), histogram.max().max(1));
    // One bar is too narrow for a picture where all batches are alike.
    let (low, high) = (real(least).log2() - 1.0, real(most).log2() + 1.0);
    let width = (high - low) / real(BARS);
    let mut bars = vec![0; BARS as usize];
    for value in histogram.iter_recorded() {
        let place = ((real(value.value_iterated_to().max(1)).log2() - low) / width).max(0.0);
        bars[(whole(place)).min(BARS - 1) as usize] += value.count_at_value();
    }
    let all = real(histogram.len().max(1));
    let tallest = bars.iter().copied().max().unwrap_or(1).max(1);
    let percent = |count: u64| 100.0 * real(count) / all;
    let top = percent(tallest) * 1.1;
    let mut chart = title(area, name).build_cartesian_2d(low..high, 0.0..top)?;
    let size = |log: &f64| shown(whole(log.exp2().round()));
    let share = |percent: &f64| format!("{percent:.0} %");
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(&size).y_label_formatter(&share).y_labels(5).x_labels(5);
    mesh.disable_x_mesh().bold_line_style(GRID).light_line_style(TRANSPARENT);
    mesh.axis_style(FAINT).label_style(LABEL.into_font().color(&FAINT)).draw()?;
    let bar = |(place, count): (usize, &u64)| {
        let from = low + real(place as u64) * width;
        Rectangle::new([(from + width * 0.08, 0.0), (from + width * 0.92, percent(*count))], BLUE.filled())
    };
    chart.draw_series(bars.iter().enumerate().filter(|(_, count)| **count > 0).map(bar))?;
    Ok(())
}

/// An axis of as many rows as there are kinds, without ticks.
struct Rows(usize);

impl Ranged for Rows {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = value / real(self.0.max(1) as u64);
        limit.0 + (share * f64::from(limit.1 - limit.0)) as i32
    }

    fn key_points<Hint: plotters::coord::ranged1d::KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        Vec::new()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..real(self.0 as u64)
    }
}

impl ValueFormatter<f64> for Rows {
    fn format(_: &f64) -> String {
        String::new()
    }
}

/// What the bytes of all files are, largest first.
pub(super) fn kinds(area: &Area<'_>, measured: &Measured) -> Drawn {
    let mut kinds: Vec<(&str, u64)> = measured.bytes.iter().map(|(name, bytes)| (*name, *bytes)).collect();
    kinds.retain(|(_, bytes)| *bytes > 0);
    kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let all: u64 = kinds.iter().map(|(_, bytes)| bytes).sum();
    let most = kinds.first().map_or(1, |(_, bytes)| *bytes);
    let mut chart = title(area, "Bytes by kind");
    chart.x_label_area_size(6).y_label_area_size(150);
    let mut chart = chart.build_cartesian_2d(0.0..real(most) * 1.45, Rows(kinds.len()))?;
    let rows = real(kinds.len() as u64);
    let style = LABEL.into_font().color(&INK);
    for (place, (name, bytes)) in kinds.iter().enumerate() {
        let top = rows - real(place as u64);
        let color = if *name == "damaged" { ORANGE } else { GREEN };
        let bar = Rectangle::new([(0.0, top - 0.2), (real(*bytes), top - 0.8)], color.filled());
        chart.draw_series([bar])?;
        let share = 100.0 * real(*bytes) / real(all.max(1));
        let text = format!("{} ({share:.1} %)", show_bytes(*bytes));
        let (x, y) = chart.backend_coord(&(real(*bytes), top - 0.5));
        let (zero, _) = chart.backend_coord(&(0.0, top - 0.5));
        let (left, up) = area.get_base_pixel();
        area.draw_text(&text, &style, (x - left + 8, y - up - 7))?;
        let right = style.clone().pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Right,
            plotters::style::text_anchor::VPos::Center,
        ));
        area.draw_text(name, &right, (zero - left - 10, y - up))?;
    }
    Ok(())
}
