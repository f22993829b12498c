//! All that the engine keeps of pages, VMs, vCPUs and cores, and the tables as a walk finds them: what
//! the specification's state is compared with.
//!
//! Invariants: taking one changes nothing; what stands in it is read where hardware or a call would find
//! it, never from what the engine remembers of its own doing.

use super::machine::Machine;
use super::tables::Below;
use super::tlb::Translation;
use crate::gic::Spi;
use crate::host::core::HostCore;
use crate::trap::psci::PowerState;
use crate::vcpu::slot::{Pending, VcpuSlot};
use crate::vm::Plan;
use crate::vm::life::Phase;
use ownership::{Owner, Pfn, State, VmSlot};
use percpu::{CpuId, Residence};
use std::collections::BTreeMap;
use std::vec::Vec;

/// A moment's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portrait {
    /// Whose each page is, from the first on.
    pub pages: Vec<State>,
    /// The host's leaves, in order.
    pub host: Vec<Translation>,
    /// Translation tables: those of VMs by slot, all others are host's or EL2's own.
    pub tables: BTreeMap<u64, Option<u16>>,
    /// VM slots.
    pub vms: Vec<VmSeen>,
    /// vCPU slots.
    pub vcpus: Vec<VcpuSeen>,
    /// The host's cores.
    pub cores: Vec<PowerState>,
    /// The SGI for kicks.
    pub doorbell: Option<u8>,
}

/// A VM slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VmSeen {
    /// Of its present or last VM.
    pub generation: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// What was fixed at creation.
    pub plan: Plan,
    /// Slots of its vCPUs, in order; which of them are to be told of, by place.
    pub vcpus: Vec<u16>,
    /// Which of them are to be told of by VcpuReady, a bit each.
    pub ready: u64,
    /// Leaves, in order; none of a free slot.
    pub leaves: Vec<Translation>,
}

/// A vCPU slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VcpuSeen {
    /// Of its present or last vCPU.
    pub generation: u64,
    /// Where it is.
    pub residence: Residence,
    /// Slot of its VM.
    pub vm: u16,
    /// Its affinity.
    pub mpidr: u64,
    /// What only its ticket's holder reaches, where nobody holds it and it is on.
    pub content: Option<ContentSeen>,
    /// SGIs that are pending, a bit each.
    pub sgis: u32,
    /// SPIs of whose being pending something is known: number, edge, line, priority.
    pub spis: Vec<(u64, bool, bool, u8)>,
}

/// Registers, and what the vCPU waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentSeen {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where it goes on.
    pub pc: u64,
    /// VBAR_EL1, ELR_EL1 and ESR_EL1: which exception it took last.
    pub exception: [u64; 3],
    /// For the host.
    pub pending: Pending,
    /// For an interrupt.
    pub waiting: bool,
}

impl Portrait {
    /// The state now.
    pub fn take(machine: &Machine) -> Self {
        let (engine, sim) = (machine.engine(), machine.sim());
        let geometry = engine.host_stage2().geometry();
        let below = |vmid, root: Pfn| Below::root(&sim.ram, geometry, vmid, root.raw());
        let host = engine.host_stage2();
        let host = below(crate::vm::HOST_VMID, host.root());
        let mut tables: BTreeMap<u64, Option<u16>> =
            host.tables.iter().map(|(page, _)| (*page, None)).collect();
        tables.extend(sim.el2_tables().into_iter().map(|page| (page, None)));
        let states = sim.states();
        let mut vms = Vec::new();
        for (index, vm) in engine.vms().iter().enumerate() {
            let (generation, phase) = vm.life.now();
            let plan = vm.plan();
            let slot = u16::try_from(index).ok().and_then(VmSlot::new);
            let mut leaves = Vec::new();
            if let Some(slot) = slot.filter(|_| phase != Phase::Free) {
                let found = below(slot.vmid(), plan.root);
                tables.extend(
                    found
                        .tables
                        .iter()
                        .map(|(page, _)| (*page, Some(slot.raw()))),
                );
                leaves = match phase {
                    Phase::Reclaiming => still_there(&found.leaves, &states, sim.ram.base(), slot),
                    _ => found.leaves,
                };
            }
            vms.push(VmSeen {
                generation,
                phase,
                plan,
                vcpus: vm.vcpus().collect(),
                ready: vm.ready(),
                leaves,
            });
        }
        Self {
            pages: scrubbed_by_page(states, sim.ram.base()),
            host: host.leaves,
            tables,
            vms,
            vcpus: engine.vcpus().iter().map(VcpuSeen::of).collect(),
            cores: engine.host_cores().iter().map(HostCore::power).collect(),
            doorbell: engine.doorbell(),
        }
    }
}

/// Of a VM that nobody walks for any more, what it has not lost: of what came home its tables are not told.
fn still_there(
    leaves: &[Translation],
    states: &[State],
    base: u64,
    vm: VmSlot,
) -> Vec<Translation> {
    let is_its = |page: u64| {
        let state = states.get(page.wrapping_sub(base) as usize);
        match state {
            Some(State::Owned(owner)) => *owner == Owner::Vm(vm),
            Some(State::Shared {
                owner, borrower, ..
            }) => [*owner, *borrower].contains(&Owner::Vm(vm)),
            Some(State::Scrubbing { vm: other, .. }) => *other == vm,
            _ => false,
        }
    };
    let pages = leaves.iter().flat_map(|leaf| {
        (0..leaf.pages).map(|offset| Translation {
            ipa_page: leaf.ipa_page + offset,
            page: leaf.page + offset,
            pages: 1,
            ..*leaf
        })
    });
    pages.filter(|leaf| is_its(leaf.page)).collect()
}

/// Of 2 MiB that are zeroed in part, the pages that are not yet are still their VM's.
fn scrubbed_by_page(mut pages: Vec<State>, base: u64) -> Vec<State> {
    for (page, state) in (base..).zip(&mut pages) {
        if let State::Scrubbing { vm, done } = *state
            && page % 512 >= u64::from(done)
        {
            *state = State::Owned(Owner::Vm(vm));
        }
    }
    pages
}

impl VcpuSeen {
    fn of(slot: &VcpuSlot) -> Self {
        let (generation, residence) = slot.residency().now();
        let mut seen = Self {
            generation,
            residence,
            vm: slot.vm().slot(),
            mpidr: slot.mpidr(),
            content: None,
            sgis: slot.interrupts.private.pending() & 0xffff,
            spis: Vec::new(),
        };
        let inbox = &slot.interrupts.spis;
        let mut edges = [0; crate::gic::spi::SPI_WORDS];
        let me = CpuId::new(0).unwrap_or_else(|| unreachable!("core 0"));
        if let Residence::Parked | Residence::Queued(_) = residence
            && let Ok(mut ticket) = slot.residency().hold(generation, me)
        {
            seen.content = slot.with(&mut ticket, |state| {
                edges = state.context.gic.edges();
                let frame = &state.context.frame;
                let el1 = &state.context.el1;
                ContentSeen {
                    x: frame.x,
                    pc: frame.pc,
                    exception: [el1.vbar, el1.elr, el1.esr],
                    pending: state.pending,
                    waiting: state.waiting,
                }
            });
            // Back where it was; its bit has stayed in its queue.
            let _ = ticket.give_back();
        }
        for (place, edges) in edges.into_iter().enumerate() {
            let (inbox_edges, lines) = inbox.seen(place);
            let some = edges | inbox_edges | lines;
            for bit in (0..64).filter(|bit| some >> bit & 1 != 0) {
                let Some(spi) = Spi::at(place, bit) else {
                    continue;
                };
                let is_edge = (edges | inbox_edges) & spi.bit() != 0;
                let is_high = lines & spi.bit() != 0;
                let priority = inbox.priority(spi);
                let spi = u64::from(spi.raw());
                seen.spis.push((spi, is_edge, is_high, priority));
            }
        }
        seen
    }
}
