//! All that a VM or the host can observe, timing aside: to compare before and after a refused call.
//!
//! Invariant: tables that grew and blocks that were split make no difference; pages that are mapped,
//! contents, states of pages, VMs and vCPUs do.

use super::content::PROBED;
use super::machine::Machine;
use super::tables::Below;
use super::tlb::Translation;
use crate::vm::HOST_VMID;
use crate::vm::life::Phase;
use ownership::{Owner, Pfn, State, VmSlot};
use percpu::Residence;
use std::string::String;
use std::vec::Vec;

/// A moment's state.
#[derive(PartialEq, Eq)]
pub struct Snapshot {
    states: Vec<State>,
    reach: Vec<Vec<Translation>>,
    vms: Vec<(u64, Phase)>,
    vcpus: Vec<(u64, Residence)>,
    contents: Vec<(u64, u64)>,
}

/// Leaves joined to the longest runs, so that a split block looks as it did.
fn joined(mut leaves: Vec<Translation>) -> Vec<Translation> {
    leaves.sort_by_key(|leaf| leaf.ipa_page);
    let mut runs: Vec<Translation> = Vec::new();
    for leaf in leaves {
        if let Some(last) = runs.last_mut()
            && last.ipa_page + last.pages == leaf.ipa_page
            && last.page + last.pages == leaf.page
            && (last.write, last.execute) == (leaf.write, leaf.execute)
        {
            last.pages += leaf.pages;
            continue;
        }
        runs.push(leaf);
    }
    runs
}

impl Snapshot {
    /// The state now.
    pub fn take(machine: &Machine) -> Self {
        let engine = machine.engine();
        let sim = machine.sim();
        let states = sim.states();
        // What the engine has is for nobody to see.
        let contents = sim
            .ram
            .all()
            .zip(&states)
            .filter(|(_, state)| **state != State::Owned(Owner::Engine))
            .filter(|(page, _)| sim.ram.is_touched(*page))
            .flat_map(|(page, _)| PROBED.map(|word| (page, sim.ram.load(page, word))))
            .filter(|(_, value)| *value != 0)
            .collect();
        let host = engine.host_stage2();
        let mut roots = std::vec![(HOST_VMID, host.root())];
        for (index, vm) in engine.vms().iter().enumerate() {
            let slot = u16::try_from(index).ok().and_then(VmSlot::new);
            let (_, phase) = vm.life.now();
            if let (Some(slot), false) = (slot, phase == Phase::Free) {
                roots.push((slot.vmid(), vm.plan().root));
            }
        }
        let below = |(vmid, root): (u16, Pfn)| {
            joined(Below::root(&sim.ram, host.geometry(), vmid, root.raw()).leaves)
        };
        Self {
            states,
            reach: roots.into_iter().map(below).collect(),
            // A free slot's generation too: the next handle of the slot shows it.
            vms: engine.vms().iter().map(|vm| vm.life.now()).collect(),
            vcpus: engine
                .vcpus()
                .iter()
                .map(|vcpu| vcpu.residency().now())
                .collect(),
            contents,
        }
    }

    /// Fails unless everything is still as it was.
    #[track_caller]
    pub fn assert_unchanged(&self, machine: &Machine, context: &dyn Fn() -> String) {
        let now = Self::take(machine);
        let same = |what: &str, same: bool| {
            assert!(same, "I7: a refused call changed {what}: {}", context());
        };
        same("page states", self.states == now.states);
        same("what is mapped", self.reach == now.reach);
        same("VMs", self.vms == now.vms);
        same("vCPUs", self.vcpus == now.vcpus);
        same("contents", self.contents == now.contents);
    }
}
