//! What must hold when every call has returned, found by walking words, tables and TLBs.
//!
//! I1 no page is left claimed and no entry marked, and a lent page's count is that of its leaves; I2 a
//! leaf names only what its VM may reach; I3 tables are the engine's, each in one place; I4 no page holds
//! a secret of somebody else than its owner's; I5 no core has an old way to a page that is another's by
//! now, and a secret that its owner writes there is found by nobody else; I6 no page is lost: a VM's page
//! has a leaf where VM_RECLAIM will find it, the engine's pages are the tables and the free ones, and a VM
//! that is gone has none; I8 no vCPU is left on a core.
//!
//! Checked while it happens: I4 and I5 with each store and new leaf (`hardware`), but for pages that a
//! story says host and VM may both reach; I7 with each refused
//! call that was alone (`witness`); I8 with each entry, and with each VM_RECLAIM that works
//! (`hardware/places`). I9, as far as pages are all that VMs have in common: whatever lands in a VM's
//! page is its own store, or panics (`hardware`). Timing, registers and interrupts are not looked at.

use crate::host::Host;
use crate::world::{RAM_BASE, World};
use engine::sim::access::{may_reach, party};
use engine::sim::tables::Below;
use engine::sim::tlb::Translation;
use engine::vm::life::Phase;
use engine::vm::{HOST_VMID, vmid};
use ownership::{Owner, Pfn, State, VmSlot};
use std::collections::BTreeSet;

/// Checks all of it.
///
/// # Panics
/// If something does not hold.
pub fn check(host: &mut Host) {
    let trees = trees(host);
    // Read once: each look is one more step of the model.
    let words: Vec<State> = (RAM_BASE..RAM_BASE + host.all_pages())
        .map(|page| {
            let word = host.engine().pages().state(Pfn::from_raw(page));
            word.expect("memory")
        })
        .collect();
    let of_host = host.size().pages as usize;
    host.machine().history().end(&words[..of_host]);
    // Where no memory is, are the host's devices.
    let state = |page: u64| match page.checked_sub(RAM_BASE) {
        Some(offset) => words[offset as usize],
        None => State::Owned(Owner::Host),
    };
    let mut tables = BTreeSet::new();
    for tree in &trees {
        assert!(
            tree.marks.is_empty(),
            "I1: entries are left marked: {:x?}",
            tree.marks
        );
        for (table, _) in &tree.tables {
            assert_eq!(
                state(*table),
                State::Owned(Owner::Engine),
                "I3: table {table:#x}"
            );
            assert!(
                tables.insert(*table),
                "I3: table {table:#x} stands in two places"
            );
        }
        for leaf in &tree.leaves {
            assert_allowed(leaf, &state, "I2");
        }
    }
    for old in host.machine().peek().remains() {
        assert_allowed(&old, &state, "I5");
    }
    let mut hardware = host.machine().peek();
    for page in RAM_BASE..RAM_BASE + host.all_pages() {
        let readers = match state(page) {
            State::Owned(owner) => [vmid_of(owner), None],
            State::Shared {
                owner, borrower, ..
            } => [vmid_of(owner), vmid_of(borrower)],
            _ => [None, None],
        };
        let readers: Vec<u16> = readers.into_iter().flatten().collect();
        hardware.assert_private(page, &readers);
    }
    hardware.assert_all_left();
    hardware.assert_all_unlinked();
    drop(hardware);
    let leaves = |page: u64, slot: VmSlot| {
        let all = trees.iter().flat_map(|tree| &tree.leaves);
        all.filter(|leaf| leaf.vmid == slot.vmid() && leaf.reaches(page))
            .count()
    };
    let mut of_engine = 0;
    for page in RAM_BASE..RAM_BASE + host.all_pages() {
        match state(page) {
            State::Owned(Owner::Host) => {}
            State::Owned(Owner::Engine) => of_engine += 1,
            State::Owned(Owner::Vm(slot))
            | State::Shared {
                owner: Owner::Vm(slot),
                ..
            } => assert_eq!(
                leaves(page, slot),
                1,
                "I6: page {page:#x} of {slot:?} is lost"
            ),
            State::Shared {
                owner: Owner::Host,
                borrower: Owner::Vm(slot),
                count,
            } => assert_eq!(
                leaves(page, slot),
                usize::from(count),
                "I1: page {page:#x} has other leaves than loans"
            ),
            other => panic!("I1: page {page:#x} is left {other:?}"),
        }
    }
    // Not by a call: an area of the host's may be joined on the occasion of one.
    let pool = host.engine().pool();
    assert_eq!(
        pool.free_up_to(u64::MAX) + pool.reserved() + tables.len() as u64,
        of_engine,
        "I6: engine pages are lost"
    );
}

/// The VMID of a party that makes accesses.
fn vmid_of(owner: Owner) -> Option<u16> {
    match owner {
        Owner::Host => Some(HOST_VMID),
        Owner::Vm(slot) => Some(slot.vmid()),
        Owner::Engine => None,
    }
}

/// Whoever has this translation may reach all of its pages.
fn assert_allowed(leaf: &Translation, state: &impl Fn(u64) -> State, invariant: &str) {
    for page in leaf.page..leaf.page + leaf.pages {
        let state = state(page);
        assert!(
            may_reach(party(leaf.vmid), state),
            "{invariant}: {leaf:x?} leads to {page:#x}, which is {state:?}"
        );
    }
}

/// The trees of the host and of all VMs that are there.
fn trees(world: &World) -> Vec<Below> {
    let hardware = world.machine().peek();
    let mut trees = vec![hardware.tree(HOST_VMID, hardware.host_root())];
    for (index, vm) in world.engine().vms().iter().enumerate() {
        let slot = VmSlot::new(index as u16).expect("a small number");
        match vm.life.now().1 {
            Phase::Free => {}
            Phase::Flushing | Phase::Reclaiming => panic!("{slot:?} was not brought home"),
            _ => trees.push(hardware.tree(vmid(slot), vm.plan().root.raw())),
        }
    }
    trees
}
