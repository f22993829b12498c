//! The platform that the engine sees under loom: a few pages of memory, loom's threads as cores.
//!
//! Invariants: translation-table entries that the engine uses are loom's atomics, made before any
//! thread starts, as many per table page as the model's addresses need; everything the hardware does
//! by itself is in [`Hardware`], and each event there that another core can notice takes a turn on the
//! bus first, so that loom tries them in every order. A barrier orders what the hardware sees and nothing else: the engine's
//! own words have to be ordered by their own atomics.

mod core;
pub mod guest_run;
mod watch;

use self::core::Core;
use crate::bus::Bus;
use crate::guest::Guests;
use crate::hardware::Hardware;
use crate::history::History;
use crate::witness::Witness;
use crate::{story, wording};
use engine::memory::pool::TablePages;
use engine::platform::{Barrier, Broken, EntryAt, Features, Platform, Tlbi, Zeroed};
use engine::vcpu::context::{Context, GuestExit, Stop};

use ownership::Pfn;
use percpu::CpuId;
use std::sync::{Mutex, MutexGuard, PoisonError, atomic};
use sync::{AtomicU64, Ordering, Ordering::Relaxed};

/// Physical (and intermediate) address bits: the narrowest stage 2 there is, three levels.
pub const PA_BITS: u8 = 32;
/// Affinity in MPIDR.
const AFFINITY: u64 = 0xff_00ff_ffff;
/// A guest that runs again at the place where it was, this often, is interrupted instead.
/// Not a yield: loom loses orders by those.
const REPEATS: u64 = 2;

/// The machine.
pub struct LoomMachine {
    first_table: u64,
    entries_per_table: usize,
    entries: Box<[AtomicU64]>,
    bus: Bus,
    hardware: Mutex<Hardware>,
    cores: Box<[Core]>,
    guests: Mutex<Guests>,
    features: Features,
    witness: Witness,
    history: History,
}

/// What a borrowed regime must be given back as.
pub struct SavedRegime {
    vttbr: u64,
    borrowed: Option<u16>,
}

impl LoomMachine {
    /// A machine with `tables` pages from `first_table` on that can be tables.
    pub fn new(
        hardware: Hardware,
        cores: usize,
        first_table: Pfn,
        tables: usize,
        entries_per_table: usize,
        (repeat_tlbi, resize_in_place): (bool, bool),
        history: History,
    ) -> Self {
        let host = hardware.host_root() << 12;
        let core = |_| Core {
            vttbr: atomic::AtomicU64::new(host),
            ..Core::default()
        };
        Self {
            first_table: first_table.raw(),
            entries_per_table,
            entries: (0..tables * entries_per_table)
                .map(|_| AtomicU64::new(0))
                .collect(),
            bus: Bus::new(cores),
            hardware: Mutex::new(hardware),
            cores: (0..cores).map(core).collect(),
            guests: Mutex::default(),
            features: Features {
                tlb_range: true,
                force_write_back: true,
                icache_by_hand: false,
                repeat_tlbi,
                resize_in_place,
                pa_bits: PA_BITS,
            },
            witness: Witness::default(),
            history,
        }
    }

    /// What was done when.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The hardware, for what only the calling core can change, or when all is quiet.
    pub fn peek(&self) -> MutexGuard<'_, Hardware> {
        self.hardware.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hardware, for something that other cores notice.
    pub fn event(&self) -> MutexGuard<'_, Hardware> {
        self.bus.change();
        self.peek()
    }

    /// The hardware, for something that other cores' doings matter to, and which is none of their
    /// business: it changes what only this core's own events go by, or nothing.
    pub fn look(&self, cpu: CpuId) -> MutexGuard<'_, Hardware> {
        self.bus.look(cpu);
        self.peek()
    }

    /// Lets a core's counter stand still, so that nothing there comes to its time; or go on behind
    /// all that has been waiting.
    pub fn stop_counter(&self, cpu: CpuId, is_stopped: bool) {
        // Relaxed, both: the core's own.
        let core = &self.cores[cpu.index()];
        core.is_stopped.store(is_stopped, Relaxed);
        core.counter.fetch_add(1, Relaxed);
    }

    /// Was the host of this core refused an access since this was last asked?
    pub fn take_denial(&self, cpu: CpuId) -> bool {
        // Relaxed: the core's own.
        self.cores[cpu.index()].denied.swap(false, Relaxed)
    }

    /// How often a guest ran on this core.
    pub fn runs(&self, cpu: CpuId) -> u64 {
        // Relaxed: the core's own.
        self.cores[cpu.index()].runs.load(Relaxed)
    }

    /// Did the guest that ran on this core last have an end of its turn?
    pub fn takes_turns(&self, cpu: CpuId) -> bool {
        // Relaxed: the core's own.
        self.cores[cpu.index()].takes_turns.load(Relaxed)
    }

    /// What guests do, and have done.
    pub fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the engine's SGI wait on a core?
    pub fn is_rung(&self, cpu: CpuId) -> bool {
        self.cores[cpu.index()].rung.load(Ordering::Acquire)
    }

    /// Parks a core until it is released; a search that finds it asleep for ever fails.
    pub fn park(&self, cpu: CpuId) {
        let core = &self.cores[cpu.index()];
        core.park.wait(|| core.unpark.0.wait());
    }

    /// VTTBR of a core changes, with walks.
    pub fn enter(&self, cpu: CpuId, vttbr: u64) {
        // Relaxed: the core's own. Again the same is nothing that another core notices.
        if self.cores[cpu.index()].vttbr.load(Relaxed) == vttbr {
            return;
        }
        let (vmid, root) = split(vttbr);
        self.event().enter(cpu.index(), vmid, root);
        story::step(|| format!("is under {} from now on", wording::party(vmid)));
        // Relaxed: the core's own.
        self.cores[cpu.index()].vttbr.store(vttbr, Relaxed);
    }

    fn cell(&self, at: EntryAt) -> Option<&AtomicU64> {
        let index = usize::from(at.index);
        let table = at
            .table
            .raw()
            .checked_sub(self.first_table)
            .expect("a table of the engine's");
        let first = table as usize * self.entries_per_table;
        (index < self.entries_per_table).then(|| &self.entries[first + index])
    }

    /// An entry was changed: cores see it, walkers do from their turn on.
    fn changed(&self, cpu: CpuId, at: EntryAt, old: u64, new: u64) {
        let mut hardware = self.peek();
        hardware.link(at, new);
        // From one invalid value to another, no walker tells them apart; and none sees a table that
        // stands nowhere yet.
        if (old | new) & 1 != 0 && hardware.stands(at.table.raw()) {
            drop(hardware);
            hardware = self.event();
        }
        story::step(|| wording::change(hardware.place(at.table.raw()), at, old, new));
        hardware.change(cpu.index(), at, new);
    }
}

fn split(vttbr: u64) -> (u16, u64) {
    ((vttbr >> 48) as u16, (vttbr & 0xffff_ffff_ffff) >> 12)
}

impl Platform for LoomMachine {
    type Store<T: 'static> = Box<[T]>;
    type SavedRegime = SavedRegime;

    fn features(&self) -> &Features {
        &self.features
    }

    fn counter(&self, cpu: CpuId) -> u64 {
        // Relaxed, both: the core's own.
        let core = &self.cores[cpu.index()];
        let is_stopped = core.is_stopped.load(Relaxed);
        core.counter.fetch_add(u64::from(!is_stopped), Relaxed)
    }

    fn entry(&self, _cpu: CpuId, at: EntryAt) -> u64 {
        // Acquire: pairs with the Release of `store_entry` and `swap_entry`.
        let value = self.cell(at).map_or(0, |cell| cell.load(Ordering::Acquire));
        story::step(|| wording::look(self.peek().place(at.table.raw()), at, value));
        value
    }

    fn swap_entry(&self, cpu: CpuId, at: EntryAt, old: u64, new: u64) -> Result<(), u64> {
        let cell = self.cell(at).expect("an entry that the model has");
        // AcqRel: pairs with itself, `entry` and `store_entry`.
        cell.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)?;
        self.changed(cpu, at, old, new);
        Ok(())
    }

    fn store_entry(&self, cpu: CpuId, at: EntryAt, value: u64) {
        let cell = self.cell(at).expect("an entry that the model has");
        let old = self.peek().entry(at);
        // Release: pairs with the Acquire of `entry`.
        cell.store(value, Ordering::Release);
        self.changed(cpu, at, old, value);
    }

    fn clear_table(&self, cpu: CpuId, table: Pfn) {
        for index in 0..self.entries_per_table {
            let cell = self.cell(EntryAt {
                table,
                index: index as u16,
            });
            // Relaxed: published with the entry that will name the table.
            cell.expect("an entry that the model has")
                .store(0, Ordering::Relaxed);
        }
        // Of a page that stands nowhere nobody else takes notice.
        let mut hardware = self.look(cpu);
        if hardware.stands(table.raw()) {
            drop(hardware);
            hardware = self.event();
        }
        hardware.clear_table(cpu.index(), table.raw());
    }

    fn barrier(&self, cpu: CpuId, barrier: Barrier) {
        let hardware = self.peek();
        let mut hardware = if hardware.has_to_complete(cpu.index(), barrier) {
            drop(hardware);
            self.event()
        } else {
            hardware
        };
        let before = story::is_detailed().then(|| hardware.leftovers());
        hardware.complete(cpu.index(), barrier);
        story::step(|| wording::barrier(barrier, before, hardware.leftovers()));
    }

    fn tlbi(&self, cpu: CpuId, op: Tlbi) {
        // What it will drop is decided now; that it was issued, its core alone knows until its DSB.
        let mut hardware = self.look(cpu);
        if hardware.invalidates_at_once() {
            drop(hardware);
            hardware = self.event();
        }
        story::step(|| wording::tlbi(op, split(self.vttbr(cpu)).0));
        hardware.issue(cpu.index(), op);
    }

    fn invalidate_icache(&self, _cpu: CpuId) {}

    fn vttbr(&self, cpu: CpuId) -> u64 {
        // Relaxed: the core's own.
        self.cores[cpu.index()].vttbr.load(Relaxed)
    }

    fn borrow_regime(&self, cpu: CpuId, vttbr: u64) -> SavedRegime {
        let (vmid, root) = split(vttbr);
        // Only its own invalidations go by it; but a root that walks start from is known to all.
        let mut hardware = self.look(cpu);
        if !hardware.is_root(vmid, root) {
            drop(hardware);
            hardware = self.event();
        }
        let borrowed = hardware.borrow(cpu.index(), vmid, root);
        drop(hardware);
        story::step(|| format!("maintains {} from now on", wording::party(vmid)));
        // Relaxed: the core's own.
        let saved = self.cores[cpu.index()].vttbr.swap(vttbr, Relaxed);
        SavedRegime {
            vttbr: saved,
            borrowed,
        }
    }

    fn return_regime(&self, cpu: CpuId, saved: SavedRegime) {
        // Nobody else's business, and nothing of theirs matters to it.
        self.peek().end_borrow(cpu.index(), saved.borrowed);
        // Relaxed: the core's own.
        self.cores[cpu.index()].vttbr.store(saved.vttbr, Relaxed);
    }

    fn zero_page(&self, _cpu: CpuId, page: Pfn) -> Result<Zeroed, Broken> {
        let mut hardware = self.event();
        story::step(|| format!("zeroes {}", wording::page(page.raw())));
        let was_nonzero = hardware.zero(page.raw());
        Ok(Zeroed {
            was_nonzero,
            reads_zero: true,
        })
    }

    fn clean_page(&self, _cpu: CpuId, _page: Pfn) {}

    fn read_page(&self, cpu: CpuId, page: Pfn, into: &mut [u64]) -> Result<(), Broken> {
        into.fill(0);
        into[0] = self.look(cpu).content(page.raw());
        Ok(())
    }

    fn engine_tables_missing(&self, _cpu: CpuId, _page: Pfn) -> usize {
        0
    }

    fn map_engine_page<T: TablePages>(&self, _cpu: CpuId, _page: Pfn, _tables: &T) -> bool {
        true
    }

    fn unmap_engine_page(&self, _cpu: CpuId, _page: Pfn) -> bool {
        true
    }

    fn send_sgi(&self, _cpu: CpuId, to: CpuId, _sgi: u8) {
        // Release: the sender's DSB ISHST made its stores visible before. A swap, though what was there does not
        // matter: loom lets a plain store that is not ordered with the owner's swap be overtaken by it for good.
        self.cores[to.index()].rung.swap(true, Ordering::Release);
        story::step(|| format!("SGI to core {}", to.index()));
    }

    fn host_interrupt_pending(&self, cpu: CpuId, doorbell: Option<u8>) -> bool {
        let core = &self.cores[cpu.index()];
        if doorbell.is_some() {
            // Acquire: pairs with the Release of `send_sgi`.
            core.rung.swap(false, Ordering::Acquire);
        }
        // Relaxed: the core's own.
        core.interrupt.swap(false, Relaxed)
    }

    fn run_guest(
        &self,
        cpu: CpuId,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit {
        self.enter(cpu, vttbr);
        let Context { frame, vmpidr, .. } = &*context;
        let (vmid, affinity) = (split(vttbr).0, vmpidr & AFFINITY);
        self.history.enter(cpu, vmid, affinity, frame.pc, &frame.x);
        let core = &self.cores[cpu.index()];
        // Relaxed, all: the core's own.
        core.runs.fetch_add(1, Relaxed);
        core.takes_turns.store(until != u64::MAX, Relaxed);
        let repeats = match core.pc.swap(context.frame.pc, Relaxed) == context.frame.pc {
            true => core.repeats.load(Relaxed) + 1,
            false => 0,
        };
        core.repeats.store(repeats % REPEATS, Relaxed);
        self.peek().run(cpu.index(), context.vmpidr & AFFINITY);
        let exit = match repeats < REPEATS {
            true => self.run_program(cpu, context, answer),
            // Others need time to go on: the host's timer fires.
            false => GuestExit::Interrupt,
        };
        story::step(|| format!("guest runs to {exit:x?}"));
        core.interrupt.store(exit == GuestExit::Interrupt, Relaxed);
        exit
    }

    fn leave_regime(&self, cpu: CpuId) {
        let vttbr = self.peek().host_root() << 12;
        // Relaxed, both: the core's own. If it ran none, nobody notices.
        if self.cores[cpu.index()].vttbr.swap(vttbr, Relaxed) != vttbr {
            self.event().leave(cpu.index());
        }
    }

    fn return_to_host(&self, _cpu: CpuId) {}

    fn forget_last_vcpu(&self, cpu: CpuId, vttbr: u64) {
        // No other core notices.
        self.peek().forget_stage1(cpu.index(), split(vttbr).0);
    }

    fn host_vectors(&self, _cpu: CpuId) -> (u64, u64) {
        (0, 0)
    }

    fn set_host_exception(&self, cpu: CpuId, _elr: u64, _spsr: u64, _esr: u64, _far: u64) {
        // Relaxed: the core's own.
        self.cores[cpu.index()].denied.store(true, Relaxed);
    }

    fn smc(&self, _cpu: CpuId, x: &mut [u64; 18]) {
        x[0] = abi::smccc::NOT_SUPPORTED as u64;
    }

    fn release_core(&self, _cpu: CpuId, target: CpuId) {
        let core = &self.cores[target.index()];
        core.park.release(|| core.unpark.0.notify());
    }

    fn device_read(&self, _cpu: CpuId, _pa: u64, _size: u8) -> u64 {
        0
    }

    fn device_write(&self, _cpu: CpuId, _pa: u64, _size: u8, _value: u64) {}
}
