//! A small file that another process, or the hypervisor, writes through a map while it is read here.
//!
//! It is read with `pread`, never mapped. Both go to the same pages, so nothing is missed; a file that is shortened or
//! removed under a reader gives a short read where a map would give SIGBUS; and opening it anew each time, some
//! microseconds every 10 ms, finds a file that took its place. Knows nothing of what the bytes mean.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use rustix::fs::OFlags;

/// A writer that is met in the middle is through within so many looks, unless it was preempted.
const LOOKS: usize = 4;

/// The first `N` bytes of a file, or fewer if there are fewer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Page<N> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads the page whole, or gives `None` if it was being written at every look. `is_settled` tells by the page's own
/// sequence number whether no write had begun.
///
/// A seqlock's reader (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012) with a
/// stricter test: two reads must be equal in every byte. A first read that met half of a write has seen its odd
/// number or a byte of it, and the second, behind the fence, sees that number at least.
pub(super) fn read<const N: usize>(
    path: &Path,
    is_settled: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Page<N>>> {
    // Not to wait for a writer if somebody put a pipe there.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    settle(|| look(&file), is_settled)
}

fn settle<const N: usize>(
    mut look: impl FnMut() -> io::Result<Page<N>>,
    is_settled: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Page<N>>> {
    for _ in 0..LOOKS {
        let first = look()?;
        fence(Ordering::Acquire);
        let second = look()?;
        if first.bytes() == second.bytes() && is_settled(first.bytes()) {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

fn look<const N: usize>(file: &File) -> io::Result<Page<N>> {
    let mut page = Page { bytes: [0; N], len: 0 };
    while page.len < N {
        match file.read_at(&mut page.bytes[page.len..], page.len as u64)? {
            0 => break,
            read => page.len += read,
        }
    }
    Ok(page)
}

/// The `N` bytes from `at` on, which must be there.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range is N long")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first byte is the sequence number, the second what it guards.
    fn settled(looks: &[[u8; 2]]) -> (Option<[u8; 2]>, usize) {
        let mut taken = 0;
        let look = || {
            let bytes = *looks.get(taken).unwrap_or(&looks[looks.len() - 1]);
            taken += 1;
            Ok(Page { bytes, len: 2 })
        };
        let page = settle(look, |bytes| bytes[0] % 2 == 0).unwrap();
        (page.map(|page| page.bytes), taken)
    }

    #[test]
    fn a_page_is_whole_once_two_looks_agree_on_every_byte_and_an_even_number() {
        assert_eq!(settled(&[[2, 7], [2, 7]]), (Some([2, 7]), 2));
        // Half of a write was copied before its number was, or after: one of the two looks tells.
        assert_eq!(settled(&[[2, 7], [2, 8], [4, 8], [4, 8]]), (Some([4, 8]), 4));
        assert_eq!(settled(&[[2, 7], [4, 7], [4, 7], [4, 7]]), (Some([4, 7]), 4));
        assert_eq!(settled(&[[3, 7], [3, 7], [4, 7], [4, 7]]), (Some([4, 7]), 4));
    }

    #[test]
    fn a_page_whose_writer_never_ends_is_given_up() {
        assert_eq!(settled(&[[3, 7]]), (None, 2 * LOOKS));
    }
}
