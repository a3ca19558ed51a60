//! Where a segment's frames stand: every frame of the active segment, every 32nd of a sealed one.

use crate::types::Index;

/// Sealed segments remember one position in this many.
const SEALED_STRIDE: usize = 32;

/// Positions by index. Knows nothing of what stands there.
#[derive(Clone, Debug)]
pub(super) struct FrameIndex {
    first: Index,
    stride: usize,
    positions: Vec<u32>,
}

impl FrameIndex {
    pub(super) fn new(first: Index) -> Self {
        Self { first, stride: 1, positions: Vec::new() }
    }

    /// Notes where the next frame stands.
    pub(super) fn push(&mut self, position: u64) {
        assert_eq!(self.stride, 1, "only an active segment grows");
        self.positions.push(u32::try_from(position).expect("segments are smaller than 4 GiB"));
    }

    /// Forgets all but the first `count` frames.
    pub(super) fn truncate(&mut self, count: usize) {
        assert_eq!(self.stride, 1, "only an active segment is truncated");
        self.positions.truncate(count);
    }

    /// Keeps only what a sealed segment needs.
    pub(super) fn thin(&mut self) {
        if self.stride == 1 {
            self.positions = self.positions.iter().copied().step_by(SEALED_STRIDE).collect();
            self.stride = SEALED_STRIDE;
        }
    }

    pub(super) fn is_dense(&self) -> bool {
        self.stride == 1
    }

    /// Positions remembered.
    pub(super) fn marks(&self) -> usize {
        self.positions.len()
    }

    /// The frame and position of a mark.
    pub(super) fn mark(&self, mark: usize) -> (Index, u64) {
        (self.first.plus((mark * self.stride) as u64), self.positions[mark].into())
    }

    /// The last mark at or below `index`, which the segment holds.
    pub(super) fn mark_below(&self, index: Index) -> (Index, u64) {
        self.mark((index.0 - self.first.0) as usize / self.stride)
    }
}
