//! Colours, logarithmic ranges and short labels, the same in every picture.

use plotters::prelude::*;

pub(super) const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
pub(super) const FAINT: RGBColor = RGBColor(0x6b, 0x77, 0x85);
pub(super) const GRID: RGBColor = RGBColor(0xe6, 0xea, 0xee);
pub(super) const LABEL: (&str, i32) = ("sans-serif", 13);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// What went wrong while drawing.
pub(super) type Broken = Box<dyn std::error::Error>;

/// The SVG's text of what `compose` draws on white.
pub(super) fn render(
    size: (u32, u32),
    compose: impl FnOnce(&Area<'_>) -> Result<(), Broken>,
) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        compose(&area).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

/// From a power of ten to a power of ten, around all values: there is a label at each end.
pub(super) fn whole_decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (least, most) =
        values.fold((f64::MAX, 1.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let low = least.min(most).log10().floor();
    let high = most.log10().ceil().max(low + 1.0);
    10_f64.powf(low)..10_f64.powf(high)
}

#[expect(clippy::cast_precision_loss, reason = "pixels are coarser")]
pub(super) fn real(number: u64) -> f64 {
    number as f64
}

/// A rate in few digits.
pub(super) fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.0} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k", rate / 1e3),
        rate if rate >= 1.0 => format!("{rate:.0}"),
        rate => format!("{rate}"),
    }
}

/// A latency in few digits.
pub(super) fn latency(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.0} s", us / 1e6),
        us if us >= 1e3 => format!("{:.0} ms", us / 1e3),
        us if us >= 1.0 => format!("{us:.0} us"),
        us => format!("{us} us"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    /// Whether every tag is closed by its own, in order, and every attribute quoted.
    pub(in crate::picture) fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let Some((inside, _)) = tag.split_once('>') else { return false };
            if inside.matches('"').count() % 2 != 0 {
                return false;
            }
            let name = inside.split_whitespace().next().unwrap_or_default();
            if let Some(closed) = name.strip_prefix('/') {
                if open.pop() != Some(closed.to_owned()) {
                    return false;
                }
            } else if !inside.ends_with('/') && !inside.starts_with(['?', '!']) {
                open.push(name.to_owned());
            }
        }
        open.is_empty()
    }

    #[test]
    fn what_is_not_well_formed_is_seen() {
        for bad in ["<svg><g></svg>", "<svg", "<svg a=\"1></svg>", "</svg>", "<svg>"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
