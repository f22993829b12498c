//! An engine booted on the loom machine.
//!
//! Invariants: a world is built by the model's first thread before it starts others; addresses are
//! small numbers, [`World::page`] and [`World::ipa`] make them what registers hold. No counters and
//! event rings: nothing depends on them, and each would be one more word to explore.

use crate::hardware::Hardware;
use crate::history::History;
use crate::platform::{LoomMachine, PA_BITS};
use crate::weakness::Without;
use crate::{Arc, cpu, story};
use engine::engine::PageRun;
use engine::gic::lr::MAX_LIST_REGISTERS;
use engine::host::boot::map_ram;
use engine::host::core::HostCore;
use engine::host::leftovers::Leftovers;
use engine::memory::page_set::PageSet;
use engine::memory::pool::PagePool;
use engine::stage2::descriptor::pages_of;
use engine::stage2::{Geometry, Stage2};
use engine::trap::guest_call::Firmware;
use engine::trap::sysreg::IdRegisters;
use engine::vcpu::context::GuestMachine;
use engine::vm::HOST_VMID;
use engine::{Engine, Parts};
use ownership::{Owner, PageTable, Pfn, State};
use percpu::{PerCpu, Pins, RunQueues};
use sync::AtomicU64;

/// First page of memory: the host's pages, then the engine's. Also where a VM's RAM begins. A block
/// of any size may begin here; a root's second entry translates it.
pub const RAM_BASE: u64 = pages_of(TOP_LEVEL);
/// The level of the root, and of the largest blocks.
const TOP_LEVEL: u8 = 1;
/// How much of everything there is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Cores.
    pub cores: usize,
    /// The last so many of them are parked.
    pub parked: usize,
    /// VM slots.
    pub vms: usize,
    /// vCPU slots; with none there are no run queues either.
    pub vcpus: usize,
    /// Pages of the host, and of each VM's RAM.
    pub pages: u64,
    /// The cores have the erratum for which a TLBI is repeated.
    pub repeat_tlbi: bool,
    /// They change the size of an entry without an invalid one in between.
    pub resize_in_place: bool,
    /// The host's memory begins in the largest granules and blocks, not page by page.
    pub blocks: bool,
}

impl Size {
    /// The usual machine with this many pages.
    pub const fn of(pages: u64) -> Self {
        Self {
            cores: 2,
            parked: 0,
            vms: 1,
            vcpus: 0,
            pages,
            repeat_tlbi: false,
            resize_in_place: false,
            blocks: false,
        }
    }

    /// The usual machine, where these pages begin as blocks.
    pub const fn in_blocks(pages: u64) -> Self {
        Self {
            blocks: true,
            ..Self::of(pages)
        }
    }

    /// The same with a vCPU slot.
    pub const fn with_vcpu(pages: u64) -> Self {
        Self::with_vcpus(pages, 1)
    }

    /// The same with so many vCPU slots, all for one VM.
    pub const fn with_vcpus(pages: u64, vcpus: usize) -> Self {
        Self {
            vcpus,
            ..Self::of(pages)
        }
    }
}

/// The machine with its engine.
pub struct World {
    engine: Engine<LoomMachine>,
    size: Size,
}

fn store<T>(name: &'static str, count: usize, mut make: impl FnMut(usize) -> T) -> Box<[T]> {
    let items: Box<[T]> = (0..count).map(&mut make).collect();
    story::name(name, &items);
    items
}

fn zeroes(name: &'static str, count: usize) -> Box<[AtomicU64]> {
    store(name, count, |_| AtomicU64::new(0))
}

impl World {
    /// Boots an engine; its host has all pages mapped.
    pub fn new(size: Size) -> Arc<Self> {
        let page = |offset: u64| Pfn::from_raw(RAM_BASE + offset);
        // Root, level 2 and level 3 for the host and each VM, and for each core one that it installs
        // too late.
        let below = |level| (size.pages + 1).div_ceil(pages_of(level));
        let per_tree = 1 + below(TOP_LEVEL) + below(TOP_LEVEL + 1);
        let engine_pages = per_tree * (1 + size.vms as u64) + size.cores as u64;
        let all = size.pages + engine_pages;
        let root = page(size.pages);
        let geometry = Geometry::for_pa_bits(PA_BITS);
        let hardware = Hardware::new(
            Without::by_environment(),
            geometry,
            root.raw(),
            size.cores,
            size.repeat_tlbi,
            size.resize_in_place,
        );
        // Those of a root; other tables have fewer.
        let entries = (1 + below(TOP_LEVEL)) as usize;
        let tables = engine_pages as usize;
        let machine = LoomMachine::new(
            hardware,
            size.cores,
            root,
            tables,
            entries,
            (size.repeat_tlbi, size.resize_in_place),
            History::new(size, all, PA_BITS),
        );

        let words = PageTable::<Box<[AtomicU64]>>::words_for(page(0), all as usize);
        let mut pages = PageTable::new(page(0), all as usize, zeroes("page word", words));
        // One by one each page has a word of its own from the start, and calls on neighbours don't
        // meet in one: that is asked in `tests/granules.rs`, and with `blocks`.
        let step = if size.blocks { size.pages } else { 1 };
        let mut set = |first: u64, count: u64, owner: Owner| {
            for offset in (first..first + count).step_by(step as usize) {
                let run = step.min(first + count - offset);
                pages
                    .boot_set(page(offset), run as usize, State::Owned(owner))
                    .expect("fresh pages");
            }
        };
        set(0, size.pages, Owner::Host);
        set(size.pages, engine_pages, Owner::Engine);
        let set_of = |first: Pfn, pages: u64| {
            let (bits, summary) = PageSet::<Box<[AtomicU64]>>::words_for(pages as usize);
            PageSet::new(
                first,
                zeroes("page set", bits),
                zeroes("page summary", summary),
            )
        };
        let pool = PagePool::new(set_of(root, engine_pages), set_of(page(0), all));
        for offset in size.pages + 1..all {
            assert!(pool.put(page(offset)));
        }
        let host = Stage2::new(root, HOST_VMID, geometry);
        for offset in (0..size.pages).step_by(step as usize) {
            let run = PageRun {
                first: page(offset),
                pages: step,
            };
            map_ram(&machine, cpu(0), &pool, host, run).expect("the host's tables");
        }

        let mut ram = heapless::Vec::new();
        let _ = ram.push(PageRun {
            first: page(0),
            pages: all,
        });
        let host_core = |index: usize| {
            let core = HostCore::new(index as u64);
            if index < size.cores - size.parked {
                core.set_on();
            } else {
                core.arrive();
            }
            core
        };
        let queues = if size.vcpus == 0 { 0 } else { size.cores };
        let engine = Engine::new(Parts {
            platform: machine,
            pages,
            pool,
            host,
            vms: store("VM", size.vms, |_| Default::default()),
            vcpus: store("vCPU", size.vcpus, |_| Default::default()),
            host_cores: store("host core", size.cores, host_core),
            cores: PerCpu::new(store("core", size.cores, |_| Default::default())),
            pins: Pins::new(store("pin", size.cores, |_| Default::default())),
            queues: RunQueues::new(store("queue", queues, |_| Default::default())),
            counters: Box::new([]),
            rings: Box::new([]),
            machine: GuestMachine {
                midr: 0x410f_d0c0,
                // Four list registers, five priority bits.
                ich_vtr: 4 << 29 | 4 << 26 | (MAX_LIST_REGISTERS as u64 / 4 - 1),
                id: IdRegisters::new(),
            },
            firmware: Firmware::none(),
            guarded: heapless::Vec::new(),
            holes: heapless::Vec::new(),
            ram,
            leftovers: Leftovers::none(),
        });
        Arc::new(Self { engine, size })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine<LoomMachine> {
        &self.engine
    }

    /// The machine.
    pub fn machine(&self) -> &LoomMachine {
        self.engine.platform()
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Pages of memory, the engine's included.
    pub fn all_pages(&self) -> u64 {
        self.engine.pages().len() as u64
    }

    /// The address of the host's `index`-th page.
    pub fn page(index: u64) -> u64 {
        (RAM_BASE + index) << 12
    }

    /// The address of the `index`-th page of a VM's RAM.
    pub fn ipa(index: u64) -> u64 {
        (RAM_BASE + index) << 12
    }

    /// What the host's `index`-th page holds, whoever has it.
    pub fn content(&self, index: u64) -> u64 {
        self.machine().event().content(RAM_BASE + index)
    }

    /// Whose the host's `index`-th page is by its word.
    pub fn state(&self, index: u64) -> State {
        self.engine
            .pages()
            .state(Pfn::from_raw(RAM_BASE + index))
            .expect("memory")
    }
}
