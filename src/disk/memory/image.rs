//! One file's two images.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// What a sync took out of the page cache when it began.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Rises with every sync of the file.
    pub(super) number: u64,
    pub(super) sectors: Vec<(u64, Vec<u8>)>,
}

/// What became of a sector that the disk says it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Written,
    Lost,
    /// It was written over that other one.
    Elsewhere(u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    /// What every reader sees.
    pub(super) bytes: Vec<u8>,
    /// Of every sector whose durable bytes may differ from those: the durable ones.
    durable: BTreeMap<u64, Vec<u8>>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<u64>,
    /// Sectors on their way to the disk, with the number of syncs that carry them.
    writing: BTreeMap<u64, u32>,
    syncs: u64,
    /// The newest sync that wrote each sector: one that began earlier and ends later changes nothing more.
    written: BTreeMap<u64, u64>,
    /// What the disk holds in place of what it said it wrote.
    damage: BTreeMap<u64, Vec<u8>>,
}

impl Image {
    pub(super) fn zeros(size_bytes: u64) -> Self {
        Self::of(vec![0; size_bytes as usize])
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn sectors(&self) -> u64 {
        (self.bytes.len() as u64).div_ceil(SECTOR_BYTES)
    }

    fn range(&self, sector: u64) -> Range<usize> {
        let start = (sector * SECTOR_BYTES) as usize;
        start..self.bytes.len().min(start + SECTOR_BYTES as usize)
    }

    fn sector(&self, sector: u64) -> Vec<u8> {
        self.bytes[self.range(sector)].to_vec()
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if !self.durable.contains_key(&sector) {
                self.durable.insert(sector, self.sector(sector));
            }
            self.dirty.insert(sector);
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(bytes);
    }

    /// Hands to the disk what is dirty, and once more what an earlier sync still carries: a sync that ends has waited
    /// for all of it. From here on the sectors count as clean.
    pub(super) fn begin_sync(&mut self) -> Snapshot {
        let mut owed = std::mem::take(&mut self.dirty);
        owed.extend(self.writing.keys());
        for sector in &owed {
            *self.writing.entry(*sector).or_default() += 1;
        }
        self.syncs += 1;
        let sectors = owed.into_iter().map(|sector| (sector, self.sector(sector))).collect();
        Snapshot { number: self.syncs, sectors }
    }

    fn end_writing(&mut self, sector: u64) {
        if let Some(syncs) = self.writing.get_mut(&sector) {
            *syncs -= 1;
            if *syncs == 0 {
                self.writing.remove(&sector);
            }
        }
    }

    /// The disk says that it has written a sector for that sync.
    pub(super) fn finish_sync(&mut self, number: u64, sector: u64, bytes: Vec<u8>, truth: Truth) {
        self.end_writing(sector);
        let newest = self.written.entry(sector).or_default();
        if *newest > number {
            return;
        }
        *newest = number;
        let before = self.damage.remove(&sector).or_else(|| self.durable.get(&sector).cloned());
        if let Truth::Elsewhere(elsewhere) = truth {
            let elsewhere = elsewhere % self.sectors();
            if self.range(elsewhere).len() == bytes.len() {
                self.damage.insert(elsewhere, bytes.clone());
            }
        }
        if truth != Truth::Written {
            self.damage.insert(sector, before.unwrap_or_else(|| bytes.clone()));
        }
        if self.bytes[self.range(sector)] == bytes[..] {
            self.durable.remove(&sector);
        } else {
            self.durable.insert(sector, bytes);
        }
    }

    /// The disk could not write them. The page cache forgets that it owes them: they are clean, and lost.
    pub(super) fn fail_sync(&mut self, snapshot: &Snapshot) {
        for (sector, _) in &snapshot.sectors {
            self.end_writing(*sector);
        }
    }

    /// Inverts bits where they rot: on the disk, and in the page cache if the page is read from there.
    pub(super) fn flip(&mut self, at_byte: u64, mask: u8) {
        self.bytes[at_byte as usize] ^= mask;
        let (sector, inside) = (at_byte / SECTOR_BYTES, (at_byte % SECTOR_BYTES) as usize);
        if let Some(durable) = self.durable.get_mut(&sector) {
            durable[inside] ^= mask;
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// What the disk said it wrote, it wrote after all.
    pub(super) fn heal(&mut self) {
        self.damage.clear();
    }

    /// Loses the page cache. Of sectors that were dirty or on their way, `lost` decides; those of a failed sync are gone.
    pub(super) fn cut(&mut self, mut lost: impl FnMut() -> bool) {
        let durable = std::mem::take(&mut self.durable);
        for (sector, old) in durable {
            let owed = self.dirty.contains(&sector) || self.writing.contains_key(&sector);
            if !owed || lost() {
                let range = self.range(sector);
                self.bytes[range].copy_from_slice(&old);
            }
        }
        for (sector, bytes) in std::mem::take(&mut self.damage) {
            let range = self.range(sector);
            self.bytes[range].copy_from_slice(&bytes);
        }
        self.dirty.clear();
        self.writing.clear();
    }
}
