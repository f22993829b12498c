//! Booting an engine on the simulated hardware, as `main` does on metal.
//!
//! Invariant: memory is, from the bottom: the firmware's, the engine's image, its pool, pages that the
//! host may not give away, the rest of the host's.

use super::hardware::Sim;
use super::ram::Ram;
use crate::engine::{Engine, PageRun, Parts};
use crate::gic::lr::MAX_LIST_REGISTERS;
use crate::host::core::HostCore;
use crate::host::leftovers::Leftovers;
use crate::memory::page_set::PageSet;
use crate::memory::pool::PagePool;
use crate::platform::Features;
use crate::stage2::Stage2;
use crate::trap::guest_call::Firmware;
use crate::trap::sysreg::IdRegisters;
use crate::vcpu::context::GuestMachine;
use crate::vm::HOST_VMID;
use ownership::{GranuleSize, Owner, PageTable, Pfn, State, VmSlot, Word};
use percpu::{CpuToken, PerCpu, Pins, RunQueues};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;
use sync::{AtomicU64, Ordering};

/// First page of memory.
pub const RAM_BASE: u64 = 0x40000;
/// Pages at the bottom that are the firmware's.
pub const RESERVED_PAGES: u64 = 8;
/// Pages of the engine's image: never in the pool.
pub const IMAGE_PAGES: u64 = 8;
/// Pages after the engine's that the host may use but not give away.
pub const FIXED_PAGES: u64 = 4;

/// What the words hold that boot does not clear: whoever reads one would take it for a VM's page.
const UNWRITTEN: u64 = Word::pack(State::Owned(Owner::Vm(VmSlot::new(77).unwrap()))).raw();

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Cores.
    pub cpus: usize,
    /// Of these, the last so many never came up.
    pub missing: usize,
    /// Pages of memory.
    pub ram_pages: u64,
    /// Pages that the engine's pool begins with.
    pub pool_pages: u64,
    /// VM slots.
    pub vms: usize,
    /// vCPU slots.
    pub vcpus: usize,
    /// Hardware features.
    pub features: Features,
    /// Where random choices begin.
    pub seed: u64,
}

impl Default for Config {
    /// Two cores and 16 MiB.
    fn default() -> Self {
        Self {
            cpus: 2,
            missing: 0,
            ram_pages: 4096,
            pool_pages: 120,
            vms: 4,
            vcpus: 8,
            features: Features {
                tlb_range: true,
                force_write_back: true,
                icache_by_hand: false,
                repeat_tlbi: true,
                resize_in_place: false,
                pa_bits: 40,
            },
            seed: 1,
        }
    }
}

pub(super) fn store<T>(count: usize, mut make: impl FnMut(usize) -> T) -> Arc<[T]> {
    (0..count).map(&mut make).collect()
}

/// Page words that machines had which are gone, and up to where they may have been written: a GiB's are 2 MiB, and
/// who tries many small machines would do little else than write them.
static KEPT: Mutex<Vec<(PageWords, usize)>> = Mutex::new(Vec::new());
/// As many are kept.
const KEPT_MOST: usize = 16;

type PageWords = Arc<[AtomicU64]>;

/// Page words as boot finds them.
fn page_words(base: Pfn, pages: usize) -> PageWords {
    let clear = PageTable::<PageWords>::words_to_clear(base, pages);
    let all = PageTable::<PageWords>::words_for(base, pages);
    let at_first = |index| if index < clear { 0 } else { UNWRITTEN };
    // Behind the words of larger granules stand the pages', and of these only whole 2 MiB are ever written.
    let (giant, block) = (GranuleSize::Block1G.pages(), GranuleSize::Block2M.pages());
    let behind = |granule: u64| pages.next_multiple_of(granule as usize);
    let written = all - behind(giant) + behind(block);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let free =
        |(words, _): &mut (PageWords, usize)| words.len() == all && Arc::get_mut(words).is_some();
    if let Some((words, to)) = kept.iter_mut().find_map(|kept| free(kept).then_some(kept)) {
        for (index, word) in words.iter().enumerate().take(written.max(*to)) {
            // Relaxed: nobody else has them.
            word.store(at_first(index), Ordering::Relaxed);
        }
        *to = written;
        return words.clone();
    }
    let words = store(all, |index| AtomicU64::new(at_first(index)));
    if kept.len() < KEPT_MOST {
        kept.push((words.clone(), written));
    }
    words
}

/// Gives the host its RAM, and runs its cores.
pub(super) fn start_host(engine: &Engine<Sim>, config: Config, cpu: &CpuToken) {
    let fixed = RESERVED_PAGES + IMAGE_PAGES + config.pool_pages;
    let run = PageRun {
        first: Pfn::from_raw(RAM_BASE + fixed),
        pages: config.ram_pages - fixed,
    };
    engine.map_host_ram(cpu, run).expect("the host's tables");
    let regime = engine.host_stage2().regime();
    engine.platform().start_host(regime.vttbr());
}

/// An engine, before its host has any RAM. All of that is to be cleared, but for `kept`, if that is something.
///
/// # Panics
/// If the configuration makes no machine.
pub(super) fn before_host(config: Config, kept: Option<&[PageRun]>) -> Engine<Sim> {
    let base = Pfn::from_raw(RAM_BASE);
    let pages = config.ram_pages as usize;
    let words = page_words(base, pages);
    let ram = Ram::new(base, pages);
    let sim = Sim::new(
        ram,
        PageTable::new(base, pages, words.clone()),
        config.features,
        config.cpus,
        config.seed,
    );
    let geometry = sim.geometry();
    let page = |offset: u64| Pfn::from_raw(RAM_BASE + offset);

    let mut table = PageTable::new(base, pages, words);
    let engine_pages = IMAGE_PAGES + config.pool_pages;
    let fixed = RESERVED_PAGES + engine_pages;
    let host = fixed + FIXED_PAGES;
    let mut set = |first: u64, count: u64, to: State| {
        table
            .boot_set(page(first), count as usize, to)
            .expect("boot states");
    };
    set(RESERVED_PAGES, engine_pages, State::Owned(Owner::Engine));
    set(fixed, FIXED_PAGES, State::HostFixed);
    set(host, config.ram_pages - host, State::Owned(Owner::Host));

    let set_of = |first: Pfn, pages: u64| {
        let (bits, summary) = PageSet::<Arc<[AtomicU64]>>::words_for(pages as usize);
        let zeroes = |count| store(count, |_| AtomicU64::new(0));
        PageSet::new(first, zeroes(bits), zeroes(summary))
    };
    let own = set_of(page(RESERVED_PAGES), engine_pages);
    // Bits that boot does not clear either: whoever reads one would take its page for a free one.
    type Set = PageSet<Arc<[AtomicU64]>>;
    let (bits, summary) = Set::words_for(pages);
    let words = |count, word| store(count, |_| AtomicU64::new(word));
    let donated = Set::untouched(
        base,
        words(bits, u64::MAX),
        words(summary, 0),
        words(Set::states_for(pages), 0),
    );
    let pool = PagePool::new(own, donated);
    sim.boot_map_el2(page(RESERVED_PAGES), engine_pages);
    for offset in RESERVED_PAGES + IMAGE_PAGES..fixed {
        assert!(pool.put(page(offset)));
    }
    // The root's alignment is its size: offset 16 suits all.
    let root = page(RESERVED_PAGES + IMAGE_PAGES);
    for index in 0..u64::from(geometry.root_pages) {
        assert!(pool.take_exact(Pfn::from_raw(root.raw() + index)));
    }
    let stage2 = Stage2::new(root, HOST_VMID, geometry);
    pool.fill_reserve();

    let mut all_ram = heapless::Vec::<_, 64>::new();
    let _ = all_ram.push(PageRun {
        first: base,
        pages: config.ram_pages,
    });
    let leftovers = match kept {
        Some(kept) => Leftovers::new(&all_ram, kept.iter().copied().collect()),
        None => Leftovers::none(),
    };
    let host_core = |index: usize| {
        let core = HostCore::new(index as u64);
        if index < config.cpus - config.missing {
            core.set_on();
        }
        core
    };
    Engine::new(Parts {
        platform: sim,
        pages: table,
        pool,
        host: stage2,
        vms: store(config.vms, |_| Default::default()),
        vcpus: store(config.vcpus, |_| Default::default()),
        host_cores: store(config.cpus, host_core),
        cores: PerCpu::new(store(config.cpus, |_| Default::default())),
        pins: Pins::new(store(config.cpus, |_| Default::default())),
        queues: RunQueues::new(store(config.cpus, |_| Default::default())),
        counters: store(config.cpus, |_| Default::default()),
        rings: store(config.cpus, |_| Default::default()),
        machine: GuestMachine {
            midr: 0x410f_d0c0,
            // Four list registers, five priority bits.
            ich_vtr: 4 << 29 | 4 << 26 | (MAX_LIST_REGISTERS as u64 / 4 - 1),
            id: IdRegisters::new(),
        },
        firmware: Firmware::none(),
        guarded: heapless::Vec::new(),
        holes: heapless::Vec::new(),
        ram: all_ram,
        leftovers,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Whoever gets words that a machine had before finds them as if it were the first.
    #[test]
    fn words_that_were_kept_are_as_new() {
        let base = Pfn::from_raw(RAM_BASE);
        // A number of GiB that no other test has.
        let pages = 3 << 18 | 700;
        for used in [pages, 3 << 18 | 1] {
            let words = page_words(base, used);
            let clear = PageTable::<PageWords>::words_to_clear(base, used);
            let is_new = |(index, word): (usize, &AtomicU64)| {
                let first = if index < clear { 0 } else { UNWRITTEN };
                word.load(Ordering::Relaxed) == first
            };
            assert!(words.iter().enumerate().all(is_new));
            let mut table = PageTable::new(base, used, words);
            table
                .boot_set(base, used, State::Owned(Owner::Host))
                .unwrap();
            for page in [0, used as u64 - 1] {
                let page = Pfn::from_raw(RAM_BASE + page);
                let claim = table.claim_page(page, ownership::Op::Lend, 0, |_| true);
                drop(claim.unwrap());
            }
        }
    }
}
