//! The invariants of memory, checked by walking everything after each call.
//!
//! I1 each page has one owner, or one claim, and no call leaves a claim; I2 a leaf names only pages
//! that its VM may reach; I3 no leaf names a table or the engine's memory; I4 no page holds a secret
//! of somebody who is not its owner; I5 no TLB leads to a page that is not its VM's; I6 no page is
//! lost; I8 a vCPU that no call holds is on no core. I7 is [`Snapshot`](super::snapshot)'s.

use super::access::{may_reach, party};
use super::content::PROBED;
use super::machine::{IMAGE_PAGES, Machine};
use super::platform::Sim;
use super::tlb::Translation;
use super::walker::{Below, all_below};
use crate::vm::HOST_VMID;
use crate::vm::life::Phase;
use abi::{Call, Status};
use ownership::{Owner, Pfn, State, VmSlot};
use percpu::Residence;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;

/// Calls that change something though they refuse: VM_START seals before it knows whether a builder
/// is left; VCPU_DEQUEUE kicks.
pub fn may_change_when_refused(call: Call, status: Status) -> bool {
    call == Call::VmStart && status == Status::Busy
}

/// Fails with `context` if an invariant is broken.
///
/// # Panics
/// That is what it is for.
#[track_caller]
pub fn assert_all(machine: &Machine, context: &dyn Fn() -> String) {
    let broken = all(machine);
    assert!(broken.is_empty(), "after {}:\n  {}", context(), broken.join("\n  "));
}

/// One set of tables.
struct Tables {
    vmid: u16,
    below: Below,
    /// Walkers may be in them.
    live: bool,
}

/// What is broken.
pub fn all(machine: &Machine) -> Vec<String> {
    let mut broken = machine.sim().violations();
    let tables = tables_of_all(machine);
    check_words(machine, &mut broken);
    check_leaves(machine, &tables, &mut broken);
    check_lent(machine, &tables, &mut broken);
    check_tlbs(machine.sim(), &tables, &mut broken);
    check_pool(machine, &tables, &mut broken);
    check_contents(machine.sim(), &mut broken);
    if machine.is_quiet() {
        check_vcpus_and_pins(machine, &mut broken);
    }
    broken
}

fn tables_of_all(machine: &Machine) -> Vec<Tables> {
    let (engine, sim) = (machine.engine(), machine.sim());
    let host = engine.host_stage2();
    let walk = |vmid, root: Pfn, live| {
        let below = all_below(&sim.ram, host.geometry(), vmid, root.raw());
        let live = live || sim.inner().tlb.any_may_hold(vmid);
        Tables { vmid, below, live }
    };
    let mut all = std::vec![walk(HOST_VMID, host.root(), true)];
    for (index, vm) in engine.vms().iter().enumerate() {
        let Some(slot) = u16::try_from(index).ok().and_then(VmSlot::new) else { continue };
        match vm.life.now().1 {
            Phase::Free => {}
            Phase::Reclaiming => all.push(walk(slot.vmid(), vm.plan().root, false)),
            _ => all.push(walk(slot.vmid(), vm.plan().root, true)),
        }
    }
    all
}

fn check_words(machine: &Machine, broken: &mut Vec<String>) {
    let sim = machine.sim();
    for page in sim.ram.base()..sim.ram.base() + sim.ram.len() as u64 {
        match sim.state(page) {
            Some(state @ State::Claimed { .. }) if machine.is_quiet() => {
                broken.push(format!("I1: page {page:#x} is left {state:?}"));
            }
            Some(State::Shared { owner: Owner::Engine, .. } | State::Split | State::Merged) => {
                broken.push(format!("I1: page {page:#x} is {:?}", sim.state(page)));
            }
            _ => {}
        }
    }
}

fn check_leaves(machine: &Machine, all: &[Tables], broken: &mut Vec<String>) {
    let sim = machine.sim();
    for tables in all.iter().filter(|tables| tables.live) {
        for leaf in &tables.below.leaves {
            if let Some(page) = first_forbidden(sim, leaf) {
                let state = sim.state(page);
                broken.push(format!("I2/I3: {leaf:?} leads to {page:#x}, which is {state:?}"));
            }
        }
    }
}

/// The first page of a translation that its VM may not reach.
fn first_forbidden(sim: &Sim, translation: &Translation) -> Option<u64> {
    let pages = translation.page..translation.page + translation.pages;
    pages.into_iter().find(|page| !sim.is_allowed(translation.vmid, *page))
}

/// A lent page is mapped in its borrower as often as its word says.
fn check_lent(machine: &Machine, all: &[Tables], broken: &mut Vec<String>) {
    let sim = machine.sim();
    let mut mapped: BTreeMap<(u64, u16), u16> = BTreeMap::new();
    for tables in all.iter().filter(|tables| tables.vmid != HOST_VMID) {
        for leaf in &tables.below.leaves {
            for page in leaf.page..leaf.page + leaf.pages {
                *mapped.entry((page, tables.vmid)).or_default() += 1;
            }
        }
    }
    for page in sim.ram.base()..sim.ram.base() + sim.ram.len() as u64 {
        let Some(State::Shared { owner: Owner::Host, borrower: Owner::Vm(slot), count }) =
            sim.state(page)
        else {
            continue;
        };
        let found = mapped.get(&(page, slot.vmid())).copied().unwrap_or(0);
        if found != count {
            broken.push(format!("I1: page {page:#x} is lent {count} times, mapped {found} times"));
        }
    }
}

fn check_tlbs(sim: &Sim, all: &[Tables], broken: &mut Vec<String>) {
    let inner = sim.inner();
    for (core, entry) in inner.tlb.all_leftovers() {
        if let Some(page) = first_forbidden(sim, &entry.translation) {
            let state = sim.state(page);
            broken.push(format!(
                "I5: core {core} reaches page {page:#x}, which is {state:?}, by {entry:?}"
            ));
        }
    }
    for entry in inner.tlb.in_flight() {
        if let Some(page) = first_forbidden(sim, &entry.translation) {
            broken.push(format!("I5: a store may land in page {page:#x} late, by {entry:?}"));
        }
    }
    for entry in inner.walkers.unseen() {
        if let Some(page) = first_forbidden(sim, entry) {
            broken.push(format!("I5: walkers still find page {page:#x} by {entry:?}"));
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
            broken.push(format!("model: table {table:#x} at {place:?} is unknown to walkers"));
        }
    }
}

/// I6: the engine's pages are its image, its pool and the tables, each once.
fn check_pool(machine: &Machine, all: &[Tables], broken: &mut Vec<String>) {
    let (engine, sim) = (machine.engine(), machine.sim());
    let mut tables = BTreeSet::new();
    for (table, place) in all.iter().flat_map(|tables| &tables.below.tables) {
        if !tables.insert(*table) {
            broken.push(format!("I3: table {table:#x} stands twice, once at {place:?}"));
        }
        if sim.state(*table) != Some(State::Owned(Owner::Engine)) {
            let state = sim.state(*table);
            broken.push(format!("I3: table {table:#x} at {place:?} is {state:?}"));
        }
        let page = Pfn::from_raw(*table);
        if engine.parts.pool.take_exact(page) {
            engine.parts.pool.put(page);
            broken.push(format!("I3: table {table:#x} at {place:?} is free in the pool"));
        }
    }
    let free = engine.parts.pool.free_up_to(u64::MAX);
    let mut owned = 0;
    let inner = sim.inner();
    for page in sim.ram.base()..sim.ram.base() + sim.ram.len() as u64 {
        let is_engine_s = sim.state(page) == Some(State::Owned(Owner::Engine));
        owned += u64::from(is_engine_s);
        if is_engine_s != inner.el2.contains(&page) && machine.is_quiet() {
            let state = sim.state(page);
            broken.push(format!("I3: page {page:#x} is {state:?}; EL2 has it: {}", !is_engine_s));
        }
    }
    let known = IMAGE_PAGES + free + tables.len() as u64;
    if known != owned && machine.is_quiet() {
        broken.push(format!(
            "I6: the engine has {owned} pages, of which {free} are free and {} tables",
            tables.len()
        ));
    }
}

fn check_contents(sim: &Sim, broken: &mut Vec<String>) {
    let inner = sim.inner();
    for page in sim.ram.base()..sim.ram.base() + sim.ram.len() as u64 {
        let Some(state) = sim.state(page) else { continue };
        let reader = match state {
            State::Owned(Owner::Engine) | State::Reserved | State::Poisoned => continue,
            State::Claimed { .. } => continue,
            State::Owned(owner) => owner,
            State::HostFixed => Owner::Host,
            State::Shared { borrower, .. } => borrower,
            State::Split | State::Merged => continue,
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
        if let Residence::Running(_) | Residence::Starting(_) = residence {
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

/// May the party of a VMID reach a page in this state? For tests that look for themselves.
pub fn allowed(vmid: u16, state: State) -> bool {
    may_reach(party(vmid), state)
}
