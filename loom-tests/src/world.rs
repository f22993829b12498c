//! An engine on the loom machine, and what a host does with it: calls by their registers, loads and
//! stores with the faults they take.
//!
//! Invariants: a world is built by the model's first thread before it starts others; addresses are
//! small numbers, [`World::page`] and [`World::ipa`] make them what registers hold. No counters and
//! event rings: nothing depends on them, and each would be one more word to explore.

use crate::hardware::Hardware;
use crate::platform::{LoomMachine, PA_BITS};
use crate::{Arc, cpu};
use abi::{
    ARGUMENT_REGISTERS, Call, MapAttrs, RESULT_REGISTERS, Status, VcpuCreateArgs, VcpuHandle,
    VmCreateArgs, VmHandle, VmMapArgs, VmReclaimArgs, VmShape,
};
use engine::engine::PageRun;
use engine::gic::lr::MAX_LIST_REGISTERS;
use engine::host::boot::map_ram;
use engine::host::core::HostCore;
use engine::memory::page_set::PageSet;
use engine::memory::pool::PagePool;
use engine::platform::Platform;
use engine::stage2::{Geometry, Stage2};
use engine::trap::guest_call::Firmware;
use engine::trap::sysreg::IdRegisters;
use engine::vcpu::context::{Frame, GuestMachine, HostFrame};
use engine::vm::HOST_VMID;
use engine::{Engine, Parts};
use ownership::{Owner, PageTable, Pfn, State};
use percpu::{CpuToken, PerCpu, Pins, RunQueues};
use sync::AtomicU64;

/// First page of memory: the host's pages, then the engine's. Also where a VM's RAM begins.
pub const RAM_BASE: u64 = 0x40000;
/// How often an access of the host is tried before it counts as still faulting.
const TRIES: usize = 2;

/// How much of everything there is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Cores.
    pub cores: usize,
    /// VM slots.
    pub vms: usize,
    /// vCPU slots; with none there are no run queues either.
    pub vcpus: usize,
    /// Pages of the host, and of each VM's RAM.
    pub pages: u64,
    /// The cores have the erratum for which a TLBI is repeated.
    pub repeat_tlbi: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            cores: 2,
            vms: 1,
            vcpus: 0,
            pages: 2,
            repeat_tlbi: false,
        }
    }
}

/// The machine with its engine.
pub struct World {
    engine: Engine<LoomMachine>,
    size: Size,
    engine_pages: u64,
}

fn store<T>(count: usize, mut make: impl FnMut(usize) -> T) -> Box<[T]> {
    (0..count).map(&mut make).collect()
}

fn zeroes(count: usize) -> Box<[AtomicU64]> {
    store(count, |_| AtomicU64::new(0))
}

impl World {
    /// Boots an engine; its host has all pages mapped.
    pub fn new(size: Size) -> Arc<Self> {
        let page = |offset: u64| Pfn::from_raw(RAM_BASE + offset);
        // Three tables for the host and each VM, and for each core one that it installs too late.
        let engine_pages = 3 * (1 + size.vms as u64) + size.cores as u64;
        let all = size.pages + engine_pages;
        let root = page(size.pages);
        let geometry = Geometry::for_pa_bits(PA_BITS);
        let hardware = Hardware::new(geometry, root.raw(), size.cores, size.repeat_tlbi);
        // The second entry of a root, the first of a level-2 table, one per page in level 3.
        let entries = size.pages.max(2) as usize;
        let tables = engine_pages as usize;
        let machine = LoomMachine::new(
            hardware,
            size.cores,
            root,
            tables,
            entries,
            size.repeat_tlbi,
        );

        let mut pages = PageTable::new(page(0), zeroes(all as usize));
        let mut set = |first: u64, count: u64, owner: Owner| {
            pages
                .boot_set(page(first), count as usize, State::Owned(owner))
                .expect("fresh pages");
        };
        set(0, size.pages, Owner::Host);
        set(size.pages, engine_pages, Owner::Engine);
        let set_of = |first: Pfn, pages: u64| {
            let (bits, summary) = PageSet::<Box<[AtomicU64]>>::words_for(pages as usize);
            PageSet::new(first, zeroes(bits), zeroes(summary))
        };
        let pool = PagePool::new(set_of(root, engine_pages), set_of(page(0), all));
        for offset in size.pages + 1..all {
            assert!(pool.put(page(offset)));
        }
        let host = Stage2::new(root, HOST_VMID, geometry);
        let run = PageRun {
            first: page(0),
            pages: size.pages,
        };
        map_ram(&machine, cpu(0), &pool, host, run).expect("the host's tables");

        let mut ram = heapless::Vec::new();
        let _ = ram.push(PageRun {
            first: page(0),
            pages: all,
        });
        let host_core = |index: usize| {
            let core = HostCore::new(index as u64);
            core.set_on();
            core
        };
        let queues = if size.vcpus == 0 { 0 } else { size.cores };
        let engine = Engine::new(Parts {
            platform: machine,
            pages,
            pool,
            host,
            vms: store(size.vms, |_| Default::default()),
            vcpus: store(size.vcpus, |_| Default::default()),
            host_cores: store(size.cores, host_core),
            cores: PerCpu::new(store(size.cores, |_| Default::default())),
            pins: Pins::new(store(size.cores, |_| Default::default())),
            queues: RunQueues::new(store(queues, |_| Default::default())),
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
        });
        Arc::new(Self {
            engine,
            size,
            engine_pages,
        })
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

    /// Pages that are the engine's.
    pub fn engine_pages(&self) -> u64 {
        self.engine_pages
    }

    /// The address of the host's `index`-th page.
    pub fn page(index: u64) -> u64 {
        (RAM_BASE + index) << 12
    }

    /// The address of the `index`-th page of a VM's RAM.
    pub fn ipa(index: u64) -> u64 {
        (RAM_BASE + index) << 12
    }

    /// One call of the host on a core: x0 the function, x1–x6 `arguments`; x1–x17, or why not.
    pub fn call(
        &self,
        core: &mut CpuToken,
        call: Call,
        arguments: [u64; ARGUMENT_REGISTERS],
    ) -> Result<[u64; RESULT_REGISTERS], Status> {
        let mut x = [0; 18];
        x[0] = call.function_id();
        x[1..=ARGUMENT_REGISTERS].copy_from_slice(&arguments);
        self.engine.hypercall(core, 0, &mut x);
        match Status::from_raw(x[0] as i64).expect("x0 is a status") {
            Status::Success => {
                let mut results = [0; RESULT_REGISTERS];
                results.copy_from_slice(&x[1..]);
                Ok(results)
            }
            refused => Err(refused),
        }
    }

    /// VM_CREATE of a VM for one vCPU, with as much RAM as the host has.
    pub fn create_vm(&self, core: &mut CpuToken) -> Result<VmHandle, Status> {
        let arguments = VmCreateArgs {
            shape: VmShape {
                vcpus: 1,
                ipa_bits: u16::from(PA_BITS),
                lendable: 0,
            }
            .raw(),
            gicr: 0,
            ram0: Self::ipa(0),
            ram0_size: self.size.pages << 12,
            ram1: 0,
            ram1_size: 0,
        };
        let results = self.call(core, Call::VmCreate, arguments.to_registers())?;
        Ok(VmHandle::from_raw(results[0]))
    }

    /// VM_MAP of one page.
    pub fn map(&self, core: &mut CpuToken, vm: VmHandle, page: u64, at: u64) -> Result<(), Status> {
        let attrs = MapAttrs::MASK;
        let arguments = VmMapArgs {
            vm,
            pa: Self::page(page),
            ipa: Self::ipa(at),
            n: 1,
            attrs,
        };
        self.call(core, Call::VmMap, arguments.to_registers())
            .map(drop)
    }

    /// VCPU_CREATE of the VM's first vCPU.
    pub fn create_vcpu(&self, core: &mut CpuToken, vm: VmHandle) -> Result<VcpuHandle, Status> {
        let arguments = VcpuCreateArgs {
            vm,
            mpidr: 0,
            entry: Self::ipa(0),
            arg: 0,
        };
        let results = self.call(core, Call::VcpuCreate, arguments.to_registers())?;
        Ok(VcpuHandle::from_raw(results[0]))
    }

    /// VM_START.
    pub fn start(&self, core: &mut CpuToken, vm: VmHandle) -> Result<(), Status> {
        self.call(core, Call::VmStart, [vm.raw(), 0, 0, 0, 0, 0])
            .map(drop)
    }

    /// VM_DESTROY.
    pub fn destroy(&self, core: &mut CpuToken, vm: VmHandle) -> Result<(), Status> {
        self.call(core, Call::VmDestroy, [vm.raw(), 0, 0, 0, 0, 0])
            .map(drop)
    }

    /// VM_RECLAIM of at most `max` pages: how many came home, and whether the VM is gone.
    pub fn reclaim(
        &self,
        core: &mut CpuToken,
        vm: VmHandle,
        max: u64,
    ) -> Result<(u64, bool), Status> {
        let arguments = VmReclaimArgs { vm, max };
        let results = self.call(core, Call::VmReclaim, arguments.to_registers())?;
        Ok((results[0], results[1] != 0))
    }

    /// VM_RECLAIM until the VM is gone, with nobody else at it: how many pages came home.
    ///
    /// # Panics
    /// If it does not come to an end.
    pub fn reclaim_rest(&self, core: &mut CpuToken, vm: VmHandle) -> u64 {
        let mut home = 0;
        for _ in 0..16 {
            match self.reclaim(core, vm, 64) {
                Ok((pages, true)) => return home + pages,
                Ok((pages, false)) => home += pages,
                Err(Status::BadHandle) => return home,
                Err(refused) => panic!("VM_RECLAIM: {refused:?}"),
            }
        }
        panic!("VM_RECLAIM does not end");
    }

    /// A store of the host to its `index`-th page. Did it land at once, or after its faults?
    pub fn host_store(&self, core: &mut CpuToken, index: u64, value: u64) -> bool {
        self.host_access(core, index, Some(value)).is_some()
    }

    /// A load of the host: whatever it could have seen; `None` if it was refused, or tried too often.
    pub fn host_load(&self, core: &mut CpuToken, index: u64) -> Option<Vec<u64>> {
        self.host_access(core, index, None)
    }

    fn host_access(&self, core: &mut CpuToken, index: u64, store: Option<u64>) -> Option<Vec<u64>> {
        // A data abort from EL1 by a level-3 translation fault, without a described access.
        let esr = 0x24 << 26 | 1 << 25 | u64::from(store.is_some()) << 6 | 0b00_0111;
        let address = Self::page(index);
        for _ in 0..TRIES {
            let seen = self
                .machine()
                .event()
                .access(core.id().index(), address >> 12, store);
            if !seen.is_empty() {
                return Some(seen);
            }
            let mut frame = HostFrame(Frame::new(0, 0));
            self.engine
                .host_trap(core, &mut frame, esr, address, address >> 12 << 4);
            if self.machine().take_denial(core.id()) {
                return None;
            }
        }
        None
    }

    /// A store of the guest to a page of its RAM, on a core that runs it for that long.
    pub fn guest_store(&self, core: &mut CpuToken, vm: VmHandle, at: u64, value: u64) -> bool {
        let slot = usize::from(vm.slot());
        let root = self.engine.vms()[slot].plan().root.raw();
        let mut hardware = self.machine().event();
        hardware.enter(core.id().index(), vm.slot() + 1, root);
        let landed = hardware.access(core.id().index(), RAM_BASE + at, Some(value));
        drop(hardware);
        self.machine().leave_guests(core.id());
        !landed.is_empty()
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
