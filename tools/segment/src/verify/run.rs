//! All segments of many shards, checked side by side, one thread a core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::segment::{Checked, check};
use super::{Sums, shard};
use crate::finding::Finding;
use crate::folder::ShardFolder;

/// What all checks together found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Shard by shard, in order of the segments.
    pub findings: Vec<Finding>,
    pub segments: u64,
    pub sums: Sums,
}

impl Verdict {
    /// How many places are damaged.
    pub fn damaged(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_damage()).count()
    }
}

/// Checks everything in the folders with at most `threads` threads; `progress` is told of bytes as they are done.
pub fn verify(folders: &[ShardFolder], threads: usize, progress: &(dyn Fn(u64) + Sync)) -> Verdict {
    let jobs: Vec<(usize, usize)> = folders
        .iter()
        .enumerate()
        .flat_map(|(at, folder)| folder.asked().map(move |(place, _)| (at, place)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((at, place)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = check(&folders[*at], *place, progress);
            done.lock().expect("no panic while results are held").push((*at, *place, checked));
        }
    };
    if threads <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads.min(jobs.len())).for_each(|_| drop(scope.spawn(work))));
    }
    let mut done = done.into_inner().expect("no panic while results are held");
    done.sort_by_key(|(at, place, _)| (*at, *place));
    let mut verdict = Verdict::default();
    let mut rest = done.into_iter().peekable();
    for (at, folder) in folders.iter().enumerate() {
        let mut checked: Vec<Checked> = Vec::new();
        while let Some((_, _, one)) = rest.next_if(|(of, ..)| *of == at) {
            checked.push(one);
        }
        verdict.add(folder, checked);
    }
    verdict
}

impl Verdict {
    fn add(&mut self, folder: &ShardFolder, checked: Vec<Checked>) {
        let shard_number = folder.shard().map(|shard| shard.0);
        let of_folder = shard::check(folder, &checked);
        for Checked { findings, sums, .. } in checked {
            self.segments += 1;
            self.sums.bytes += sums.bytes;
            self.sums.frames += sums.frames;
            self.sums.records += sums.records;
            self.sums.order_marks += sums.order_marks;
            self.findings.extend(findings);
        }
        self.findings.extend(of_folder);
        for finding in self.findings.iter_mut().filter(|finding| finding.shard.is_none()) {
            finding.shard = shard_number;
        }
    }
}
