//! A run of pages given to a VM and taken back: by claims of the project's table; and which pages.
//!
//! Memory is one GiB. The first 2 MiB of it are all cores', the 2 MiB after them are core 0's, and so on.
//!
//! Invariant: a core gives to its own VM and takes from that alone, so whoever finds a page given away is refused.

use crate::MAX_CORES;
use crate::random::Random;
use crate::subject::{Outcome, Subject, Workload};
use ownership::{
    Coverage, Flushed, GranuleSize, HOST_VMID, Op, Owner, PageTable, Pfn, Scrubbed, State, VmSlot,
};
use std::ops::Deref;
use sync::AtomicU64;

/// Pages of a GiB.
pub const PAGES: usize = 512 * PER_BLOCK as usize;
/// Pages of 2 MiB.
pub const PER_BLOCK: u64 = GranuleSize::Block2M.pages();
/// Page words of a cache line.
const PER_LINE: u64 = 8;

const BASE: Pfn = Pfn::from_raw(0x4_0000);
const HOST: State = State::Owned(Owner::Host);

const _: () = assert!((MAX_CORES as u64 + 1) * PER_BLOCK <= PAGES as u64);

/// Pages from `first` on, counted from the memory's beginning; all in one 2 MiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first.
    pub first: u64,
    /// How many.
    pub pages: u64,
    /// Is a page's worth of memory zeroed before they go home, while nobody else may have them?
    pub is_zeroed: bool,
}

/// Memory that stands for a page that is zeroed: a core's own, since only the time that it takes matters.
#[derive(Debug)]
pub struct Scratch(Box<[u8; 4096]>);

impl Default for Scratch {
    fn default() -> Self {
        Self(Box::new([0; 4096]))
    }
}

impl Scratch {
    /// Zeroes it.
    pub fn zero(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&mut self.0);
    }
}

/// Which pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// One page of the core's own 2 MiB.
    Disjoint,
    /// The same, and it is zeroed before it goes home.
    DisjointZeroed,
    /// The same, but every tenth of 64 that all cores use.
    TenthShared,
    /// All cores the same page.
    One,
    /// One page, always the same, whose neighbours are the other cores'.
    Neighbours,
    /// 64 pages of the core's own 2 MiB.
    Runs,
    /// The core's own 2 MiB, whole; its neighbours are the other cores'.
    Blocks,
}

impl Pages {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Disjoint,
        Self::DisjointZeroed,
        Self::TenthShared,
        Self::One,
        Self::Neighbours,
        Self::Runs,
        Self::Blocks,
    ];
}

impl Workload for Pages {
    type Target = Run;

    fn name(self) -> &'static str {
        match self {
            Self::Disjoint => "disjoint",
            Self::DisjointZeroed => "disjoint-zeroed",
            Self::TenthShared => "tenth-shared",
            Self::One => "one-page",
            Self::Neighbours => "neighbours",
            Self::Runs => "runs-of-64",
            Self::Blocks => "blocks-2m",
        }
    }

    fn next(self, core: u16, _cores: u16, random: &mut Random) -> Run {
        let own = (u64::from(core) + 1) * PER_BLOCK;
        // Lines apart, so that few rounds have been to all of them.
        let mut in_own = |lines: u64| own + random.below(lines) * PER_LINE;
        let (first, pages) = match self {
            Self::Disjoint | Self::DisjointZeroed => (in_own(8), 1),
            Self::TenthShared => {
                let page = in_own(8);
                let shared = random.below(10) == 0;
                (
                    if shared {
                        random.below(64) * PER_LINE
                    } else {
                        page
                    },
                    1,
                )
            }
            Self::One => (0, 1),
            Self::Neighbours => (u64::from(core), 1),
            Self::Runs => (in_own(8) & !63, 64),
            Self::Blocks => (own, PER_BLOCK),
        };
        Run {
            first,
            pages,
            is_zeroed: self == Self::DisjointZeroed,
        }
    }
}

/// Words that begin where a page does, as the engine's do: else cores' words would share lines at the ends.
#[derive(Debug)]
pub struct Words {
    room: Box<[AtomicU64]>,
    from: usize,
    len: usize,
}

impl Words {
    /// So many, all zero.
    pub fn new(len: usize) -> Self {
        const PER_PAGE: usize = 4096 / size_of::<AtomicU64>();
        let room: Box<[AtomicU64]> = (0..len + PER_PAGE).map(|_| AtomicU64::new(0)).collect();
        let from = room.as_ptr().align_offset(4096);
        assert!(from < PER_PAGE, "a page begins in every page");
        Self { room, from, len }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        &self.room[self.from..][..self.len]
    }
}

/// The project's table of a GiB that is the host's.
#[derive(Debug)]
pub struct Table(PageTable<Words>);

impl Default for Table {
    fn default() -> Self {
        let words = Words::new(PageTable::<Words>::words_for(BASE, PAGES));
        let mut table = PageTable::new(BASE, PAGES, words);
        table
            .boot_set(BASE, PAGES, HOST)
            .expect("nobody has set them");
        Self(table)
    }
}

/// What a core works with.
#[derive(Debug)]
pub struct Core {
    cpu: u16,
    vm: VmSlot,
    host_flushed: Flushed,
    vm_flushed: Flushed,
    scratch: Scratch,
}

impl Subject for Table {
    type Core = Core;
    type Target = Run;

    fn core(&self, number: u16) -> Core {
        let vm = VmSlot::new(number % VmSlot::COUNT).expect("below their number");
        let flushed = |vmid| {
            // SAFETY: there is no hardware: no page is reached through any translation.
            unsafe { Flushed::mint(Coverage::Vmid(vmid)) }
        };
        Core {
            cpu: number,
            vm,
            host_flushed: flushed(HOST_VMID),
            vm_flushed: flushed(vm.vmid()),
            scratch: Scratch::default(),
        }
    }

    fn operate(&self, core: &mut Core, on: Run) -> Outcome {
        let first = Pfn::from_raw(BASE.raw() + on.first);
        if on.pages == 1 {
            return self.operate_on_one(core, first, on.is_zeroed);
        }
        let pages = on.pages as usize;
        let claim = |op, from| self.0.claim_run(first, pages, op, core.cpu, from);
        // As VM_MAP does it; a call would keep what it has got, and say how much.
        let (given, _) = claim(Op::VmMap, HOST);
        if given.len() < pages {
            given.release();
            return Outcome::Refused;
        }
        let committed = given.donate_to_vm(core.vm, &core.host_flushed);
        assert!(committed.is_ok());
        // As a dying VM's pages come home.
        let (taken, why) = claim(Op::Reclaim, State::Owned(Owner::Vm(core.vm)));
        assert!(taken.len() == pages, "one's own pages: {why:?}");
        if on.is_zeroed {
            core.scratch.zero();
        }
        let committed = taken.return_to_host(scrubbed(first, on.pages, &core.vm_flushed));
        assert!(committed.is_ok());
        Outcome::Done
    }
}

impl Table {
    /// The same for one page, which the engine claims by its own word.
    fn operate_on_one(&self, core: &mut Core, page: Pfn, is_zeroed: bool) -> Outcome {
        let claim = |op, from| self.0.claim_page_in(page, op, core.cpu, from);
        let Ok(given) = claim(Op::VmMap, HOST) else {
            return Outcome::Refused;
        };
        let committed = given.donate_to_vm(core.vm, &core.host_flushed);
        assert!(committed.is_ok());
        let taken = claim(Op::Reclaim, State::Owned(Owner::Vm(core.vm))).expect("one's own page");
        if is_zeroed {
            core.scratch.zero();
        }
        let committed = taken.return_to_host(scrubbed(page, 1, &core.vm_flushed));
        assert!(committed.is_ok());
        Outcome::Done
    }
}

/// The proof for a run.
fn scrubbed(first: Pfn, pages: u64, flushed: &Flushed) -> Scrubbed {
    let of = |at: u64| {
        // SAFETY: there is no hardware: the page has no content.
        unsafe { Scrubbed::mint(Pfn::from_raw(first.raw() + at), flushed) }
    };
    (1..pages).fold(of(0), |all, at| {
        all.join(of(at)).expect("they are adjacent")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_home() {
        let table = Table::default();
        for workload in Pages::ALL {
            for number in [0, 1, MAX_CORES - 1] {
                let (mut core, mut random) = (table.core(number), Random::of_core(number));
                let on = workload.next(number, MAX_CORES, &mut random);
                assert_eq!(
                    table.operate(&mut core, on),
                    Outcome::Done,
                    "{workload:?} {number}"
                );
            }
        }
        assert_eq!(table.0.count(BASE, PAGES).unwrap().host, PAGES);
    }

    #[test]
    fn a_page_that_is_another_s_is_refused() {
        let table = Table::default();
        let core = table.core(1);
        let (given, _) = table.0.claim_run(BASE, 1, Op::VmMap, 1, HOST);
        let on = Pages::One.next(0, 1, &mut Random::of_core(0));
        assert_eq!(table.operate(&mut table.core(0), on), Outcome::Refused);
        given.donate_to_vm(core.vm, &core.host_flushed).unwrap();
        assert_eq!(table.operate(&mut table.core(0), on), Outcome::Refused);
    }
}
