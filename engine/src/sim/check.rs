//! The invariants of memory, checked by walking everything after each call.
//!
//! I1 each page has one owner, or one claim, and no call leaves a claim or a mark; I2 a leaf names only pages
//! that its VM may reach; I3 no leaf names a table or the engine's memory; I4 no page holds a secret
//! of somebody who is not its owner; I5 no TLB leads to a page that is not its VM's; I6 no page is
//! lost; no word outlives the VM it names; I8 a vCPU that no call holds is on no core. I7 is [`Snapshot`](super::snapshot)'s.

use super::access::{may_reach, party};
use super::boot::IMAGE_PAGES;
use super::content::PROBED;
use super::hardware::Sim;
use super::machine::Machine;
use super::tables::Below;
use super::tlb::Translation;
use crate::vm::HOST_VMID;
use crate::vm::life::Phase;
use abi::{Call, Status};
use ownership::{GranuleSize, Owner, Pfn, State, VmSlot};
use percpu::Residence;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;

/// May the call change something though it refuses so? VCPU_DEQUEUE's kick is none of what is compared.
pub fn may_change_when_refused(call: Call, status: Status) -> bool {
    call.changes_on().contains(&status)
}

/// Fails with `context` if an invariant is broken.
///
/// # Panics
/// That is what it is for.
#[track_caller]
pub fn assert_all(machine: &Machine, context: &dyn Fn() -> String) {
    let broken = all(machine);
    assert!(
        broken.is_empty(),
        "after {}:\n  {}",
        context(),
        broken.join("\n  ")
    );
}

/// One set of tables.
struct Tables {
    vmid: u16,
    below: Below,
    /// Walkers may be in them.
    live: bool,
}

/// What all page words say.
struct Words {
    base: u64,
    states: Vec<State>,
}

impl Words {
    fn all(&self) -> impl Iterator<Item = (u64, State)> {
        (self.base..).zip(self.states.iter().copied())
    }

    fn state(&self, page: u64) -> Option<State> {
        self.states
            .get(usize::try_from(page.checked_sub(self.base)?).ok()?)
            .copied()
    }

    /// The first page of a translation that its VM may not reach. Where there is no memory the host may, and nobody else.
    fn first_forbidden(&self, translation: &Translation) -> Option<u64> {
        let who = party(translation.vmid);
        let (first, end) = (translation.page, translation.page + translation.pages);
        let (base, top) = (self.base, self.base + self.states.len() as u64);
        let outside = || if first < base { first } else { first.max(top) };
        let is_outside = first < base || end > top;
        let mut inside = first.max(base)..end.min(top);
        let forbidden = |page: &u64| {
            self.state(*page)
                .is_some_and(|state| !may_reach(who, state))
        };
        inside
            .find(forbidden)
            .or_else(|| (is_outside && who != Owner::Host).then(outside))
    }
}

/// What is broken.
pub fn all(machine: &Machine) -> Vec<String> {
    let sim = machine.sim();
    let mut broken = sim.violations();
    let words = Words {
        base: sim.ram.base(),
        states: sim.states(),
    };
    let tables = tables_of_all(machine);
    check_words(machine, &words, &mut broken);
    check_marks(machine, &tables, &mut broken);
    check_leaves(&words, &tables, &mut broken);
    check_lent(&words, &tables, &mut broken);
    check_reclaimed(machine, &words, &mut broken);
    check_tlbs(sim, &words, &tables, &mut broken);
    check_pool(machine, &words, &tables, &mut broken);
    check_contents(sim, &words, &mut broken);
    if machine.is_quiet() {
        let leaves = sim.inner().walkers.unpublished(&sim.ram);
        let late = |leaf| format!("I2: a call left {leaf:?}, which walkers need not see");
        broken.extend(leaves.iter().take(1).map(late));
        check_vcpus_and_pins(machine, &mut broken);
    }
    broken
}

fn tables_of_all(machine: &Machine) -> Vec<Tables> {
    let (engine, sim) = (machine.engine(), machine.sim());
    let host = engine.host_stage2();
    let walk = |vmid, root: Pfn, live| {
        let below = Below::root(&sim.ram, host.geometry(), vmid, root.raw());
        let live = live || sim.inner().tlb.any_may_hold(vmid);
        Tables { vmid, below, live }
    };
    let mut all = std::vec![walk(HOST_VMID, host.root(), true)];
    for (index, vm) in engine.vms().iter().enumerate() {
        let Some(slot) = u16::try_from(index).ok().and_then(VmSlot::new) else {
            continue;
        };
        match vm.life.now().1 {
            Phase::Free => {}
            Phase::Reclaiming => all.push(walk(slot.vmid(), vm.plan().root, false)),
            _ => all.push(walk(slot.vmid(), vm.plan().root, true)),
        }
    }
    all
}

fn check_words(machine: &Machine, words: &Words, broken: &mut Vec<String>) {
    let quiet = machine.is_quiet();
    for (page, state) in words.all() {
        match state {
            State::Claimed { .. } if quiet => {
                broken.push(format!("I1: page {page:#x} is left {state:?}"));
            }
            State::Shared {
                owner: Owner::Engine,
                ..
            }
            | State::Split => {
                broken.push(format!("I1: page {page:#x} is {state:?}"));
            }
            _ => {}
        }
    }
}

fn check_marks(machine: &Machine, all: &[Tables], broken: &mut Vec<String>) {
    let marks = all.iter().flat_map(|tables| &tables.below.marks);
    for (table, index) in marks.filter(|_| machine.is_quiet()) {
        broken.push(format!(
            "I1: entry {index} of table {table:#x} is left marked"
        ));
    }
}

fn check_leaves(words: &Words, all: &[Tables], broken: &mut Vec<String>) {
    for tables in all.iter().filter(|tables| tables.live) {
        for leaf in &tables.below.leaves {
            if let Some(page) = words.first_forbidden(leaf) {
                let state = words.state(page);
                broken.push(format!(
                    "I2/I3: {leaf:?} leads to {page:#x}, which is {state:?}"
                ));
            }
        }
    }
}

/// A lent page is mapped in its borrower as often as its word says.
fn check_lent(words: &Words, all: &[Tables], broken: &mut Vec<String>) {
    let mut mapped: BTreeMap<(u64, u16), u16> = BTreeMap::new();
    for tables in all.iter().filter(|tables| tables.vmid != HOST_VMID) {
        // Loans are pages.
        for leaf in tables.below.leaves.iter().filter(|leaf| leaf.pages == 1) {
            *mapped.entry((leaf.page, tables.vmid)).or_default() += 1;
        }
    }
    for (page, state) in words.all() {
        let State::Shared {
            owner: Owner::Host,
            borrower: Owner::Vm(slot),
            count,
        } = state
        else {
            continue;
        };
        let found = mapped.get(&(page, slot.vmid())).copied().unwrap_or(0);
        if found != count {
            broken.push(format!(
                "I1: page {page:#x} is lent {count} times, mapped {found} times"
            ));
        }
    }
}

/// No word names a VM that is gone, and what a granule says is zeroed is zero.
fn check_reclaimed(machine: &Machine, words: &Words, broken: &mut Vec<String>) {
    if !machine.is_quiet() {
        return;
    }
    let is_gone = |slot: VmSlot| {
        let vm = machine.engine().vms().get(usize::from(slot.raw()));
        vm.is_none_or(|vm| vm.life.now().1 == Phase::Free)
    };
    for (page, state) in words.all() {
        let named = match state {
            State::Owned(owner) => [Some(owner), None],
            State::Shared {
                owner, borrower, ..
            } => [Some(owner), Some(borrower)],
            State::Scrubbing { vm, .. } => [Some(Owner::Vm(vm)), None],
            _ => continue,
        };
        if named
            .into_iter()
            .any(|who| matches!(who, Some(Owner::Vm(slot)) if is_gone(slot)))
        {
            broken.push(format!(
                "I6: page {page:#x} is {state:?}, and that VM is gone"
            ));
        }
        if let State::Scrubbing { done, .. } = state
            && page % GranuleSize::Block2M.pages() < u64::from(done)
            && !machine.sim().ram.is_zero(page)
        {
            broken.push(format!("I4: page {page:#x}, {state:?}, is not zero"));
        }
    }
}

fn check_tlbs(sim: &Sim, words: &Words, all: &[Tables], broken: &mut Vec<String>) {
    let inner = sim.inner();
    for (core, entry) in inner.tlb.all_leftovers() {
        if let Some(page) = words.first_forbidden(&entry.translation) {
            let state = words.state(page);
            broken.push(format!(
                "I5: core {core} reaches page {page:#x}, which is {state:?}, by {entry:?}"
            ));
        }
    }
    for entry in inner.tlb.in_flight() {
        if let Some(page) = words.first_forbidden(&entry.translation) {
            broken.push(format!(
                "I5: a store may land in page {page:#x} late, by {entry:?}"
            ));
        }
    }
    for entry in inner.walkers.unseen() {
        if let Some(page) = words.first_forbidden(entry) {
            broken.push(format!(
                "I5: walkers still find page {page:#x} by {entry:?}"
            ));
        }
    }
    for tables in all {
        let (vmid, places) = (tables.vmid, &tables.below.tables);
        let lost = places.iter().find(|(table, _)| {
            inner.walkers.root(vmid) == places.first().map(|(root, _)| *root)
                && inner.tlb.any_may_hold(vmid)
                && inner.walkers.place(*table).is_none()
        });
        if let Some((table, place)) = lost {
            broken.push(format!(
                "model: table {table:#x} at {place:?} is unknown to walkers"
            ));
        }
    }
}

/// I6: the engine's pages are its image, its pool and the tables, each once.
fn check_pool(machine: &Machine, words: &Words, all: &[Tables], broken: &mut Vec<String>) {
    let (engine, sim, quiet) = (machine.engine(), machine.sim(), machine.is_quiet());
    let mut tables = BTreeSet::new();
    let el2 = sim.inner().el2_tables.clone();
    let el2 = el2
        .iter()
        .filter_map(|(place, table)| Some((table.as_ref()?, format!("EL2's {place:?}"))));
    let stage2 = all.iter().flat_map(|tables| &tables.below.tables);
    let stage2 = stage2.map(|(table, place)| (table, format!("{place:?}")));
    for (table, place) in stage2.chain(el2) {
        if !tables.insert(*table) {
            broken.push(format!(
                "I3: table {table:#x} stands twice, once at {place}"
            ));
        }
        if words.state(*table) != Some(State::Owned(Owner::Engine)) {
            let state = words.state(*table);
            broken.push(format!("I3: table {table:#x} at {place} is {state:?}"));
        }
        let page = Pfn::from_raw(*table);
        if engine.parts.pool.take_exact(page) {
            engine.parts.pool.put(page);
            broken.push(format!(
                "I3: table {table:#x} at {place} is free in the pool"
            ));
        }
    }
    let pool = &engine.parts.pool;
    let free = pool.free_up_to(u64::MAX) + pool.reserved();
    let owned: BTreeSet<u64> = words
        .all()
        .filter(|(_, state)| *state == State::Owned(Owner::Engine))
        .map(|(page, _)| page)
        .collect();
    let inner = sim.inner();
    if quiet && owned != inner.el2 {
        let differ = owned.symmetric_difference(&inner.el2).collect::<Vec<_>>();
        broken.push(format!(
            "I3: EL2 reaches other pages than the engine's: {differ:x?}"
        ));
    }
    let known = IMAGE_PAGES + free + tables.len() as u64;
    if quiet && known != owned.len() as u64 {
        broken.push(format!(
            "I6: the engine has {} pages, of which {free} are free and {} tables",
            owned.len(),
            tables.len()
        ));
    }
}

fn check_contents(sim: &Sim, words: &Words, broken: &mut Vec<String>) {
    let inner = sim.inner();
    for (page, state) in words.all().filter(|(page, _)| sim.ram.is_touched(*page)) {
        let reader = match state {
            State::Owned(Owner::Engine) => continue,
            State::Owned(owner) => owner,
            State::HostFixed => Owner::Host,
            State::Shared { borrower, .. } => borrower,
            _ => continue,
        };
        for word in PROBED {
            let value = sim.ram.load(page, word);
            if Sim::is_leak(&inner, reader, state, value) {
                broken.push(format!("I4: page {page:#x}, {state:?}, holds {value:#x}"));
            }
        }
    }
}

fn check_vcpus_and_pins(machine: &Machine, broken: &mut Vec<String>) {
    let engine = machine.engine();
    for (slot, vcpu) in engine.vcpus().iter().enumerate() {
        let (_, residence) = vcpu.residency().now();
        if let Residence::Running(_) | Residence::Held(_) | Residence::Starting(_) = residence {
            broken.push(format!("I8: vCPU slot {slot} is left {residence:?}"));
        }
    }
    for slot in 0..engine.vms().len() as u64 {
        let (held, cpu) = engine.parts.pins.holders(slot + 1);
        if held != 0 {
            broken.push(format!("the pin of VM slot {slot} is left on {cpu:?}"));
        }
    }
}
