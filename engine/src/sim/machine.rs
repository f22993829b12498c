//! A whole machine: an engine booted on simulated hardware, and its host's calls.
//!
//! Invariants: a [`Machine`] is one machine however often it is cloned; one thread plays all cores;
//! each core's token exists only during its call, and a core that is in a call makes no other; after
//! each call, and after each fault of the host, everything is checked.

use super::boot::{self, Config, FIXED_PAGES, IMAGE_PAGES, RAM_BASE, RESERVED_PAGES};
use super::check;
use super::hardware::Sim;
use super::script::{GuestOp, Seen};
use super::snapshot::Snapshot;
use super::tables::Below;
use super::tlb::Translation;
use crate::engine::{Engine, PageRun};
use crate::vm::HOST_VMID;
use abi::{ARGUMENT_REGISTERS, Call, Counter, RESULT_REGISTERS, Status};
use percpu::{CpuId, CpuToken};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;

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

impl Machine {
    /// Boots an engine.
    ///
    /// # Panics
    /// If the configuration makes no machine.
    pub fn new(config: Config) -> Self {
        let machine = Self::before_host(config, None);
        machine.start_host();
        machine
    }

    /// Boots an engine, and its host not yet. All RAM is to be cleared before, but for `kept`, if that is something.
    ///
    /// # Panics
    /// If the configuration makes no machine.
    pub fn before_host(config: Config, kept: Option<&[PageRun]>) -> Self {
        Self {
            engine: Arc::new(boot::before_host(config, kept)),
            config,
            inside: boot::store(config.cpus, |_| AtomicBool::new(false)),
        }
    }

    /// Clears RAM as one of the cores; all do it.
    pub fn clear_leftovers(&self, cpu: usize) {
        self.on_core(cpu, |token| self.engine.clear_leftovers(token));
    }

    /// Runs the host on all cores.
    ///
    /// # Panics
    /// If the pool has no table for its RAM.
    pub fn start_host(&self) {
        self.on_core(0, |token| {
            boot::start_host(&self.engine, self.config, token);
        });
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

    /// The leaves of the host's stage-2.
    pub fn host_leaves(&self) -> Vec<Translation> {
        let host = self.engine.host_stage2();
        let root = host.root().raw();
        Below::root(&self.sim().ram, host.geometry(), HOST_VMID, root).leaves
    }

    /// The leaves of a VM's.
    pub fn guest_leaves(&self, vm: u64) -> Vec<Translation> {
        let (host, vmid) = (self.engine.host_stage2(), vmid_of(vm));
        let root = self.engine.vms()[usize::from(vmid) - 1].plan().root.raw();
        Below::root(&self.sim().ram, host.geometry(), vmid, root).leaves
    }

    /// A counter, summed over the cores.
    pub fn counted(&self, counter: Counter) -> u64 {
        let cores = 0..self.config.cpus as u64;
        let of = |cpu| {
            let reply = self.call_unchecked(0, Call::StatsRead, &[cpu, counter.raw()]);
            reply.x[0]
        };
        cores.map(of).sum()
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

    /// Acts as a core that is in no call.
    pub(super) fn on_core<R>(&self, cpu: usize, act: impl FnOnce(&mut CpuToken) -> R) -> R {
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
