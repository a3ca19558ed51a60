//! What the parts of a frame are called.

use timberline::codec::FrameKind;

/// A frame's kind in words, as in `docs/SEGMENT_FORMAT.md`.
pub(crate) fn kind(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Data => "data",
        FrameKind::LeaderStart => "leader start",
        FrameKind::Membership => "membership",
        FrameKind::Trim => "trim",
        FrameKind::ProducerFence => "producer fence",
        FrameKind::OrderMark => "order mark",
    }
}

/// The fields of a frame's header, each with where it begins.
const FIELDS: [(usize, &str); 20] = [
    (0, "magic"),
    (4, "version"),
    (6, "kind"),
    (7, "compression"),
    (8, "header CRC"),
    (12, "body CRC"),
    (16, "body length"),
    (20, "record count"),
    (24, "term"),
    (32, "index"),
    (40, "first offset"),
    (48, "first timestamp"),
    (56, "uncertainty"),
    (64, "committed index"),
    (72, "producer id"),
    (80, "producer sequence"),
    (88, "producer epoch"),
    (92, "chain"),
    (96, "first index kept"),
    (104, "reserved bytes"),
];

/// The field that the byte of a header belongs to.
pub(crate) fn field(at: usize) -> &'static str {
    FIELDS.iter().rfind(|(start, _)| *start <= at).map_or("magic", |(_, name)| name)
}
