//! Which vCPU is on which core, and whose stage-1 translations each core has.
//!
//! Invariants, which panic where they break: a vCPU is on one core at most, from its entry until its
//! core is the host's again; none is inside a VM that is taken apart; a vCPU goes by its own stage-1
//! translations, never by those of another of its VM, or of the VM before in its slot.

use engine::platform::Tlbi;
use std::collections::BTreeMap;

/// A vCPU: which of all VMs there ever were, and its affinity.
pub type VcpuId = (u64, u64);

#[derive(Default)]
struct Core {
    inside: Option<(u16, VcpuId)>,
    /// Whose stage-1 translations it has, by VMID.
    stage1: BTreeMap<u16, VcpuId>,
    /// VMIDs whose stage-1 translations it has told all cores to drop; `None` for all.
    told: Vec<Option<u16>>,
}

/// See the header.
pub struct Places {
    cores: Vec<Core>,
    /// Stage-1 translations stay at all.
    kept: bool,
}

impl Places {
    /// All cores run the host.
    pub fn new(cores: usize, kept: bool) -> Self {
        Self {
            cores: (0..cores).map(|_| Core::default()).collect(),
            kept,
        }
    }

    /// A core goes on with a vCPU.
    pub fn enter(&mut self, core: usize, vmid: u16, vcpu: VcpuId) {
        let mut others = self.cores.iter().enumerate();
        let other = others.find(|(other, there)| {
            *other != core && there.inside.is_some_and(|(_, inside)| inside == vcpu)
        });
        assert!(
            other.is_none(),
            "I8: vCPU {vcpu:?} is entered on core {core} and is on another"
        );
        let core = &mut self.cores[core];
        core.inside = Some((vmid, vcpu));
        if !self.kept {
            return;
        }
        let before = core.stage1.insert(vmid, vcpu);
        assert!(
            before.is_none_or(|before| before == vcpu),
            "vCPU {vcpu:?} goes by stage-1 translations of {before:?}"
        );
    }

    /// It is the host's again.
    pub fn leave(&mut self, core: usize) {
        self.cores[core].inside = None;
    }

    /// I8: no core is inside this VM, which is no more.
    pub fn assert_left(&self, life: u64) {
        let mut inside = self.cores.iter().filter_map(|core| core.inside);
        let left = inside.find(|(_, vcpu)| vcpu.0 == life);
        assert!(left.is_none(), "I8: {left:?} runs though its VM is gone");
    }

    /// I8: no core is inside a VM.
    pub fn assert_all_left(&self) {
        let mut inside = self.cores.iter().filter_map(|core| core.inside);
        let left = inside.next();
        assert!(left.is_none(), "I8: {left:?} is left on a core");
    }

    /// A core drops what it has of a VMID.
    pub fn forget(&mut self, core: usize, vmid: u16) {
        self.cores[core].stage1.remove(&vmid);
    }

    /// A core issues an invalidation under a VMID.
    pub fn issue(&mut self, core: usize, vmid: u16, op: Tlbi) {
        match op {
            Tlbi::Vmalle1is | Tlbi::Vmalls12e1is => self.cores[core].told.push(Some(vmid)),
            Tlbi::Alle1is => self.cores[core].told.push(None),
            _ => {}
        }
    }

    /// Its DSB: who is not inside a guest at this moment has no such translations any more.
    pub fn complete(&mut self, core: usize) {
        for told in std::mem::take(&mut self.cores[core].told) {
            for other in &mut self.cores {
                let inside = other.inside.map(|(vmid, _)| vmid);
                other.stage1.retain(|vmid, _| {
                    told.is_some_and(|told| told != *vmid) || inside == Some(*vmid)
                });
            }
        }
    }
}
