//! What the host knows, and what an input's bytes mean as arguments: mostly handles and pages that exist, few enough
//! of them to meet again.

use abi::{Call, ExitReason, Status, VmShape, psci, smccc};
use engine::sim::machine::vmid_of;
use engine::sim::{Config, GuestOp, Machine};
use std::sync::{Arc, Mutex};

use super::step::step;
use crate::bytes::Bytes;

/// First address of a VM's memory.
pub const RAM: u64 = 0x8000_0000;
/// Its size.
pub const RAM_SIZE: u64 = 16 << 20;
/// Its redistributors.
pub const GICR: u64 = 0x0800_0000;
const PAGE: u64 = 4096;
/// Cores.
pub const CPUS: usize = 3;

/// Values that no argument likes.
const ODD: [u64; 12] = [
    0,
    1,
    7,
    PAGE - 1,
    PAGE + 8,
    0x4000_0000,
    0x4000_8000,
    0x0900_0000,
    1 << 40,
    1 << 52,
    1 << 63,
    u64::MAX,
];

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Vm,
    Vcpu,
    Cpu,
    Pa,
    Ipa,
    Pages,
    Access,
    Shape,
    Small,
    Gicr,
    Ram,
    RamSize,
    Spi,
    Priority,
    Budget,
    Any,
}

/// What each argument of a call is; those beyond are zero, or anything.
pub const fn kinds(call: Call) -> &'static [Kind] {
    use Kind::*;
    match call {
        Call::EngineInfo | Call::EngineDoorbell | Call::EngineReclaim => &[Small],
        Call::EngineDonate => &[Pa, Pages],
        Call::VmCreate => &[Shape, Gicr, Ram, RamSize, Any, Any],
        Call::VmMap | Call::VmLend => &[Vm, Pa, Ipa, Pages, Access],
        Call::VmMapList => &[Vm, Pa, Small, Ipa, Access],
        Call::VmUnlend => &[Vm, Ipa, Pages],
        Call::VmStart | Call::VmDestroy => &[Vm],
        Call::VmReclaim => &[Vm, Pages],
        Call::VcpuCreate => &[Vm, Small, Ram, Any],
        Call::VcpuEnqueue => &[Vcpu, Cpu],
        Call::VcpuDequeue => &[Vcpu],
        Call::CpuRun => &[Budget],
        Call::VcpuRespond => &[Vcpu, Any, Any, Any, Any, Small],
        Call::VcpuInject => &[Vcpu, Spi, Small, Priority],
        Call::PageInfo | Call::PagePoison => &[Pa],
        Call::PageCensus => &[Small, Pages],
        Call::TraceRead => &[Cpu, Small],
        Call::StatsRead => &[Cpu, Small],
    }
}

/// The host, and the rest of the input.
pub struct World {
    pub machine: Machine,
    pub bytes: Bytes,
    /// Handles, the last one first; stale ones included.
    pub vms: Vec<u64>,
    pub vcpus: Vec<u64>,
    /// Pages that were poisoned.
    pub poisoned: u64,
    /// Cores that the host has switched off.
    pub off: Vec<usize>,
    /// Steps still to come.
    pub steps: u32,
}

impl World {
    /// A machine of the input's.
    pub fn new(input: &[u8]) -> Self {
        let mut bytes = Bytes::new(input);
        let choice = bytes.byte();
        let mut config = Config {
            cpus: CPUS,
            vms: 2,
            vcpus: 4,
            seed: u64::from(choice),
            ..Config::default()
        };
        config.features.tlb_range = choice & 1 != 0;
        config.features.repeat_tlbi = choice & 2 != 0;
        config.features.resize_in_place = choice & 4 != 0;
        config.features.pa_bits = [36, 40, 42, 48][usize::from(choice >> 3 & 3)];
        config.pool_pages = [56, 120][usize::from(choice >> 5 & 1)];
        // The last 2 MiB are the host's in whole, or not all there.
        config.ram_pages = [1024, 700][usize::from(choice >> 6 & 1)];
        Self {
            machine: Machine::new(config),
            bytes,
            vms: Vec::new(),
            vcpus: Vec::new(),
            poisoned: 0,
            off: Vec::new(),
            steps: 40,
        }
    }

    /// Cores that may make a call now.
    pub fn free_cpu(&self, choice: u8) -> Option<usize> {
        let is_free = |cpu: &usize| self.machine.is_free(*cpu) && !self.off.contains(cpu);
        let free: Vec<usize> = (0..CPUS).filter(is_free).collect();
        free.get(usize::from(choice) % free.len().max(1)).copied()
    }

    fn handle(handles: &[u64], choice: u8) -> u64 {
        let back = usize::from(choice & 7);
        let handle = handles.iter().rev().nth(back).or(handles.last());
        let handle = handle.copied().unwrap_or(0);
        match choice {
            0xf0.. => handle ^ 1 << ((choice & 15) * 4),
            _ => handle,
        }
    }

    /// A VM's handle.
    pub fn vm(&mut self) -> u64 {
        let choice = self.bytes.byte();
        Self::handle(&self.vms, choice)
    }

    /// A physical address: mostly a page of the host's.
    pub fn pa(&mut self) -> u64 {
        let choice = self.bytes.byte();
        match choice {
            0..=127 => self.machine.host_page(u64::from(choice & 31)),
            128..=159 => 0x4000_0000 + u64::from(choice & 3) * (2 << 20),
            160..=191 => 0x4020_0000 + u64::from(self.bytes.byte()) * PAGE * 2,
            192..=223 => 0x4000_0000 + u64::from(self.bytes.half()) * PAGE,
            224..=239 => self.machine.host_page(0) + u64::from(choice & 15) * 8,
            _ => self.odd(),
        }
    }

    /// An intermediate physical address: mostly a page of the VM's.
    pub fn ipa(&mut self) -> u64 {
        let choice = self.bytes.byte();
        match choice {
            0..=127 => RAM + u64::from(choice & 31) * PAGE,
            128..=191 => RAM + u64::from(choice & 7) * (2 << 20),
            192..=207 => RAM + u64::from(self.bytes.byte()) * PAGE * 16,
            208 => RAM - PAGE,
            209 => RAM + RAM_SIZE,
            210 => RAM + RAM_SIZE - PAGE,
            211..=223 => GICR + u64::from(choice - 211) * PAGE,
            224..=239 => RAM + u64::from(choice & 15) * 8,
            _ => self.odd(),
        }
    }

    fn odd(&mut self) -> u64 {
        match self.bytes.byte() {
            choice @ 0..=239 => ODD[usize::from(choice) % ODD.len()],
            _ => self.bytes.long(),
        }
    }

    /// An argument.
    pub fn argument(&mut self, kind: Kind) -> u64 {
        let small = |world: &mut Self, usual: u64| match world.bytes.byte() {
            choice @ 0..=239 => u64::from(choice) % usual,
            choice @ 240..=247 => u64::from(choice) << 4,
            _ => world.odd(),
        };
        let usually = |world: &mut Self, value: u64| match world.bytes.byte() {
            0..=251 => value,
            _ => world.odd(),
        };
        match kind {
            Kind::Vm => self.vm(),
            Kind::Vcpu => {
                let choice = self.bytes.byte();
                Self::handle(&self.vcpus, choice)
            }
            Kind::Cpu => small(self, CPUS as u64),
            Kind::Pa => self.pa(),
            Kind::Ipa => self.ipa(),
            Kind::Pages => match self.bytes.byte() {
                choice @ 0..=159 => 1 + u64::from(choice & 7),
                choice @ 160..=207 => u64::from(choice - 160) * 4,
                208..=239 => 512,
                _ => self.odd(),
            },
            Kind::Access => match self.bytes.byte() {
                choice @ 0..=239 => [7, 3, 1, 7, 5, 7][usize::from(choice) % 6],
                choice => u64::from(choice & 15),
            },
            Kind::Shape => {
                let choice = self.bytes.byte();
                let shape = VmShape {
                    vcpus: u16::from(choice & 3) + 1,
                    ipa_bits: 36,
                    lendable: choice >> 2 & 3,
                };
                match choice {
                    0..=251 => shape.raw(),
                    _ => self.odd(),
                }
            }
            Kind::Small => small(self, 24),
            Kind::Gicr => usually(self, GICR),
            Kind::Ram => usually(self, RAM),
            Kind::RamSize => usually(self, RAM_SIZE),
            Kind::Spi => 30u64.wrapping_add(small(self, 8)),
            Kind::Priority => small(self, 256),
            Kind::Budget => match self.bytes.byte() {
                choice @ 0..=239 => 200 + u64::from(choice) * 16,
                _ => 1,
            },
            Kind::Any => match self.bytes.byte() {
                0..=223 => 0,
                _ => self.odd(),
            },
        }
    }

    /// A step of a guest.
    pub fn guest_op(&mut self, shared: &Arc<Mutex<World>>) -> GuestOp {
        let choice = self.bytes.byte();
        let place = (u64::from(choice >> 6) * 1360) & !7;
        let call = |function, argument| GuestOp::Hvc([function, argument, 0, 0, 0, 0, 0]);
        match choice & 31 {
            0..=5 => GuestOp::Store((self.ipa() & !0xfff) + place),
            6..=10 => GuestOp::Load((self.ipa() & !0xfff) + place),
            11 | 12 => GuestOp::Fetch(self.ipa() & !3),
            13 => GuestOp::LoadPair(self.ipa() & !7),
            14..=16 => call(smccc::KVM_MEM_SHARE, self.ipa()),
            17 | 18 => call(smccc::KVM_MEM_UNSHARE, self.ipa()),
            19 | 20 => call(smccc::KVM_MEM_RELINQUISH, self.ipa()),
            21 => {
                let target = self.argument(Kind::Small) % 4;
                GuestOp::Hvc([psci::CPU_ON_64, target, RAM, 5, 0, 0, 0])
            }
            22 => call(
                self.bytes
                    .pick(&[psci::CPU_OFF, psci::VERSION, 0xc600_0090]),
                0,
            ),
            23 => GuestOp::Wfi,
            24 => GuestOp::TlbConflict(self.ipa()),
            _ => {
                let shared = shared.clone();
                GuestOp::Elsewhere(Box::new(move || step(&shared, false)))
            }
        }
    }

    /// Remembers what a call told.
    pub fn learn(&mut self, call: Call, x: &[u64; 18]) {
        if x[0] as i64 != Status::Success.raw() {
            return;
        }
        match call {
            Call::VmCreate => {
                self.machine.sim().drop_scripts(vmid_of(x[1]));
                self.vms.push(x[1]);
            }
            Call::VcpuCreate => self.vcpus.push(x[1]),
            Call::PagePoison => self.poisoned += 1,
            Call::CpuRun if ExitReason::from_raw(x[1]) == Some(ExitReason::VcpuOn) => {
                self.vcpus.push(x[3]);
            }
            _ => {}
        }
    }
}
