//! Runs as SVG: `sweep` draws latency against rate, `growth` what grows with one dimension; `scale` is what their axes share.

mod growth;
mod scale;
mod sweep;

pub(crate) use growth::draw_growth;
pub(crate) use sweep::draw_sweep;
