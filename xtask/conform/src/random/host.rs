//! What a host knows and tries next.
//!
//! Invariant: what is tried follows from the seed and from what was learnt.

use std::collections::BTreeMap;

use abi::{Call, VmShape, psci};
use engine::sim::{Config, Machine};

use super::{DEVICE, GICR, PAGE, RAM, RAM_2, RAM_SIZE, Random};
use crate::deed::Deed;

/// What the host knows.
pub struct World {
    pub(super) random: Random,
    pub(super) config: Config,
    pub(super) first_page: u64,
    /// Handles, stale ones included; 0 first.
    pub(super) vms: Vec<u64>,
    pub(super) live: Vec<u64>,
    pub(super) dying: Vec<u64>,
    pub(super) vcpus: Vec<u64>,
    pub(super) vm_of: BTreeMap<u64, u64>,
    pub(super) faults: Vec<u64>,
    pub(super) broken: u64,
    pub(super) poisoned: u64,
    pub(super) off: Vec<usize>,
    /// What is to be done next.
    pub(super) plan: Vec<Deed>,
}

impl World {
    /// Of a machine that has just been booted.
    pub fn new(seed: u64, machine: &Machine) -> Self {
        Self {
            random: Random(seed),
            config: *machine.config(),
            first_page: machine.host_page(0),
            vms: vec![0],
            live: Vec::new(),
            dying: Vec::new(),
            vcpus: vec![0],
            vm_of: BTreeMap::new(),
            faults: Vec::new(),
            broken: 0,
            poisoned: 0,
            off: Vec::new(),
            plan: Vec::new(),
        }
    }

    pub(super) fn host_pages(&self) -> u64 {
        let end = (0x40000 + self.config.ram_pages) * PAGE;
        (end - self.first_page) / PAGE
    }

    pub(super) fn pa(&mut self) -> u64 {
        let near = self.host_pages().min(40);
        let all = self.host_pages();
        match self.random.below(24) {
            0 => self.first_page + self.random.below(4096),
            1 => self.random.pick(&[
                0,
                0x0900_0000,
                0x4000_0000,
                0x4000_8000,
                0x4001_8000,
                u64::MAX,
                u64::MAX - 0xfff,
                1 << 52,
                1 << 48,
            ]),
            2 | 3 => 0x4000_0000 + self.random.below(4) * (2 << 20),
            4 => 0x4000_0000 + self.random.below(self.config.ram_pages + 2) * PAGE,
            5..=8 => self.first_page + self.random.below(all) * PAGE,
            _ => self.first_page + self.random.below(near) * PAGE,
        }
    }

    pub(super) fn ipa(&mut self) -> u64 {
        match self.random.below(20) {
            0 => self.random.pick(&[
                0,
                GICR,
                DEVICE,
                RAM - PAGE,
                RAM + RAM_SIZE,
                u64::MAX,
                RAM + 8,
                1 << 40,
            ]),
            1..=3 => RAM + self.random.below(8) * (2 << 20),
            4 => RAM + self.random.below(RAM_SIZE / PAGE) * PAGE,
            5 | 6 => RAM_2 + self.random.below(8) * PAGE,
            _ => RAM + self.random.below(20) * PAGE,
        }
    }

    pub(super) fn pages(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self.random.pick(&[0, 513, 512, 262_144, 262_145, u64::MAX]),
            1 if self.config.ram_pages > 1024 => 512,
            2 | 3 => 1 + self.random.below(40),
            _ => 1 + self.random.below(4),
        }
    }

    pub(super) fn one_of(&mut self, some: fn(&Self) -> &[u64], other: fn(&mut Self) -> u64) -> u64 {
        if some(self).is_empty() || self.random.one_in(16) {
            return other(self);
        }
        let index = self.random.below(some(self).len() as u64) as usize;
        some(self)[index]
    }

    pub(super) fn vm(&mut self) -> u64 {
        self.one_of(
            |world| &world.live,
            |world| {
                let index = world.random.below(world.vms.len() as u64) as usize;
                let stale = world.vms[index];
                match world.random.below(4) {
                    0 => stale ^ 1 << world.random.below(20),
                    _ => stale,
                }
            },
        )
    }

    pub(super) fn dying_vm(&mut self) -> u64 {
        self.one_of(|world| &world.dying, Self::vm)
    }

    pub(super) fn vcpu(&mut self) -> u64 {
        let recent = if self.random.one_in(10) { 50 } else { 6 };
        let from = self.vcpus.len().saturating_sub(recent);
        let index = self.random.below((self.vcpus.len() - from) as u64) as usize;
        self.vcpus[from + index]
    }

    pub(super) fn access_bits(&mut self) -> u64 {
        if self.random.one_in(12) {
            self.random.below(10)
        } else {
            self.random.pick(&[1, 3, 7, 7])
        }
    }

    pub(super) fn cpu(&mut self) -> usize {
        self.random.below(self.config.cpus as u64) as usize
    }

    pub(super) fn shape(&mut self) -> [u64; 6] {
        let shape = VmShape {
            vcpus: 1 + self.random.below(3) as u16,
            ipa_bits: 36,
            lendable: self.random.pick(&[0b01, 0b01, 0b11, 0b00]),
        };
        let mut plan = [shape.raw(), GICR, RAM, RAM_SIZE, 0, 0];
        match self.random.below(12) {
            0..=2 => (plan[4], plan[5]) = (RAM_2, 8 * PAGE),
            3 => {
                let which = self.random.below(6) as usize;
                let bit = self.random.below(64);
                plan[which] ^= 1 << bit;
            }
            _ => {}
        }
        plan
    }

    /// The next deed.
    pub fn next(&mut self) -> Deed {
        if let Some(deed) = self.plan.pop() {
            return deed;
        }
        if self.live.len() < 2 && self.random.one_in(4) {
            match self.dying.last() {
                Some(dying) => {
                    let deed = Deed::call(0, Call::VmReclaim, &[*dying, 512]);
                    return deed;
                }
                None => self.plan_vm(),
            }
        }
        if let Some(cpu) = self.off.pop() {
            return Deed::Begin { cpu };
        }
        let cpu = self.cpu();
        match self.random.below(40) {
            0..=5 => self.access(cpu),
            6..=9 => self.script(),
            10 => self.smc(cpu),
            11 if self.random.one_in(8) && self.broken < 4 => {
                self.broken += 1;
                Deed::Break {
                    page: self.pa() & ((1 << 40) - 1) >> 12,
                }
            }
            12 if self.random.one_in(4) => {
                self.plan.push(Deed::Interrupt { cpu, waits: false });
                self.plan.push(Deed::call(cpu, Call::CpuRun, &[5_000]));
                Deed::Interrupt { cpu, waits: true }
            }
            13 => {
                let mut x = [0; 7];
                x[0] = self.random.pick(&[
                    0x8000_0000,
                    0x8600_ff01,
                    0xc600_0104,
                    0xc600_01ff,
                    0x1_c600_0100,
                    0x8400_0000,
                ]);
                let imm = self.random.pick(&[0, 0, 1, 0xffff]);
                Deed::Hvc { cpu, imm, x }
            }
            _ => {
                let (call, arguments) = self.any_call();
                Deed::call(cpu, call, &arguments)
            }
        }
    }

    /// A VM that runs is made of many calls: its first ones, the last first.
    pub(super) fn plan_vm(&mut self) {
        let shape = self.shape();
        self.plan = vec![Deed::call(0, Call::VmCreate, &shape)];
    }

    /// A new VM gets vCPUs, pages, and mostly a start.
    pub(super) fn raise(&mut self, vm: u64) {
        let cpu = self.cpu();
        let (pa, n) = (self.pa(), 1 + self.random.below(16));
        if !self.random.one_in(4) {
            self.plan.push(Deed::call(cpu, Call::VmStart, &[vm]));
        }
        self.plan
            .push(Deed::call(cpu, Call::VmMap, &[vm, pa, RAM, n, 7]));
        for affinity in (0..2).rev() {
            let create = [vm, affinity, RAM, self.random.below(100)];
            self.plan.push(Deed::call(cpu, Call::VcpuCreate, &create));
        }
    }

    pub(super) fn access(&mut self, cpu: usize) -> Deed {
        let address = self.pa() & ((1 << 40) - 1) & !0xfff;
        let address = address | self.random.pick(&[0, 8, 56, 2048, 4088]);
        // Beyond RAM are devices.
        let end = (0x40000 + self.config.ram_pages) * PAGE;
        let address = if (0x4000_0000..end).contains(&address) {
            address
        } else {
            self.first_page
        };
        if self.random.one_in(2) {
            Deed::Load { cpu, address }
        } else {
            let value = 1 + self.random.below(1 << 30);
            Deed::Store {
                cpu,
                address,
                value,
            }
        }
    }

    pub(super) fn smc(&mut self, cpu: usize) -> Deed {
        let function = self.random.pick(&[
            psci::VERSION,
            psci::CPU_ON_64,
            psci::CPU_ON_64,
            psci::CPU_OFF,
            psci::AFFINITY_INFO_64,
            psci::FEATURES,
            psci::CPU_SUSPEND_64,
            psci::MIGRATE_INFO_TYPE,
            0x8000_0000,
            0x8000_0001,
            0x8000_8000,
            0x8400_0050,
            0xc600_0100,
        ]);
        let x1 = self
            .random
            .pick(&[0, 1, 2, 3, 7, 1 << 8, psci::VERSION, 0x8000_8000, 1 << 16]);
        Deed::Smc {
            cpu,
            x: [function, x1, self.random.pick(&[0, 1, 4096, 4098]), 5],
        }
    }

    pub(super) fn any_call(&mut self) -> (Call, Vec<u64>) {
        let (vm, vcpu) = (self.vm(), self.vcpu());
        let core = self
            .random
            .below(self.config.cpus as u64 + u64::from(self.random.clone().one_in(9)));
        let (pa, n, bits) = (self.pa(), self.pages(), self.access_bits());
        let ipa = match self.faults.pop() {
            Some(fault) if self.random.one_in(2) => fault,
            _ => self.ipa(),
        };
        match self.random.below(104) {
            0..=2 => (Call::VmCreate, self.shape().to_vec()),
            3..=9 => {
                let affinity = self.random.pick(&[0, 1, 2, 1 << 8, 1 << 24, 1 << 31]);
                let entry = self.random.pick(&[RAM, RAM, RAM, RAM + 4, RAM + 2, 0]);
                (Call::VcpuCreate, vec![vm, affinity, entry, n])
            }
            10..=14 => (Call::VmStart, vec![vm]),
            15..=24 => (Call::VcpuEnqueue, vec![vcpu, core]),
            25..=27 => (Call::VcpuDequeue, vec![vcpu]),
            28..=42 => (Call::VmMap, vec![vm, pa, ipa, n, bits]),
            43 | 44 => (Call::VmMapList, vec![vm, pa, self.random.below(6)]),
            45..=51 => (Call::VmLend, vec![vm, pa, ipa, n, bits]),
            52..=56 => (Call::VmUnlend, vec![vm, ipa, n]),
            57..=60 => (Call::EngineDonate, vec![pa, n]),
            61..=63 => (Call::EngineReclaim, vec![self.random.below(18)]),
            64 if self.poisoned < 4 => (Call::PagePoison, vec![pa]),
            65 => (Call::VmDestroy, vec![vm]),
            66..=75 => {
                let max = self.random.pick(&[1, 2, 7, 64, 512, 513, 0]);
                (Call::VmReclaim, vec![self.dying_vm(), max])
            }
            76..=79 => {
                let outcome = self.random.below(3);
                let answer = self.random.next();
                (Call::VcpuRespond, vec![vcpu, answer, 1, 2, 3, outcome])
            }
            80..=83 => {
                let intid = 30 + self.random.below(6);
                let kind = self.random.below(4);
                let priority = self.random.pick(&[0xa0, 0xa0, 0, 0xff, 256]);
                (Call::VcpuInject, vec![vcpu, intid, kind, priority])
            }
            84 | 85 => (Call::PageInfo, vec![pa]),
            86 => (
                Call::PageCensus,
                vec![self.random.below(10) * 256, n % 6 * 512],
            ),
            87 => (Call::EngineDoorbell, vec![self.random.below(20)]),
            88 => (Call::EngineInfo, vec![self.random.below(13)]),
            89 => (
                Call::StatsRead,
                vec![
                    core,
                    self.random
                        .pick(&[0, 5, 20, 21, 0x100, 0x13f, 0x140, 0x400, 0x41f, 0x420]),
                ],
            ),
            90 => (Call::TraceRead, vec![core, self.random.below(50)]),
            91..=93 => {
                self.plan_list(vm);
                (Call::PageInfo, vec![pa])
            }
            _ => (Call::CpuRun, vec![self.random.pick(&[500, 5_000])]),
        }
    }

    /// A list of pages for VM_MAP_LIST is written, and then the call made.
    pub(super) fn plan_list(&mut self, vm: u64) {
        let cpu = self.cpu();
        let list = self.first_page + self.random.below(self.host_pages().min(24)) * PAGE;
        let entries = 1 + self.random.below(5);
        self.plan
            .push(Deed::call(cpu, Call::VmMapList, &[vm, list, entries]));
        for entry in 0..entries {
            let page = self.first_page + self.random.below(self.host_pages()) * PAGE;
            let page = if self.random.one_in(8) {
                self.pa()
            } else {
                page
            };
            let ipa = RAM + self.random.below(40) * PAGE;
            let ipa = if self.random.one_in(8) {
                self.ipa()
            } else {
                ipa
            };
            let bits = self.access_bits();
            let at = list + 16 * entry;
            for (address, value) in [(at, page), (at + 8, ipa & !0xfff | bits)] {
                self.plan.push(Deed::Store {
                    cpu,
                    address,
                    value,
                });
            }
        }
    }
}
