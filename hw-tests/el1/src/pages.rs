//! Free physical pages: runs by address, first fit, joined when given back.
//!
//! Invariants: no free run overlaps another, the image, the device tree, the initial RAM disk or
//! anything reserved; neighbours are joined. Written under [`FREE`]'s lock only. Page 0 is never
//! free.

use crate::{
    Lock, PAGE,
    machine::{Range, machine},
};
use alloc::collections::BTreeMap;

/// Start and end of each free run.
struct Runs(BTreeMap<u64, u64>);

static FREE: Lock<Runs> = Lock::new(Runs(BTreeMap::new()));

impl Runs {
    /// Adds `start..end`, which no run overlaps.
    fn add(&mut self, mut start: u64, mut end: u64) {
        if let Some((&before, &before_end)) = self.0.range(..start).next_back()
            && before_end == start
        {
            start = before;
        }
        if let Some(after_end) = self.0.remove(&end) {
            end = after_end;
        }
        self.0.insert(start, end);
    }

    /// Takes `start..end` out of whatever run covers part of it.
    fn cut(&mut self, start: u64, end: u64) {
        while let Some((&run, &run_end)) = self
            .0
            .range(..end)
            .next_back()
            .filter(|(_, run_end)| **run_end > start)
        {
            self.0.remove(&run);
            if run < start {
                self.0.insert(run, start);
            }
            if end < run_end {
                self.0.insert(end, run_end);
            }
        }
    }

    fn take(&mut self, from: u64, size: u64, align: u64) -> Option<u64> {
        let (start, _) = self.0.iter().find_map(|(&run, &run_end)| {
            let start = run.max(from).next_multiple_of(align);
            (start.checked_add(size)? <= run_end).then_some((start, run_end))
        })?;
        self.cut(start, start + size);
        Some(start)
    }
}

/// Finds the free pages of the machine.
pub(crate) fn init() {
    let machine = machine();
    let mut free = FREE.lock();
    for ram in &machine.ram {
        free.add(
            ram.start.next_multiple_of(PAGE).max(PAGE),
            ram.end() & !(PAGE - 1),
        );
    }
    let used = [Some(machine.image), Some(machine.tree), machine.initrd];
    for range in machine
        .reserved
        .iter()
        .copied()
        .chain(used.into_iter().flatten())
    {
        free.cut(
            range.start & !(PAGE - 1),
            range.end().next_multiple_of(PAGE),
        );
    }
}

/// Takes `pages` pages in a row whose address is a multiple of `align` bytes.
pub fn take(pages: u64, align: u64) -> Option<u64> {
    take_from(0, pages, align)
}

/// The same, at `from` or behind it.
pub fn take_from(from: u64, pages: u64, align: u64) -> Option<u64> {
    let size = pages.checked_mul(PAGE)?;
    FREE.lock().take(from, size, align.max(PAGE))
}

/// Gives pages back.
///
/// # Safety
/// The pages came from [`take`] and nobody uses them any more.
pub unsafe fn give(start: u64, pages: u64) {
    FREE.lock().add(start, start + pages * PAGE);
}

/// Pages free now.
pub fn count_free() -> u64 {
    FREE.lock()
        .0
        .iter()
        .map(|(start, end)| (end - start) / PAGE)
        .sum()
}

/// The free runs, largest last: for images that test the whole of memory.
pub fn list_free() -> alloc::vec::Vec<Range> {
    let mut runs: alloc::vec::Vec<Range> = FREE
        .lock()
        .0
        .iter()
        .map(|(&start, &end)| Range {
            start,
            size: end - start,
        })
        .collect();
    runs.sort_by_key(|run| run.size);
    runs
}
