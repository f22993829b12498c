//! The platform that the engine sees.
//!
//! Invariants: the engine reaches a table only through here and only in pages that are mapped at EL2;
//! barriers and invalidations do what the Arm ARM promises for them and nothing more; a page is
//! scrubbed only when no translation, left over or not, reaches it.

use super::guest::Script;
use super::ram::Ram;
use super::tlb::Tlb;
use super::walker::{Descriptor, Walkers};
use crate::platform::{Barrier, EntryAt, Features, Platform, Tlbi, Zeroed};
use crate::stage2::Geometry;
use crate::vcpu::context::{Context, GuestExit};
use crate::vm::HOST_VMID;
use ownership::{Op, Pfn, State};
use percpu::CpuId;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;
use sync::{AtomicU64, Ordering};

/// The simulated hardware.
pub struct Sim {
    /// Memory.
    pub ram: Ram,
    /// The engine's page words: for checks at the moment things happen.
    pub(super) words: Arc<[AtomicU64]>,
    features: Features,
    geometry: Geometry,
    counter: AtomicU64,
    inner: Mutex<Inner>,
}

/// An exception that the engine made the host take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostException {
    /// ESR_EL1.
    pub esr: u64,
    /// ELR_EL1.
    pub elr: u64,
    /// FAR_EL1.
    pub far: u64,
}

/// A core's state beside its TLB.
#[derive(Default)]
pub(super) struct CoreState {
    pub(super) vttbr: u64,
    pub(super) exception: Option<HostException>,
    pub(super) interrupt: bool,
    pub(super) doorbell: bool,
    /// Whose stage-1 translations and instructions the core may have cached, by VMID.
    pub(super) cached_for: BTreeMap<u16, u64>,
}

/// All that changes.
pub(super) struct Inner {
    pub(super) tlb: Tlb,
    pub(super) walkers: Walkers,
    pub(super) cores: Vec<CoreState>,
    /// Pages that EL2 can reach.
    pub(super) el2: BTreeSet<u64>,
    /// Which life of its slot a VMID lives: who writes what.
    pub(super) lives: BTreeMap<u16, u64>,
    /// vCPUs that run, by VMID and affinity, and where.
    pub(super) running: BTreeMap<(u16, u64), usize>,
    pub(super) scripts: BTreeMap<(u16, u64), Script>,
    next_life: u64,
    random: u64,
    violations: Vec<String>,
}

impl Inner {
    /// Writes down what must not be.
    pub(super) fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    /// The next number of a SplitMix64 sequence.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Sim {
    /// A machine whose cores run the host, once [`Sim::start_host`] has said where its tables are.
    pub fn new(
        ram: Ram,
        words: Arc<[AtomicU64]>,
        features: Features,
        cores: usize,
        seed: u64,
    ) -> Self {
        let geometry = Geometry::for_pa_bits(features.pa_bits);
        let inner = Inner {
            tlb: Tlb::new(cores, features.repeat_tlbi),
            walkers: Walkers::new(geometry),
            cores: (0..cores).map(|_| CoreState::default()).collect(),
            el2: BTreeSet::new(),
            lives: BTreeMap::new(),
            running: BTreeMap::new(),
            scripts: BTreeMap::new(),
            next_life: 0,
            random: seed,
            violations: Vec::new(),
        };
        Self {
            ram,
            words,
            features,
            geometry,
            counter: AtomicU64::new(1),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Stage-2 geometry.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Says that EL2 reaches these pages from the start.
    pub fn boot_map_el2(&self, first: Pfn, pages: u64) {
        self.inner().el2.extend(first.raw()..first.raw() + pages);
    }

    /// All cores run the host now.
    pub fn start_host(&self, vttbr: u64) {
        let mut inner = self.inner();
        for cpu in 0..inner.cores.len() {
            self.enter(&mut inner, cpu, vttbr);
        }
    }

    /// What went wrong so far, once.
    pub fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().violations)
    }

    /// Makes a physical interrupt wait for the host on a core, or takes it away.
    pub fn set_interrupt(&self, cpu: usize, waiting: bool) {
        self.inner().cores[cpu].interrupt = waiting;
    }

    /// Lets time pass.
    pub fn advance(&self, ticks: u64) {
        // Relaxed: time is nobody's publication.
        self.counter.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Lets time pass until then.
    pub fn advance_to(&self, until: u64) {
        // Relaxed: time is nobody's publication.
        self.counter.fetch_max(until, Ordering::Relaxed);
    }

    /// Lets all stores in flight land now, as the erratum allows: in each page that an old
    /// translation led to.
    pub fn land_late_stores(&self) {
        let mut inner = self.inner();
        for entry in inner.tlb.land() {
            let this = entry.translation;
            for page in this.page..this.page + this.pages {
                if !self.ram.contains(page) {
                    continue;
                }
                if !self.is_allowed(this.vmid, page) {
                    let state = self.state(page);
                    inner.violation(format!(
                        "a late store under VMID {} landed in page {page:#x}, which is {state:?}",
                        this.vmid
                    ));
                }
            }
        }
    }

    /// VTTBR becomes `vttbr`, with walks.
    pub(super) fn enter(&self, inner: &mut Inner, cpu: usize, vttbr: u64) {
        let vmid = self.learn(inner, vttbr);
        inner.cores[cpu].vttbr = vttbr;
        inner.tlb.enter(cpu, vmid);
    }

    fn learn(&self, inner: &mut Inner, vttbr: u64) -> u16 {
        let (vmid, root) = ((vttbr >> 48) as u16, (vttbr & 0xffff_ffff_ffff) >> 12);
        if inner.walkers.learn(&self.ram, vmid, root) && vmid != HOST_VMID {
            inner.next_life += 1;
            let life = inner.next_life;
            inner.lives.insert(vmid, life);
        }
        vmid
    }

    fn check_el2(&self, inner: &mut Inner, table: Pfn) {
        if !inner.el2.contains(&table.raw()) {
            inner.violation(format!(
                "EL2 used {:#x} as a table without having it",
                table.raw()
            ));
        }
    }

    /// After an entry changed: what walkers may see from now on, and what they may still see.
    fn entry_changed(&self, inner: &mut Inner, cpu: CpuId, at: EntryAt, old: u64, new: u64) {
        if old == new {
            return;
        }
        let Some(place) = inner.walkers.place(at.table.raw()) else {
            return;
        };
        let Inner { tlb, walkers, .. } = inner;
        let is_live = |vmid| tlb.any_may_hold(vmid);
        let after = walkers.store(&self.ram, cpu.index(), at, old, new, is_live);
        let was = Descriptor::read(old, place.level);
        if was.is_valid() && Descriptor::read(new, place.level).is_valid() {
            inner.violation(format!(
                "a valid entry was replaced by another: {at:?} at {place:?}"
            ));
        }
        for leaf in &after.leaves {
            let beside = inner
                .tlb
                .all_leftovers()
                .find(|(_, entry)| {
                    entry
                        .translation
                        .overlaps(leaf.vmid, leaf.ipa_page, leaf.pages)
                })
                .map(|(core, entry)| (core, *entry));
            let unseen = inner
                .walkers
                .unseen()
                .find(|old| old.overlaps(leaf.vmid, leaf.ipa_page, leaf.pages))
                .copied();
            if let Some(old) = unseen {
                inner.violation(format!(
                    "{leaf:?} was written while walkers may still find {old:?}"
                ));
            }
            if let Some((core, entry)) = beside {
                inner.violation(format!(
                    "{leaf:?} was written while core {core} keeps {entry:?}"
                ));
            }
            self.check_new_leaf(inner, leaf.vmid, leaf.page, leaf.pages);
        }
    }

    /// A page that changes hands must be out of its former owner's reach before the next one's leaf
    /// is there.
    fn check_new_leaf(&self, inner: &mut Inner, vmid: u16, page: u64, pages: u64) {
        let Some(State::Claimed {
            op: Op::VmMap | Op::HostFault,
            from,
            ..
        }) = self.state(page)
        else {
            return;
        };
        if matches!(from.state(), State::Shared { .. }) {
            return;
        }
        for page in page..page + pages {
            if let Some(who) = self.reached_by_other(inner, vmid, page) {
                inner.violation(format!(
                    "VMID {vmid} was given page {page:#x}, which {who} can still reach"
                ));
                return;
            }
        }
    }

    /// Who but `vmid` can reach a page, through the host's tables or any old translation?
    fn reached_by_other(&self, inner: &Inner, vmid: u16, page: u64) -> Option<String> {
        if let Some((core, entry)) = inner
            .tlb
            .all_leftovers()
            .find(|(_, entry)| entry.translation.vmid != vmid && entry.translation.reaches(page))
        {
            return Some(format!("core {core} through {entry:?}"));
        }
        if let Some(entry) = inner
            .tlb
            .in_flight()
            .iter()
            .find(|entry| entry.translation.vmid != vmid && entry.translation.reaches(page))
        {
            return Some(format!("a store in flight through {entry:?}"));
        }
        let mut unseen = inner.walkers.unseen();
        if let Some(entry) = unseen.find(|entry| entry.vmid != vmid && entry.reaches(page)) {
            return Some(format!("a walker through {entry:?}"));
        }
        let walk = inner.walkers.walk(&self.ram, HOST_VMID, page);
        (vmid != HOST_VMID && walk.is_ok()).then(|| "the host through its tables".into())
    }
}

/// What a borrowed regime must be given back as.
pub struct SavedRegime {
    vttbr: u64,
    borrowed: Option<u16>,
}

impl Platform for Sim {
    type Store<T: 'static> = Arc<[T]>;
    type SavedRegime = SavedRegime;

    fn features(&self) -> Features {
        self.features
    }

    fn counter(&self, _cpu: CpuId) -> u64 {
        // Relaxed: time is nobody's publication.
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    fn entry(&self, _cpu: CpuId, at: EntryAt) -> u64 {
        self.check_el2(&mut self.inner(), at.table);
        self.ram.load(at.table.raw(), usize::from(at.index))
    }

    fn swap_entry(&self, cpu: CpuId, at: EntryAt, old: u64, new: u64) -> Result<(), u64> {
        let mut inner = self.inner();
        self.check_el2(&mut inner, at.table);
        self.ram
            .swap(at.table.raw(), usize::from(at.index), old, new)?;
        self.entry_changed(&mut inner, cpu, at, old, new);
        Ok(())
    }

    fn store_entry(&self, cpu: CpuId, at: EntryAt, value: u64) {
        let mut inner = self.inner();
        self.check_el2(&mut inner, at.table);
        let old = self.ram.load(at.table.raw(), usize::from(at.index));
        self.ram.store(at.table.raw(), usize::from(at.index), value);
        self.entry_changed(&mut inner, cpu, at, old, value);
    }

    fn clear_table(&self, _cpu: CpuId, table: Pfn) {
        let mut inner = self.inner();
        self.check_el2(&mut inner, table);
        let place = inner.walkers.place(table.raw());
        let live = place.is_none_or(|place| inner.tlb.any_may_hold(place.vmid));
        if live && inner.walkers.may_walk(table.raw()) {
            inner.violation(format!(
                "table {:#x} was cleared under a walker",
                table.raw()
            ));
        }
        inner.walkers.forget(table.raw());
        self.ram.clear(table.raw());
    }

    fn barrier(&self, cpu: CpuId, barrier: Barrier) {
        let mut inner = self.inner();
        let core = cpu.index();
        if let Barrier::DsbIshst | Barrier::DsbIsh = barrier {
            for gone in inner.walkers.complete(core) {
                inner.tlb.retire(gone);
            }
        }
        match barrier {
            Barrier::DsbIsh => inner.tlb.complete(core, false),
            Barrier::DsbNsh => inner.tlb.complete(core, true),
            Barrier::DsbIshst | Barrier::Isb => {}
        }
    }

    fn tlbi(&self, cpu: CpuId, op: Tlbi) {
        let mut inner = self.inner();
        if op == Tlbi::Vmalls12e1is {
            // What vCPUs of the VM left cached goes with it.
            let vmid = (inner.cores[cpu.index()].vttbr >> 48) as u16;
            for core in &mut inner.cores {
                core.cached_for.remove(&vmid);
            }
        }
        inner.tlb.issue(cpu.index(), op);
    }

    fn invalidate_icache(&self, _cpu: CpuId) {}

    fn vttbr(&self, cpu: CpuId) -> u64 {
        self.inner().cores[cpu.index()].vttbr
    }

    fn borrow_regime(&self, cpu: CpuId, vttbr: u64) -> SavedRegime {
        let mut inner = self.inner();
        let vmid = self.learn(&mut inner, vttbr);
        let borrowed = inner.tlb.borrow(cpu.index(), vmid);
        let saved = std::mem::replace(&mut inner.cores[cpu.index()].vttbr, vttbr);
        SavedRegime {
            vttbr: saved,
            borrowed,
        }
    }

    fn return_regime(&self, cpu: CpuId, saved: SavedRegime) {
        let mut inner = self.inner();
        inner.cores[cpu.index()].vttbr = saved.vttbr;
        inner.tlb.end_borrow(cpu.index(), saved.borrowed);
    }

    fn zero_page(&self, _cpu: CpuId, page: Pfn) -> Zeroed {
        let mut inner = self.inner();
        if let Some(who) = self.reached_by_other(&inner, u16::MAX, page.raw()) {
            inner.violation(format!(
                "page {:#x} was scrubbed while reached by {who}",
                page.raw()
            ));
        }
        let was_nonzero = self.ram.clear(page.raw());
        Zeroed {
            was_nonzero,
            reads_zero: self.ram.is_zero(page.raw()),
        }
    }

    fn clean_page(&self, _cpu: CpuId, _page: Pfn) {}

    fn read_page(&self, _cpu: CpuId, page: Pfn, into: &mut [u64; 512]) {
        for (index, word) in into.iter_mut().enumerate() {
            *word = self.ram.load(page.raw(), index);
        }
    }

    fn map_engine_page(&self, _cpu: CpuId, page: Pfn) -> bool {
        let mut inner = self.inner();
        if let Some(who) = self.reached_by_other(&inner, u16::MAX, page.raw()) {
            inner.violation(format!("EL2 took page {:#x}, reached by {who}", page.raw()));
        }
        inner.el2.insert(page.raw());
        true
    }

    fn unmap_engine_page(&self, _cpu: CpuId, page: Pfn) {
        if !self.inner().el2.remove(&page.raw()) {
            let what = format!("EL2 gave up page {:#x}, which it had not", page.raw());
            self.inner().violation(what);
        }
    }

    fn send_sgi(&self, _cpu: CpuId, to: CpuId, _sgi: u8) {
        self.inner().cores[to.index()].doorbell = true;
    }

    fn host_interrupt_pending(&self, cpu: CpuId, _doorbell: Option<u8>) -> bool {
        let mut inner = self.inner();
        let core = &mut inner.cores[cpu.index()];
        core.doorbell = false;
        core.interrupt
    }

    fn run_guest(&self, cpu: CpuId, context: &mut Context, vttbr: u64, until: u64) -> GuestExit {
        self.run_script(cpu, context, vttbr, until)
    }

    fn leave_guests(&self, cpu: CpuId) {
        let mut inner = self.inner();
        let host = inner.walkers.root(HOST_VMID).unwrap_or(0) << 12;
        self.enter(&mut inner, cpu.index(), host);
    }

    fn forget_last_vcpu(&self, cpu: CpuId, vttbr: u64) {
        let mut inner = self.inner();
        inner.cores[cpu.index()]
            .cached_for
            .remove(&((vttbr >> 48) as u16));
    }

    fn host_vectors(&self, _cpu: CpuId) -> (u64, u64) {
        (super::machine::HOST_VECTORS, 0)
    }

    fn set_host_exception(&self, cpu: CpuId, elr: u64, _spsr: u64, esr: u64, far: u64) {
        self.inner().cores[cpu.index()].exception = Some(HostException { esr, elr, far });
    }

    fn smc(&self, _cpu: CpuId, x: &mut [u64; 18]) {
        x[0] = abi::smccc::NOT_SUPPORTED as u64;
    }

    fn release_core(&self, _cpu: CpuId, _target: CpuId) {}

    fn device_read(&self, _cpu: CpuId, _pa: u64, _size: u8) -> u64 {
        0
    }

    fn device_write(&self, _cpu: CpuId, _pa: u64, _size: u8, _value: u64) {}
}
