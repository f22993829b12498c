//! What guests are to do: accesses and calls, mostly where they have pages.

use abi::{Call, psci, smccc};
use engine::sim::Shape;

use super::{DEVICE, PAGE, RAM, World};
use crate::deed::{Act, Deed};

impl World {
    pub(super) fn script(&mut self) -> Deed {
        let vm = (self.vm() & 0xffff) % self.config.vms as u64;
        let affinity = self.random.pick(&[0, 0, 0, 1, 2]);
        if self.random.one_in(2) {
            let cpu = self.cpu();
            self.plan.push(Deed::call(cpu, Call::CpuRun, &[5_000]));
        }
        self.script_of(vm as u16, affinity)
    }

    pub(super) fn script_of(&mut self, vm: u16, affinity: u64) -> Deed {
        let mut acts: Vec<Act> = (0..2 + self.random.below(6)).map(|_| self.act()).collect();
        if affinity == 0 && self.random.one_in(6) {
            // Most of what vCPUs do to each other needs two that are on.
            acts[0] = Act::Hvc([psci::CPU_ON_64, 1, RAM, 5, 0, 0, 0]);
        }
        Deed::Script { vm, affinity, acts }
    }

    pub(super) fn act(&mut self) -> Act {
        let address = self.ipa() & ((1 << 36) - 1) & !0xfff;
        let address = address | self.random.pick(&[0, 8, 56, 2048, 4088]);
        // Mostly where there is a page.
        let page = RAM + self.random.below(16) * PAGE;
        let page = if self.random.one_in(4) {
            self.ipa()
        } else {
            page
        };
        let address = if self.random.one_in(3) {
            page & ((1 << 36) - 1) & !0xfff | address & 0xfff
        } else {
            address
        };
        let value = 1 + self.random.below(1 << 30);
        let call = |function: u64, argument: u64| Act::Hvc([function, argument, 0, 0, 0, 0, 0]);
        match self.random.below(30) {
            27..=29 => Act::Sgi(self.sgi()),
            0..=5 => Act::Store(address, value),
            6..=9 => Act::Load(address),
            10 => Act::LoadPart(DEVICE + 8 * self.random.below(4), self.part()),
            11 => {
                let value = self.random.next();
                Act::StorePart(DEVICE + 8 * self.random.below(4), self.part(), value)
            }
            12 => Act::Fetch(address),
            13 => Act::LoadPair(address),
            14 | 15 => call(smccc::KVM_MEM_SHARE, page),
            16 | 17 => call(smccc::KVM_MEM_UNSHARE, page),
            18 | 19 => call(smccc::KVM_MEM_RELINQUISH, page),
            20 => {
                let target = self.random.below(3);
                let entry = self.random.pick(&[RAM, RAM + 4, RAM + 2, 0]);
                Act::Hvc([psci::CPU_ON_64, target, entry, 5, 0, 0, 0])
            }
            21 => {
                let function = self.random.pick(&[
                    psci::CPU_OFF,
                    psci::VERSION,
                    psci::FEATURES,
                    psci::AFFINITY_INFO_64,
                    psci::SYSTEM_OFF,
                    psci::CPU_SUSPEND_64,
                    0xc600_0090,
                    0xc600_0090,
                    0x8000_0000,
                    0x8000_0001,
                    0x8600_ff01,
                    0x8600_0000,
                    0xc600_0002,
                    0x8400_0050,
                    0xc600_0100,
                ]);
                let argument = self.random.pick(&[0, 1, psci::CPU_ON_64, 0x8000_8000]);
                let x = [function, argument, 0, self.random.below(2), value, 6, 7];
                if self.random.one_in(3) {
                    Act::Smc(x)
                } else {
                    Act::Hvc(x)
                }
            }
            22 => Act::Wfi,
            23 if self.random.one_in(6) => Act::SError,
            _ => {
                let cpu = self.cpu();
                let deed = match self.random.below(4) {
                    0 => self.access(cpu),
                    _ => {
                        let (call, arguments) = self.any_call();
                        if call == Call::CpuRun {
                            Deed::call(cpu, Call::PageInfo, &[0])
                        } else {
                            Deed::call(cpu, call, &arguments)
                        }
                    }
                };
                Act::Elsewhere(Box::new(deed))
            }
        }
    }

    /// A write of ICC_SGI1R_EL1: mostly to all others, or to some of those whose affinity is a small number.
    fn sgi(&mut self) -> u64 {
        let intid = self.random.below(16) << 24;
        intid
            | match self.random.below(8) {
                0..=3 => 1 << 40,
                4..=6 => self.random.below(16),
                _ => {
                    let bit = self.random.below(56);
                    1 << bit | self.random.below(8)
                }
            }
    }

    pub(super) fn part(&mut self) -> Shape {
        Shape {
            size: self.random.below(4) as u8,
            signed: self.random.one_in(2),
            wide: self.random.one_in(2),
        }
    }
}
