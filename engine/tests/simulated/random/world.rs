//! What the host knows and what it tries next: mostly handles and pages that exist, few enough of them
//! to meet again.

use super::steps::step_elsewhere;
use crate::common::{GICR, PAGE, RAM, RAM_SIZE};
use abi::{Call, ExitReason, Status, VmShape, psci, smccc};
use engine::sim::{Config, GuestOp, Machine};
use std::sync::{Arc, Mutex};

/// SplitMix64.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What the host knows.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) random: Random,
    /// Handles, stale ones included; 0 first.
    pub(super) vms: Vec<u64>,
    /// Handles of VMs that nobody has destroyed, and of those that somebody has.
    pub(super) live: Vec<u64>,
    dying: Vec<u64>,
    vcpus: Vec<u64>,
    /// Guest pages that faulted: VM and IPA.
    pub(super) faults: Vec<(u64, u64)>,
    pub(super) poisoned: u64,
}

pub(super) const CPUS: usize = 3;
const RAM_PAGES: u64 = 2048;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut config = Config {
            cpus: CPUS,
            vms: 3,
            vcpus: 6,
            seed,
            ..Config::default()
        };
        config.features.tlb_range = random.one_in(2);
        config.features.repeat_tlbi = random.one_in(2);
        config.features.pa_bits = random.pick(&[36, 40, 42, 48]);
        config.pool_pages = random.pick(&[56, 120]);
        config.ram_pages = RAM_PAGES;
        let machine = Machine::new(config);
        let (vms, vcpus) = (vec![0], vec![0]);
        Self {
            machine,
            random,
            vms,
            vcpus,
            live: Vec::new(),
            dying: Vec::new(),
            faults: Vec::new(),
            poisoned: 0,
        }
    }

    /// A physical address: mostly a page of the host's, few enough of them to meet again.
    pub(super) fn pa(&mut self) -> u64 {
        let near = self.random.below(64);
        let host = self.machine.host_page(near);
        match self.random.below(16) {
            0 => self.machine.host_page(0) & !0xfff | self.random.below(4096),
            1 => self
                .random
                .pick(&[0, 0x0900_0000, 0x4000_0000, 0x4000_8000, u64::MAX, 1 << 52]),
            2 | 3 => 0x4000_0000 + self.random.below(4) * (2 << 20),
            4..=7 => self.machine.host_page(self.random.clone().below(1850)),
            _ => host,
        }
    }

    pub(super) fn ipa(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self
                .random
                .pick(&[0, GICR, RAM - PAGE, RAM + RAM_SIZE, u64::MAX, RAM + 8]),
            1..=3 => RAM + self.random.below(8) * (2 << 20),
            4 => RAM + self.random.below(RAM_SIZE / PAGE) * PAGE,
            _ => RAM + self.random.below(24) * PAGE,
        }
    }

    pub(super) fn pages(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self.random.pick(&[0, 513, u64::MAX]),
            1 | 2 => 512,
            3 | 4 => 1 + self.random.below(100),
            _ => 1 + self.random.below(4),
        }
    }

    pub(super) fn vm(&mut self) -> u64 {
        if self.live.is_empty() || self.random.one_in(16) {
            let any = self.vms.clone();
            return self.random.pick(&any);
        }
        let live = self.live.clone();
        self.random.pick(&live)
    }

    pub(super) fn dying_vm(&mut self) -> u64 {
        if self.dying.is_empty() || self.random.one_in(16) {
            return self.vm();
        }
        let dying = self.dying.clone();
        self.random.pick(&dying)
    }

    pub(super) fn vcpu(&mut self) -> u64 {
        let recent = self
            .vcpus
            .len()
            .saturating_sub(if self.random.one_in(10) { 50 } else { 6 });
        let recent = self.vcpus[recent..].to_vec();
        self.random.pick(&recent)
    }

    pub(super) fn access_bits(&mut self) -> u64 {
        if self.random.one_in(12) {
            self.random.below(10)
        } else {
            self.random.pick(&[1, 3, 7, 7])
        }
    }

    /// A call with its arguments.
    pub(super) fn any_call(&mut self) -> (Call, Vec<u64>) {
        let (vm, vcpu, cpu) = (self.vm(), self.vcpu(), self.random.below(CPUS as u64));
        let (pa, ipa, n) = (self.pa(), self.ipa(), self.pages());
        let bits = self.access_bits();
        match self.random.below(100) {
            0..=3 => {
                let shape = VmShape {
                    vcpus: 1 + self.random.below(3) as u16,
                    ipa_bits: 36,
                    lendable: 0b11,
                };
                (Call::VmCreate, vec![shape.raw(), GICR, RAM, RAM_SIZE, 0, 0])
            }
            4..=9 => (Call::VcpuCreate, vec![vm, self.random.below(3), RAM, 0]),
            10..=14 => (Call::VmStart, vec![vm]),
            15..=22 => (Call::VcpuEnqueue, vec![vcpu, cpu]),
            23..=25 => (Call::VcpuDequeue, vec![vcpu]),
            26..=45 => (Call::VmMap, vec![vm, pa, ipa, n, bits]),
            46..=53 => (Call::VmLend, vec![vm, pa, ipa, n, bits]),
            54..=59 => (Call::VmUnlend, vec![vm, ipa, n]),
            60..=64 => (Call::EngineDonate, vec![pa, n.min(64)]),
            65..=67 => (Call::EngineReclaim, vec![1 + self.random.below(16)]),
            68 if self.poisoned < 10 => (Call::PagePoison, vec![pa]),
            69 => (Call::VmDestroy, vec![vm]),
            70..=80 => (
                Call::VmReclaim,
                vec![self.dying_vm(), 1 + self.random.below(512)],
            ),
            81..=83 => {
                let outcome = self.random.below(3);
                (
                    Call::VcpuRespond,
                    vec![vcpu, self.random.next(), 0, 0, 0, outcome],
                )
            }
            84..=86 => (
                Call::VcpuInject,
                vec![vcpu, 30 + self.random.below(10), outcome_of(n), 0xa0],
            ),
            87 => (Call::PageInfo, vec![pa]),
            88 => (
                Call::PageCensus,
                vec![self.random.below(10) * 512, n % 6 * 512],
            ),
            89 => (Call::EngineDoorbell, vec![self.random.below(20)]),
            _ => (Call::CpuRun, vec![5_000]),
        }
    }

    pub(super) fn any_guest_op(&mut self, shared: &Arc<Mutex<World>>) -> GuestOp {
        let address = self.ipa() & !0xfff | self.random.pick(&[0, 56, 2048, 4088]);
        let page = self.ipa();
        let call = |function: u64, argument: u64| GuestOp::Hvc([function, argument, 0, 0, 0, 0, 0]);
        match self.random.below(24) {
            0..=6 => GuestOp::Store(address),
            7..=12 => GuestOp::Load(address),
            13 => GuestOp::Fetch(address),
            14 => GuestOp::LoadPair(address),
            15 => call(smccc::KVM_MEM_SHARE, page),
            16 => call(smccc::KVM_MEM_UNSHARE, page),
            17 => call(smccc::KVM_MEM_RELINQUISH, page),
            18 => {
                let target = self.random.below(4);
                GuestOp::Hvc([psci::CPU_ON_64, target, RAM, 5, 0, 0, 0])
            }
            19 => call(
                self.random
                    .clone()
                    .pick(&[psci::CPU_OFF, psci::VERSION, 0xc600_0090]),
                0,
            ),
            20 => GuestOp::Wfi,
            _ => {
                let shared = shared.clone();
                GuestOp::Elsewhere(Box::new(move || step_elsewhere(&shared)))
            }
        }
    }

    /// Remembers what a call told.
    pub(super) fn learn(&mut self, call: Call, arguments: &[u64], status: Status, x: &[u64]) {
        if status != Status::Success {
            return;
        }
        match call {
            Call::VmCreate => {
                self.machine
                    .sim()
                    .drop_scripts(engine::sim::machine::vmid_of(x[0]));
                self.vms.push(x[0]);
                self.live.push(x[0]);
            }
            Call::VcpuCreate => self.vcpus.push(x[0]),
            Call::VmDestroy => {
                self.live.retain(|vm| *vm != arguments[0]);
                if !self.dying.contains(&arguments[0]) {
                    self.dying.push(arguments[0]);
                }
            }
            Call::VmReclaim if x[1] == 1 => self.dying.retain(|vm| *vm != arguments[0]),
            Call::PagePoison => self.poisoned += 1,
            Call::CpuRun => match ExitReason::from_raw(x[0]).expect("a reason") {
                ExitReason::RamFault => {
                    let vm = self.vm();
                    self.faults.push((vm, x[2]));
                }
                ExitReason::VcpuOn => self.vcpus.push(x[2]),
                _ => {}
            },
            _ => {}
        }
    }
}

const fn outcome_of(n: u64) -> u64 {
    n % 4
}
