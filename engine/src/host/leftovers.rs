//! What a reset left in RAM: gone before the host runs.
//!
//! DRAM keeps what is in it over a warm reset, and whoever asks for one, or lets a watchdog bite, would find in the
//! host's memory what guests had there and the engine. So all cores zero what is to be the host's, each a piece at a
//! time, before it is mapped; unless the loader says that all of it was overwritten since the reset.
//!
//! Invariants: the host's tables map no RAM, and no core runs the host, until all pieces are done ([`Leftovers::are_gone`]);
//! what the loader put there for the host (`kept`) stays; a page that can't be zeroed is nobody's.

use super::boot::map_ram;
use crate::engine::{Engine, PageRun};
use crate::platform::Platform;
use crate::stage2::MapError;
use ownership::{Coverage, Flushed, Op, Owner, PageClaim, Pfn, Refused, State};
use percpu::CpuToken;
use sync::{AtomicU64, Ordering, unless};

/// Pages of a piece.
const PIECE: u64 = 512;
/// Most runs that stay as they are: the host's image, its tree, and the archive.
pub const KEPT: usize = 3;

/// What is to be zeroed, and how far that is.
pub struct Leftovers {
    kept: heapless::Vec<PageRun, KEPT>,
    /// Pieces in all.
    pieces: u64,
    /// The first that no core has taken.
    next: AtomicU64,
    /// How many are done.
    done: AtomicU64,
    /// Pages that could not be zeroed.
    lost: AtomicU64,
}

impl Leftovers {
    /// Everything in `ram` that will be the host's, but for `kept`.
    pub fn new(ram: &[PageRun], kept: heapless::Vec<PageRun, KEPT>) -> Self {
        let pieces = ram.iter().map(|run| run.pages.div_ceil(PIECE));
        Self {
            kept,
            pieces: pieces.fold(0, u64::saturating_add),
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Nothing, by the loader's word.
    pub fn none() -> Self {
        Self::new(&[], heapless::Vec::new())
    }

    /// Is everything zeroed?
    pub fn are_gone(&self) -> bool {
        self.done() == self.pieces
    }

    /// How many pieces are zeroed.
    pub fn done(&self) -> u64 {
        // Acquire: pairs with the Release of `finish`.
        let look = unless(cfg!(mutant = "leftovers-seen-relaxed"), Ordering::Acquire);
        self.done.load(look)
    }

    /// A piece of `ram` for the caller alone, if there is one left.
    pub fn take(&self, ram: &[PageRun]) -> Option<PageRun> {
        // Relaxed: who has which is all that it tells.
        let mut nth = self.next.fetch_add(1, Ordering::Relaxed);
        if nth >= self.pieces {
            return None;
        }
        for run in ram {
            let pieces = run.pages.div_ceil(PIECE);
            if nth < pieces {
                let before = nth.saturating_mul(PIECE);
                let pages = run.pages.saturating_sub(before).min(PIECE);
                let first = run.first.after(before);
                return Some(PageRun { first, pages });
            }
            nth = nth.saturating_sub(pieces);
        }
        None
    }

    /// The caller has zeroed a piece that it took.
    pub fn finish(&self) {
        // Release: pairs with the Acquire of `done`: the core that maps the RAM has all that was done to it.
        let tell = unless(cfg!(mutant = "leftovers-done-relaxed"), Ordering::Release);
        self.done.fetch_add(1, tell);
    }

    fn keep(&self, page: Pfn) -> bool {
        let one = PageRun {
            first: page,
            pages: 1,
        };
        self.kept.iter().any(|run| run.overlaps(one))
    }
}

impl<P: Platform> Engine<P> {
    /// What a reset left.
    pub fn leftovers(&self) -> &Leftovers {
        &self.parts.leftovers
    }

    /// Zeroes pieces of RAM until there are none left. All cores do so at once.
    pub fn clear_leftovers(&self, cpu: &CpuToken) {
        let left = &self.parts.leftovers;
        while let Some(piece) = left.take(&self.parts.ram) {
            for page in piece.first.run(piece.pages) {
                if !left.keep(page) && self.will_be_hosts(page) {
                    self.clear_leftover(cpu, page);
                }
            }
            left.finish();
        }
    }

    /// Is a page the host's to be? So it is while another core takes a broken one out of the granule around it.
    fn will_be_hosts(&self, page: Pfn) -> bool {
        match self.parts.pages.state(page) {
            Some(State::Owned(Owner::Host)) => true,
            Some(State::Claimed { from, .. }) => from == State::Owned(Owner::Host).into(),
            _ => false,
        }
    }

    fn clear_leftover(&self, cpu: &CpuToken, page: Pfn) {
        #[cfg(not(mutant = "boot-keep-ram"))]
        let zeroed = self.parts.platform.zero_page(cpu.id(), page);
        #[cfg(mutant = "boot-keep-ram")]
        let zeroed = Ok::<_, crate::platform::Broken>(crate::platform::Zeroed {
            was_nonzero: false,
            reads_zero: true,
        });
        if zeroed.is_ok_and(|zeroed| zeroed.reads_zero) {
            return;
        }
        let Some(claim) = self.claim_leftover(cpu, page) else {
            return;
        };
        // SAFETY: the host's tables map no RAM yet, and each core that is up has dropped what earlier software left in
        // its TLBs (`Platform::init_core`).
        let flushed = unsafe { Flushed::mint(Coverage::Vmid(crate::vm::HOST_VMID)) };
        self.lose_broken(cpu, claim, &[&flushed]);
        // Relaxed: `done` publishes it.
        self.parts.leftovers.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn claim_leftover(&self, cpu: &CpuToken, page: Pfn) -> Option<PageClaim<'_>> {
        let hosts = State::Owned(Owner::Host);
        loop {
            let pages = &self.parts.pages;
            match pages.claim_page_in(page, Op::Poison, cpu.id().raw(), hosts) {
                Ok(claim) => return Some(claim),
                // Another core takes a page out of the same granule, and is done soon.
                Err(Refused::Busy) => {}
                Err(_) => return None,
            }
        }
    }

    /// Maps a run of what is the host's, once nothing is left there.
    pub fn map_host_ram(&self, cpu: &CpuToken, run: PageRun) -> Result<(), MapError> {
        let parts = &self.parts;
        let map = |run| map_ram(&parts.platform, cpu.id(), &parts.pool, parts.host, run);
        // Relaxed: the caller has looked at `done`.
        if parts.leftovers.lost.load(Ordering::Relaxed) == 0 {
            return map(run);
        }
        let mut whole = PageRun { pages: 0, ..run };
        for page in run.first.run(run.pages) {
            if parts.pages.state(page) == Some(State::Poisoned) {
                map(whole)?;
                whole = PageRun {
                    first: page.after(1),
                    pages: 0,
                };
            } else {
                whole.pages = whole.pages.saturating_add(1);
            }
        }
        map(whole)
    }
}
