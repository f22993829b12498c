//! A whole machine: an engine booted on simulated hardware, its host's calls and accesses.
//!
//! Invariants: a [`Machine`] is one machine however often it is cloned; one thread plays all cores;
//! each core's token exists only during its call, and a core that is in a call makes no other; after
//! each call, and after each fault of the host, everything is checked.

use super::access::Want;
use super::check;
use super::guest::{GuestOp, Seen, abort_registers};
use super::platform::Sim;
use super::ram::Ram;
use super::snapshot::Snapshot;
use crate::engine::{Engine, PageRun, Parts};
use crate::gic::lr::MAX_LIST_REGISTERS;
use crate::host::Next;
use crate::host::boot::map_ram;
use crate::host::core::HostCore;
use crate::memory::page_set::PageSet;
use crate::memory::pool::PagePool;
use crate::platform::Features;
use crate::stage2::Stage2;
use crate::trap::guest_call::Firmware;
use crate::trap::sysreg::IdRegisters;
use crate::vcpu::context::{Frame, GuestMachine, HostFrame};
use crate::vm::HOST_VMID;
use abi::{ARGUMENT_REGISTERS, Call, RESULT_REGISTERS, Status};
use ownership::{Owner, PageTable, Pfn, State};
use percpu::{CpuId, CpuToken, PerCpu, Pins, RunQueues};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;
use sync::AtomicU64;

/// First page of memory.
pub const RAM_BASE: u64 = 0x40000;
/// Pages at the bottom that are the firmware's.
pub const RESERVED_PAGES: u64 = 8;
/// Pages of the engine's image: never in the pool.
pub const IMAGE_PAGES: u64 = 8;
/// Pages after the engine's that the host may use but not give away.
pub const FIXED_PAGES: u64 = 4;
/// The host's VBAR_EL1.
pub const HOST_VECTORS: u64 = 0x7000_0000;
/// Where the host's instructions are.
const HOST_PC: u64 = 0x5000_0000;
/// Faults that one access of the host may meet before it counts as hanging.
const HOST_TRIES: usize = 8;

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Cores.
    pub cpus: usize,
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
            ram_pages: 4096,
            pool_pages: 120,
            vms: 4,
            vcpus: 8,
            features: Features {
                tlb_range: true,
                force_write_back: true,
                icache_by_hand: false,
                repeat_tlbi: true,
                pa_bits: 40,
            },
            seed: 1,
        }
    }
}

/// A machine.
#[derive(Clone)]
pub struct Machine {
    engine: Arc<Engine<Sim>>,
    config: Config,
    /// Cores that are in a call.
    inside: Arc<[AtomicBool]>,
}

/// What a call returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// x0.
    pub status: Status,
    /// x1–x17.
    pub x: [u64; RESULT_REGISTERS],
}

impl Reply {
    /// Did it succeed? Its first result.
    #[track_caller]
    pub fn ok(&self) -> u64 {
        assert_eq!(self.status, Status::Success);
        self.x[0]
    }
}

/// The host's access failed: ESR_EL1 of the exception that it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostAbort {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
}

fn store<T>(count: usize, mut make: impl FnMut(usize) -> T) -> Arc<[T]> {
    (0..count).map(&mut make).collect()
}

impl Machine {
    /// Boots an engine.
    ///
    /// # Panics
    /// If the configuration makes no machine.
    pub fn new(config: Config) -> Self {
        let base = Pfn::from_raw(RAM_BASE);
        let pages = config.ram_pages as usize;
        let words: Arc<[AtomicU64]> = store(pages, |_| AtomicU64::new(0));
        let ram = Ram::new(base, pages);
        let sim = Sim::new(
            ram,
            words.clone(),
            config.features,
            config.cpus,
            config.seed,
        );
        let geometry = sim.geometry();
        let page = |offset: u64| Pfn::from_raw(RAM_BASE + offset);

        let mut table = PageTable::new(base, words);
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
        let pool = PagePool::new(own, set_of(base, config.ram_pages));
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
        let boot = CpuId::new(0).expect("core 0");
        let run = PageRun {
            first: page(fixed),
            pages: config.ram_pages - fixed,
        };
        map_ram(&sim, boot, &pool, stage2, run).expect("the host's tables");
        sim.start_host(stage2.regime().vttbr());

        let mut all_ram = heapless::Vec::new();
        let _ = all_ram.push(PageRun {
            first: base,
            pages: config.ram_pages,
        });
        let host_core = |index: usize| {
            let core = HostCore::new(index as u64);
            core.set_on();
            core
        };
        let engine = Engine::new(Parts {
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
        });
        Self {
            engine: Arc::new(engine),
            config,
            inside: store(config.cpus, |_| AtomicBool::new(false)),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine<Sim> {
        &self.engine
    }

    /// The hardware.
    pub fn sim(&self) -> &Sim {
        self.engine.platform()
    }

    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The address of the host's `index`-th page.
    pub fn host_page(&self, index: u64) -> u64 {
        (RAM_BASE + self.first_host_page() + index) << 12
    }

    /// Offset of the first page that is the host's to give away.
    pub fn first_host_page(&self) -> u64 {
        RESERVED_PAGES + IMAGE_PAGES + self.config.pool_pages + FIXED_PAGES
    }

    /// Is this core in no call?
    pub fn is_free(&self, cpu: usize) -> bool {
        // Relaxed: one thread.
        !self.inside[cpu].load(Ordering::Relaxed)
    }

    /// Is no core in a call right now?
    pub fn is_quiet(&self) -> bool {
        // Relaxed: one thread.
        self.inside
            .iter()
            .all(|inside| !inside.load(Ordering::Relaxed))
    }

    fn on_core<R>(&self, cpu: usize, act: impl FnOnce(&mut CpuToken) -> R) -> R {
        // Relaxed: one thread.
        let was = self.inside[cpu].swap(true, Ordering::Relaxed);
        assert!(!was, "core {cpu} is in a call already");
        let id = CpuId::new(cpu as u16).expect("a core's number");
        // SAFETY: one thread plays all cores, and `inside` says that this core's token, which lives
        // only here, does not exist already.
        let mut token = unsafe { CpuToken::new(id) };
        let outcome = act(&mut token);
        // Relaxed: one thread.
        self.inside[cpu].store(false, Ordering::Relaxed);
        outcome
    }

    /// `HVC #imm` of the host with these registers, without any check afterwards.
    pub fn hypercall(&self, cpu: usize, imm: u16, x: &mut [u64; 18]) {
        self.on_core(cpu, |token| self.engine.hypercall(token, imm, x));
    }

    /// One of the engine's own calls, everything checked afterwards: the invariants, and after a
    /// refusal that nothing changed.
    ///
    /// # Panics
    /// If an invariant is broken.
    #[track_caller]
    pub fn call(&self, cpu: usize, call: Call, arguments: &[u64]) -> Reply {
        let before = self.is_quiet().then(|| Snapshot::take(self));
        let reply = self.call_unchecked(cpu, call, arguments);
        let context = || std::format!("{} {arguments:x?} on core {cpu}: {reply:?}", call.name());
        check::assert_all(self, &context);
        if reply.status != Status::Success
            && let Some(before) = before
            && !check::may_change_when_refused(call, reply.status)
        {
            before.assert_unchanged(self, &context);
        }
        for (index, value) in reply.x.iter().enumerate().skip(call.results()) {
            assert_eq!(*value, 0, "x{} after {}", index + 1, context());
        }
        reply
    }

    /// One of the engine's own calls, without the checks.
    ///
    /// # Panics
    /// If x0 is no status.
    #[track_caller]
    pub fn call_unchecked(&self, cpu: usize, call: Call, arguments: &[u64]) -> Reply {
        let mut x = [0xdead_0000_0000_0000; 18];
        x[0] = call.function_id();
        x[1..=ARGUMENT_REGISTERS].fill(0);
        x[1..=arguments.len()].copy_from_slice(arguments);
        self.hypercall(cpu, 0, &mut x);
        let status = Status::from_raw(x[0] as i64).expect("x0 is a status");
        let mut results = [0; RESULT_REGISTERS];
        results.copy_from_slice(&x[1..]);
        Reply { status, x: results }
    }

    /// An SMC of the host: x0–x3 after it, and what the core does next.
    pub fn host_smc(&self, cpu: usize, x: [u64; 4]) -> ([u64; 4], Next) {
        let mut frame = HostFrame(Frame::new(HOST_PC, 0));
        frame.0.x[..4].copy_from_slice(&x);
        let next = self.on_core(cpu, |token| {
            self.engine
                .host_trap(token, &mut frame, 0x17 << 26 | 1 << 25, 0, 0)
        });
        let x = frame.0.x;
        ([x[0], x[1], x[2], x[3]], next)
    }

    /// An access of the host, its stage-2 faults taken to the engine as hardware does.
    ///
    /// # Panics
    /// If it hangs, or an invariant is broken.
    #[track_caller]
    pub fn host_access(&self, cpu: usize, address: u64, want: Want) -> Result<u64, HostAbort> {
        let value = self.host_access_unchecked(cpu, address, want);
        check::assert_all(self, &|| {
            std::format!("host {want:?} at {address:#x} on core {cpu}")
        });
        value
    }

    #[track_caller]
    fn host_access_unchecked(
        &self,
        cpu: usize,
        address: u64,
        want: Want,
    ) -> Result<u64, HostAbort> {
        for _ in 0..HOST_TRIES {
            let fault = match self.sim().access(cpu, address, want) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let mut frame = HostFrame(Frame::new(HOST_PC, 0));
            let (esr, far, hpfar) = abort_registers(address, want, true, fault);
            let next = self.on_core(cpu, |token| {
                self.engine.host_trap(token, &mut frame, esr, far, hpfar)
            });
            assert_eq!(next, Next::Resume);
            if let Some(taken) = self.sim().inner().cores[cpu].exception.take() {
                assert_eq!(frame.0.pc & !0x7ff, HOST_VECTORS);
                assert_eq!((taken.elr, taken.far), (HOST_PC, address));
                return Err(HostAbort {
                    esr: taken.esr,
                    far: taken.far,
                });
            }
            assert!(matches!(frame.0.pc, HOST_PC) || frame.0.pc == HOST_PC + 4);
            if frame.0.pc != HOST_PC {
                return Ok(frame.0.x[9]);
            }
        }
        panic!("the host's {want:?} at {address:#x} hangs");
    }

    /// A load of the host.
    #[track_caller]
    pub fn host_load(&self, cpu: usize, address: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::Load)
    }

    /// A store of the host: the value, which says that it is the host's.
    #[track_caller]
    pub fn host_store(&self, cpu: usize, address: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::Store)
    }

    /// A store of a value as it is: lists of VM_MAP_LIST.
    #[track_caller]
    pub fn host_store_raw(&self, cpu: usize, address: u64, value: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::StoreRaw(value))
    }

    /// Gives the vCPU `affinity` of the VM in `vm` more to do.
    pub fn script(&self, vm: u64, affinity: u64, ops: impl IntoIterator<Item = GuestOp>) {
        self.sim().extend_script(vmid_of(vm), affinity, ops);
    }

    /// What it saw.
    pub fn log(&self, vm: u64, affinity: u64) -> Vec<Seen> {
        self.sim().take_log(vmid_of(vm), affinity)
    }
}

/// The VMID behind a VM's handle.
pub fn vmid_of(vm: u64) -> u16 {
    (vm & 0xffff) as u16 + 1
}
