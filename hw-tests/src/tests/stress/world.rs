//! What the cores know together: where VMs and vCPUs are, how many pages went where, and what went wrong first.
//!
//! Invariants: a VM has one [`Place`] from its creation to its end, taken by the core that creates it and freed by
//! the one that is told of the end. Everything else said of VMs and vCPUs is a guess to choose by, which the engine
//! may refuse. Totals are exact whenever no core is in a call.

use super::{arena::Arena, record::Record};
use crate::{
    outcome::{OrFail, TestResult},
    random::Random,
};
use abi::{InfoIndex, VcpuHandle, VmHandle};
use alloc::{format, string::String, vec::Vec};
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use el1::{PAGE, call, cpu, pages};
use spin::mutex::SpinMutex;

/// vCPUs of a VM.
pub const VCPUS: usize = crate::guest::KEEPER_VCPUS as usize;
/// Places beyond what the engine has VMs: to be refused.
const MORE: usize = 16;
/// Cores for which there is one more place that many want.
const CORES_PER_HOT_PLACE: u64 = 8;
/// Pages of the engine's own that can have come home.
const STRAYS: usize = 8192;

/// What is believed of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Phase {
    /// No VM.
    Free = 0,
    /// A core is at it.
    Making = 1,
    /// Building or Sealing.
    Building = 2,
    /// Running.
    Running = 3,
    /// Dying.
    Dying = 4,
}

/// A place as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its number.
    pub place: usize,
    /// How often it was taken.
    turn: u64,
    /// Its VM.
    pub vm: VmHandle,
}

/// A VM's.
pub struct Place {
    /// How often it was taken, above the phase in three bits.
    state: AtomicU64,
    handle: AtomicU64,
    /// Its vCPUs by affinity, 0 where none is known.
    pub vcpus: [AtomicU64; VCPUS],
    /// Where a page was lent last.
    pub lent: AtomicU64,
    /// The page with its program, while there is no VM the host's.
    pub code: u64,
}

/// A vCPU slot of the engine's.
#[derive(Default)]
pub struct VcpuPlace {
    handle: AtomicU64,
    place: AtomicU64,
    /// It waits for an answer.
    pub asks: AtomicU64,
}

/// Pages on their ways, and what guests said.
#[derive(Default)]
pub struct Totals {
    /// Given to VMs.
    pub given: AtomicI64,
    /// Come home by VM_RECLAIM or given up by guests.
    pub home: AtomicI64,
    /// Donated to the engine, less those that it gave back.
    pub engine: AtomicI64,
    /// Poisoned.
    pub poisoned: AtomicI64,
    /// VMs alive.
    pub live: AtomicI64,
    /// VMs brought to their end.
    pub ended: AtomicU64,
}

/// Everything.
pub struct World {
    /// The pages.
    pub arena: Arena,
    /// VMs.
    pub places: Vec<Place>,
    vcpus: Vec<VcpuPlace>,
    /// Page words of the engine's.
    pub words: u64,
    /// Places from which many look for a VM.
    hot: u64,
    /// Sums.
    pub totals: Totals,
    /// What each core did.
    pub records: Vec<Record>,
    /// Pages of the engine's first pool that came home, 0 where there is none.
    pub strays: Vec<AtomicU64>,
    /// VMs that there should be.
    pub wanted: AtomicI64,
    failure: SpinMutex<Option<String>>,
}

impl World {
    /// A world without VMs.
    pub fn new(blocks: u64) -> TestResult<Self> {
        let info = |index| call::engine_info(index).or_fail("ENGINE_INFO");
        let mut places = Vec::new();
        for _ in 0..info(InfoIndex::MaxVms)? as usize + MORE {
            let code = pages::take(1, PAGE).or_fail("a page for code")?;
            crate::vm::fill(code, 1, 0);
            places.push(Place::new(code));
        }
        let slots = info(InfoIndex::MaxVcpus)?;
        let cores = cpu::all().len();
        Ok(Self {
            arena: Arena::new(blocks)?,
            places,
            vcpus: (0..slots).map(|_| VcpuPlace::default()).collect(),
            words: info(InfoIndex::PageWords)?,
            hot: 1 + cores as u64 / CORES_PER_HOT_PLACE,
            totals: Totals::default(),
            records: (0..cores).map(|_| Record::default()).collect(),
            strays: (0..STRAYS).map(|_| AtomicU64::new(0)).collect(),
            wanted: AtomicI64::new(0),
            failure: SpinMutex::new(None),
        })
    }

    /// Notes what is wrong; the first to do so is told.
    pub fn fail(&self, what: String) {
        self.failure.lock().get_or_insert(what);
    }

    /// Whether something is wrong.
    pub fn has_failed(&self) -> bool {
        self.failure.lock().is_some()
    }

    /// What.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// A VM in this phase, if one is found: half of the time one that many find first.
    pub fn find(&self, phase: Phase, random: &mut Random) -> Option<Mark> {
        let count = self.places.len();
        let start = match random.below(2) {
            0 => random.below(self.hot) as usize,
            _ => random.below(count as u64) as usize,
        };
        let numbers = (start..count).chain(0..start);
        numbers
            .filter_map(|number| self.mark(number))
            .find(|(_, now)| *now == phase)
            .map(|(mark, _)| mark)
    }

    /// The VM at a place, and its phase.
    pub fn mark(&self, number: usize) -> Option<(Mark, Phase)> {
        let place = self.places.get(number)?;
        // Acquire: pairs with the Release in `advance`; the handle of that turn is seen.
        let state = place.state.load(Ordering::Acquire);
        let phase = Phase::of(state);
        if matches!(phase, Phase::Free | Phase::Making) {
            return None;
        }
        let mark = Mark {
            place: number,
            turn: state >> 3,
            // Relaxed: published with the state.
            vm: VmHandle::from_raw(place.handle.load(Ordering::Relaxed)),
        };
        Some((mark, phase))
    }

    /// Takes a free place for a VM to be.
    pub fn take_place(&self) -> Option<usize> {
        self.places.iter().position(|place| {
            // Relaxed: the exchange decides.
            let state = place.state.load(Ordering::Relaxed);
            if Phase::of(state) != Phase::Free {
                return false;
            }
            let next = ((state >> 3) + 1) << 3 | Phase::Making as u64;
            // Acquire: pairs with the Release in `advance` and `free`; the code page is seen as its last user
            // left it. Relaxed on failure: another place.
            let taken =
                place
                    .state
                    .compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed);
            taken.is_ok()
        })
    }

    /// Lets everyone see the VM at a place that this core has taken; it begins as `Building`.
    pub fn publish(&self, number: usize, vm: VmHandle, vcpus: &[VcpuHandle]) -> Mark {
        let place = &self.places[number];
        for (index, cell) in place.vcpus.iter().enumerate() {
            let vcpu = vcpus.get(index).map_or(0, |vcpu| vcpu.raw());
            // Relaxed, here and below: published with the state.
            cell.store(vcpu, Ordering::Relaxed);
        }
        place.handle.store(vm.raw(), Ordering::Relaxed);
        let turn = place.state.load(Ordering::Relaxed) >> 3;
        let mark = Mark {
            place: number,
            turn,
            vm,
        };
        for vcpu in vcpus {
            self.learn_vcpu(*vcpu, mark);
        }
        // Release: pairs with the Acquire in `mark`.
        place
            .state
            .store(turn << 3 | Phase::Building as u64, Ordering::Release);
        mark
    }

    /// Gives up a place that this core has taken and that has no VM.
    pub fn free(&self, number: usize) {
        let state = &self.places[number].state;
        // Relaxed: only this core writes it now.
        let turn = state.load(Ordering::Relaxed) >> 3;
        // Release: pairs with the Acquire in `take_place`.
        state.store(turn << 3, Ordering::Release);
    }

    /// The VM got on; nothing happens if it has got further, or is gone.
    pub fn advance(&self, mark: Mark, to: Phase) {
        let state = &self.places[mark.place].state;
        // Release: pairs with the Acquire in `mark` and `take_place`. Relaxed on failure and to read: a guess.
        let _ = state.fetch_update(Ordering::Release, Ordering::Relaxed, |now| {
            let is_later = match Phase::of(now) {
                Phase::Free => false,
                phase => to == Phase::Free || phase as u64 <= to as u64,
            };
            (now >> 3 == mark.turn && is_later).then_some(mark.turn << 3 | to as u64)
        });
    }

    /// A vCPU was created.
    pub fn learn_vcpu(&self, vcpu: VcpuHandle, mark: Mark) {
        if let Some(known) = self.vcpus.get(usize::from(vcpu.slot())) {
            // Relaxed, all three: guesses.
            known.asks.store(0, Ordering::Relaxed);
            known.place.store(mark.place as u64, Ordering::Relaxed);
            known.handle.store(vcpu.raw(), Ordering::Relaxed);
        }
    }

    /// What is known of a vCPU.
    pub fn vcpu(&self, vcpu: VcpuHandle) -> Option<&VcpuPlace> {
        self.vcpus.get(usize::from(vcpu.slot()))
    }

    /// The VM that a vCPU was created in, if it is still that.
    pub fn vm_of(&self, vcpu: VcpuHandle) -> Option<Mark> {
        let known = self.vcpu(vcpu)?;
        // Relaxed: guesses.
        let place = known.place.load(Ordering::Relaxed) as usize;
        let is_it = known.handle.load(Ordering::Relaxed) == vcpu.raw();
        self.mark(place).filter(|_| is_it).map(|(mark, _)| mark)
    }

    /// A vCPU that waits for an answer; nobody else is told of it.
    pub fn take_asking(&self, random: &mut Random) -> Option<VcpuHandle> {
        let count = self.vcpus.len();
        let start = random.below(count as u64) as usize;
        (start..count).chain(0..start).find_map(|number| {
            let known = &self.vcpus[number];
            // Relaxed: a guess.
            let asks = known.asks.load(Ordering::Relaxed) != 0
                && known.asks.swap(0, Ordering::Relaxed) != 0;
            asks.then(|| VcpuHandle::from_raw(known.handle.load(Ordering::Relaxed)))
        })
    }

    /// A vCPU of this VM.
    pub fn any_vcpu(&self, mark: Mark, random: &mut Random) -> Option<VcpuHandle> {
        let vcpus = &self.places[mark.place].vcpus;
        // The first is on, the others are when it has turned them on.
        let start = random.below(2 * VCPUS as u64) as usize;
        let start = if start < VCPUS { start } else { 0 };
        (0..VCPUS).find_map(|step| {
            // Relaxed: a guess.
            let raw = vcpus[(start + step) % VCPUS].load(Ordering::Relaxed);
            (raw != 0).then(|| VcpuHandle::from_raw(raw))
        })
    }

    /// Keeps a page that came home from the engine and is none of the arena's.
    pub fn keep_stray(&self, pa: u64) {
        let is_free = |cell: &&AtomicU64| {
            // Release: pairs with the Acquire in `take_stray`. Relaxed on failure: the next.
            let taken = cell.compare_exchange(0, pa, Ordering::Release, Ordering::Relaxed);
            taken.is_ok()
        };
        if !self.strays.iter().any(|cell| is_free(&cell)) {
            self.fail(format!(
                "more than {STRAYS} pages came home from the engine"
            ));
        }
    }

    /// Takes one of these.
    pub fn take_stray(&self) -> Option<u64> {
        let mut cells = self.strays.iter();
        // Relaxed: the swap decides.
        let cell = cells.find(|cell| cell.load(Ordering::Relaxed) != 0)?;
        // Acquire: pairs with the Release in `keep_stray`.
        let pa = cell.swap(0, Ordering::Acquire);
        (pa != 0).then_some(pa)
    }
}

impl Place {
    fn new(code: u64) -> Self {
        Self {
            state: AtomicU64::new(0),
            handle: AtomicU64::new(0),
            vcpus: Default::default(),
            lent: AtomicU64::new(0),
            code,
        }
    }
}

impl Phase {
    /// The phase that a place's state says.
    fn of(state: u64) -> Self {
        match state & 7 {
            0 => Self::Free,
            1 => Self::Making,
            2 => Self::Building,
            3 => Self::Running,
            _ => Self::Dying,
        }
    }
}

/// Adds to a total. Relaxed: read when no core is in a call.
pub fn add(total: &AtomicI64, n: i64) {
    total.fetch_add(n, Ordering::Relaxed);
}

/// Reads a total. Relaxed: as above.
pub fn sum(total: &AtomicI64) -> i64 {
    total.load(Ordering::Relaxed)
}
