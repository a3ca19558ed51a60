//! The picture of what was measured, as SVG: on the left what changes over time, on the right what is distributed how.
//!
//! Only places panels; `panels` draws each.

use plotters::prelude::*;

use super::Measured;
use super::panels::{self, Drawn};
use crate::moment::{show, show_bytes, show_count};

const SIZE: (u32, u32) = (1280, 1080);
const TITLE_HEIGHT: u32 = 84;
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const FAINT: RGBColor = RGBColor(0x6b, 0x77, 0x85);

/// Draws; gives the SVG's text.
pub(crate) fn draw(measured: &Measured, name: &str) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        compose(&area, measured, name).map_err(|e| e.to_string())?;
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

fn compose(area: &panels::Area<'_>, measured: &Measured, name: &str) -> Drawn {
    area.fill(&RGBColor(0xff, 0xff, 0xff))?;
    let (title, rest) = area.split_vertically(TITLE_HEIGHT);
    let large = ("sans-serif", 26).into_font().style(FontStyle::Bold).color(&INK);
    title.draw_text(name, &large, (28, 18))?;
    let span = measured.span.map_or_else(
        || "no records".to_owned(),
        |(first, last)| format!("{} to {}", show(first), show(last)),
    );
    let bytes: u64 = measured.bytes.values().sum();
    let below = format!(
        "shard replicas: {}, {}, {} records, {span}",
        measured.shards,
        show_bytes(bytes),
        show_count(measured.records)
    );
    title.draw_text(&below, &("sans-serif", 15).into_font().color(&FAINT), (28, 54))?;
    let (left, right) = rest.split_horizontally(760);
    let time = left.split_evenly((3, 1));
    let shapes = right.split_evenly((3, 1));
    panels::throughput(&time[0], measured)?;
    panels::spread(&time[1], measured, "Uncertainty when stamped", &|bucket| &bucket.uncertainty_ns)?;
    panels::spread(&time[2], measured, "Gap between batches of a shard", &|bucket| &bucket.gap_ns)?;
    panels::distribution(&shapes[0], &measured.batch_records, "Records per batch", &|n| show_count(n))?;
    panels::distribution(&shapes[1], &measured.batch_bytes, "Stored bytes per batch", &show_bytes)?;
    panels::kinds(&shapes[2], measured)
}
