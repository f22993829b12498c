//! What the oracle is told of a machine: what happened, and what is seen of it.
//!
//! Invariants: what is told follows from two looks at the machine, before and after; the model does nothing
//! that the engine was not seen to do, but it alone says what comes of it.

use std::collections::BTreeMap;

use engine::sim::told::Tried;
use engine::sim::{Machine, Portrait, Shape};
use engine::vm::life::Phase;
use percpu::Residence;

use crate::corrupt::Corruption;
use crate::oracle::Oracle;
use crate::render::render;

/// The machine's side: what was seen last, and who is told of it.
pub struct Tape {
    pub(crate) oracle: Oracle,
    pub(crate) before: Portrait,
    pub(crate) mapped: Vec<u8>,
    pub(crate) base: u64,
    pub(crate) corruption: Option<Corruption>,
    /// The text that the oracle was told last.
    pub(crate) text: String,
    pub(crate) fault: Option<String>,
    pub(crate) off: bool,
    /// The state after the deed, if it was looked at.
    pub(crate) after: Option<Portrait>,
    /// The vCPU that each core entered last.
    pub(crate) entered: BTreeMap<usize, usize>,
    /// Tables that ended in this deed.
    pub(crate) ended: Vec<u64>,
    /// Deeds that were compared.
    pub deeds: u64,
}

impl Tape {
    /// The text of the engine's state that was compared last.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn boot(&mut self, machine: &Machine) {
        let config = machine.config();
        let bits = machine.engine().host_stage2().geometry().ipa_bits;
        self.oracle.line(format_args!(
            "M {} {} {} {bits} {} {} {}",
            config.cpus,
            config.vms,
            config.vcpus,
            self.base,
            config.ram_pages,
            config.cpus - config.missing,
        ));
        let text = render(&self.before, &machine.sim().ram);
        for line in text.lines().filter(|line| line.starts_with("p ")) {
            self.oracle.line(format_args!("{line}"));
        }
        self.oracle.state(&text);
        self.text = text;
    }

    pub(crate) fn registers(&mut self, x: &[u64; 18]) {
        let mut line = String::from("o");
        for x in x {
            line += &format!(" {x}");
        }
        self.oracle.line(format_args!("{line}"));
    }

    pub(crate) fn corrupt_registers(&mut self, x: &mut [u64; 18]) {
        if let Some(corruption) = self.corruption {
            corruption.registers(x);
        }
    }

    pub(crate) fn corrupt_value(&self, value: u64) -> u64 {
        self.corruption
            .map_or(value, |corruption| corruption.loaded(value))
    }

    /// Tables that are none any more, or no longer for the same.
    pub(crate) fn tables_end(&mut self, after: &Portrait) {
        let (kept, ended): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.before.tables)
                .into_iter()
                .partition(|(page, of)| after.tables.get(page) == Some(of));
        self.before.tables = kept;
        self.ended.extend(ended.into_keys());
        for page in &self.ended {
            self.oracle.line(format_args!("T {page}"));
        }
    }

    pub(crate) fn tables_begin(&mut self, after: &Portrait) {
        // Before the call, for it may give such a page away; and after it, as a VM's may end when it has no page left.
        self.tables_end(after);
        self.ended.clear();
        for (page, of) in &after.tables {
            if self.before.tables.get(page) == Some(of) {
                continue;
            }
            match of {
                None => self.oracle.line(format_args!("t {page} h")),
                Some(vm) => self.oracle.line(format_args!("t {page} {vm}")),
            }
        }
    }

    pub(crate) fn host_maps(&mut self, mapped: &[u8]) {
        let mut offset = 0;
        while offset < mapped.len() {
            let first = offset;
            while offset < mapped.len() && mapped[offset] != b'0' && self.mapped[offset] == b'0' {
                offset += 1;
            }
            if offset > first {
                let page = self.base + first as u64;
                self.oracle
                    .line(format_args!("m {page} {}", offset - first));
            } else {
                offset += 1;
            }
        }
    }

    /// x9 of the vCPU that was entered there last, if it can be seen.
    pub(crate) fn x9_on(&self, cpu: usize, after: &Portrait) -> Option<u64> {
        let slot = self.entered.get(&cpu)?;
        let content = after.vcpus.get(*slot)?.content.as_ref()?;
        Some(content.x[9])
    }

    pub(crate) fn complain(&mut self, what: String) {
        self.fault.get_or_insert(what);
    }

    /// The core entered this vCPU.
    pub(crate) fn enter(&mut self, cpu: usize, (vmid, affinity): (u16, u64), after: &Portrait) {
        let of = |vcpu: &&_| {
            let vcpu: &engine::sim::portrait::VcpuSeen = vcpu;
            vcpu.residence != Residence::Free && vcpu.vm + 1 == vmid && vcpu.mpidr == affinity
        };
        let Some(slot) = self.before.vcpus.iter().position(|vcpu| of(&vcpu)) else {
            self.complain(format!(
                "core {cpu} entered vCPU {affinity:x} of VMID {vmid}, which is none"
            ));
            return;
        };
        self.strays(cpu, after, Some(slot));
        self.entered.insert(cpu, slot);
        self.oracle.line(format_args!("e {cpu} {slot}"));
    }

    /// Whoever has its turn on the core has it no more.
    pub(crate) fn turn_ends(&mut self, cpu: usize, after: &Portrait) {
        self.oracle.line(format_args!("turn {cpu}"));
        self.strays(cpu, after, None);
    }

    /// vCPUs that the core came upon and whose VM is Running no more: they are on no queue now.
    pub(crate) fn strays(&mut self, cpu: usize, after: &Portrait, entered: Option<usize>) {
        let is_running = |vm: u16| {
            after
                .vms
                .get(usize::from(vm))
                .is_some_and(|vm| vm.phase == Phase::Running)
        };
        let mut strays = Vec::new();
        for (slot, vcpu) in after.vcpus.iter().enumerate() {
            if vcpu.residence == Residence::Parked && !is_running(vcpu.vm) && entered != Some(slot)
            {
                strays.push(slot);
            }
        }
        if !strays.is_empty() {
            self.oracle.line(format_args!("turn {cpu}"));
        }
        for slot in strays {
            self.oracle.line(format_args!("pick {cpu} {slot}"));
        }
    }

    pub(crate) fn tried(&mut self, cpu: usize, tried: Tried) {
        let oracle = &mut self.oracle;
        match tried {
            Tried::Load(address) => oracle.line(format_args!("g {cpu} load {address}")),
            Tried::LoadPair(address) => oracle.line(format_args!("g {cpu} pair {address}")),
            Tried::Store(address, value) => {
                oracle.line(format_args!("g {cpu} store {address} {value}"));
            }
            Tried::LoadPart(address, shape) => {
                let (bytes, signed, wide) = parts(shape);
                oracle.line(format_args!(
                    "g {cpu} loadpart {address} {bytes} {signed} {wide}"
                ));
            }
            Tried::StorePart(address, shape, value) => {
                let (bytes, signed, wide) = parts(shape);
                oracle.line(format_args!(
                    "g {cpu} storepart {address} {bytes} {signed} {wide} {value}"
                ));
            }
            Tried::Fetch(address) => oracle.line(format_args!("g {cpu} fetch {address}")),
            Tried::Call(x) => oracle.line(format_args!(
                "g {cpu} hvc {} {} {} {} {} {} {}",
                x[0], x[1], x[2], x[3], x[4], x[5], x[6]
            )),
            Tried::SendSgi(value) => oracle.line(format_args!("g {cpu} sgi {value}")),
            Tried::Wfi => oracle.line(format_args!("g {cpu} wfi")),
            Tried::SError => oracle.line(format_args!("g {cpu} serror")),
            Tried::Other => oracle.line(format_args!("g {cpu} none")),
        }
    }
}

/// Bytes, sign and width as the oracle reads them.
fn parts(shape: Shape) -> (u64, u8, u8) {
    let (signed, wide) = (u8::from(shape.signed), u8::from(shape.wide));
    (1 << shape.size, signed, wide)
}
