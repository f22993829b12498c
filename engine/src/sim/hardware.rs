//! The simulated hardware: what it is made of, and what happens to it from outside.
//!
//! Invariants: everything that changes is behind one lock; time moves only when somebody looks or
//! moves it; what must not be is written down when it happens, for the next check.

use super::guest::Script;
use super::ram::Ram;
use super::tlb::Tlb;
use super::told::Told;
use super::walker::Walkers;
use crate::platform::Features;
use crate::stage2::Geometry;
use crate::vm::HOST_VMID;
use ownership::{PageTable, Pfn};
use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard};
use std::vec::Vec;
use sync::{AtomicU64, Ordering};

/// The simulated hardware.
pub struct Sim {
    /// Memory.
    pub ram: Ram,
    /// The engine's page words: for checks at the moment things happen.
    pub(super) pages: PageTable<Arc<[AtomicU64]>>,
    pub(super) features: Features,
    geometry: Geometry,
    pub(super) counter: AtomicU64,
    inner: Mutex<Inner>,
    /// What guests did, if anybody listens.
    pub(super) told: Mutex<Option<Vec<Told>>>,
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
    /// How often it looked whether an interrupt waits for the host.
    pub(super) looks: u64,
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
    /// Pages with a memory error.
    pub(super) broken: BTreeSet<u64>,
    /// Pages that do not become zero when zeroed, though nothing tells so.
    pub(super) stuck: BTreeSet<u64>,
    /// How often each page was zeroed for its next owner, or that was tried.
    pub(super) zeroed: BTreeMap<u64, u64>,
    /// EL2's own tables by level and area; the engine's page, or none for one that boot made.
    pub(super) el2_tables: BTreeMap<(u8, u64), Option<u64>>,
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

/// Which tables of EL2 a page needs, by level and area; those above are boot's.
pub(super) fn el2_places(page: u64) -> [(u8, u64); 2] {
    [(2, page >> 18), (3, page >> 9)]
}

impl Sim {
    /// A machine whose cores run the host, once [`Sim::start_host`] has said where its tables are.
    pub fn new(
        ram: Ram,
        pages: PageTable<Arc<[AtomicU64]>>,
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
            broken: BTreeSet::new(),
            stuck: BTreeSet::new(),
            zeroed: BTreeMap::new(),
            el2_tables: BTreeMap::new(),
            lives: BTreeMap::new(),
            running: BTreeMap::new(),
            scripts: BTreeMap::new(),
            next_life: 0,
            random: seed,
            violations: Vec::new(),
        };
        Self {
            ram,
            pages,
            features,
            geometry,
            counter: AtomicU64::new(1),
            inner: Mutex::new(inner),
            told: Mutex::new(None),
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
        let mut inner = self.inner();
        for page in first.raw()..first.raw() + pages {
            inner.el2.insert(page);
            for place in el2_places(page) {
                inner.el2_tables.insert(place, None);
            }
        }
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

    /// EL2's own tables that are no part of the image.
    pub fn el2_tables(&self) -> Vec<u64> {
        self.inner()
            .el2_tables
            .values()
            .flatten()
            .copied()
            .collect()
    }

    /// What was in RAM when the machine started.
    pub fn leave_word(&self, page: Pfn, word: usize, value: u64) {
        self.ram.store(page.raw(), word, value);
    }

    /// Gives a page a memory error: whoever reaches it finds that.
    pub fn break_page(&self, page: Pfn) {
        self.inner().broken.insert(page.raw());
    }

    /// Pages that have one.
    pub fn broken_pages(&self) -> Vec<u64> {
        self.inner().broken.iter().copied().collect()
    }

    /// Has a page hold something else than zero whenever it was zeroed.
    pub fn stick_page(&self, page: Pfn) {
        self.inner().stuck.insert(page.raw());
    }

    /// How often each page was zeroed since this was asked last.
    pub fn take_zeroed(&self) -> BTreeMap<u64, u64> {
        std::mem::take(&mut self.inner().zeroed)
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

    /// VTTBR becomes `vttbr`, with walks.
    pub(super) fn enter(&self, inner: &mut Inner, cpu: usize, vttbr: u64) {
        let vmid = self.learn(inner, vttbr);
        inner.cores[cpu].vttbr = vttbr;
        inner.tlb.enter(cpu, vmid);
    }

    /// A VTTBR value is used: its VMID.
    pub(super) fn learn(&self, inner: &mut Inner, vttbr: u64) -> u16 {
        let (vmid, root) = ((vttbr >> 48) as u16, (vttbr & 0xffff_ffff_ffff) >> 12);
        if inner.walkers.learn(&self.ram, vmid, root) && vmid != HOST_VMID {
            inner.next_life += 1;
            let life = inner.next_life;
            inner.lives.insert(vmid, life);
        }
        vmid
    }
}
