//! What must hold when every call has returned, found by walking words, tables and TLBs.
//!
//! I1 no page is left claimed and no entry marked; I2 a leaf names only what its VM owns; I3 tables
//! are the engine's, each in one place; I5 no core has an old way to a page that is another's by now;
//! I6 no page is lost: a VM's page has a leaf where VM_RECLAIM will find it, the engine's pages are
//! the tables and the free ones, and a VM that is gone has none.

use crate::world::{RAM_BASE, World};
use abi::{Call, InfoIndex};
use engine::sim::tables::Below;
use engine::vm::life::Phase;
use engine::vm::{HOST_VMID, vmid};
use ownership::{Owner, Pfn, State, VmSlot};
use percpu::CpuToken;
use std::collections::BTreeSet;

/// Checks all of it.
///
/// # Panics
/// If something does not hold.
pub fn check(world: &World, core: &mut CpuToken) {
    let trees = trees(world);
    let state = |page: u64| {
        world
            .engine()
            .pages()
            .state(Pfn::from_raw(page))
            .expect("memory")
    };
    let owns = |vmid: u16, page: u64| match state(page) {
        State::Owned(Owner::Host) => vmid == HOST_VMID,
        State::Owned(Owner::Vm(slot)) => vmid == slot.vmid(),
        _ => false,
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
            assert!(
                owns(leaf.vmid, leaf.page),
                "I2: {leaf:x?} of a {:?}",
                state(leaf.page)
            );
        }
    }
    for old in world.machine().peek().remains() {
        assert!(
            owns(old.vmid, old.page),
            "I5: {old:x?} still leads to a {:?}",
            state(old.page)
        );
    }
    for page in RAM_BASE..RAM_BASE + world.size().pages {
        match state(page) {
            State::Owned(Owner::Host) => {}
            State::Owned(Owner::Vm(slot)) => {
                let leaves = trees.iter().flat_map(|tree| &tree.leaves);
                let found = leaves.filter(|leaf| leaf.page == page && leaf.vmid == slot.vmid());
                assert_eq!(found.count(), 1, "I6: page {page:#x} of {slot:?} is lost");
            }
            other => panic!("I1: page {page:#x} is left {other:?}"),
        }
    }
    let index = InfoIndex::FreePages as u64;
    let info = world
        .call(core, Call::EngineInfo, [index, 0, 0, 0, 0, 0])
        .expect("free pages");
    let free = info[0];
    assert_eq!(
        free + tables.len() as u64,
        world.engine_pages(),
        "I6: engine pages are lost"
    );
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
