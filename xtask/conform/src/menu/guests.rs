//! What a guest does when its core enters it, and what another core does meanwhile.

use abi::{Call, psci, smccc};
use engine::sim::Portrait;
use engine::sim::machine::Machine;
use engine::vm::life::Phase;
use percpu::Residence;

use super::memory::IPAS;
use super::{BUDGET, BYTE, DEVICE, Handles, Menu, PAGE, Topic};
use crate::deed::{Act, Deed};
use crate::random::{GICR, RAM};

/// What the vCPU that its core would enter next does, and what another core does meanwhile.
pub(super) fn guests(
    menu: &mut Menu,
    machine: &Machine,
    seen: &Portrait,
    vms: &Handles,
    vcpus: &Handles,
) {
    let call = |function: u64, a: u64, b: u64| Act::Hvc([function, a, b, 0, 0, 0, 0]);
    for vcpu in &seen.vcpus {
        let Residence::Queued(cpu) = vcpu.residence else {
            continue;
        };
        let is_running = seen
            .vms
            .get(usize::from(vcpu.vm))
            .is_some_and(|vm| vm.phase == Phase::Running);
        if !is_running {
            continue;
        }
        let cpu = cpu.index();
        let does = |acts: Vec<Act>| {
            vec![
                Deed::Script {
                    vm: vcpu.vm,
                    affinity: vcpu.mpidr,
                    acts,
                },
                Deed::call(cpu, Call::CpuRun, &[BUDGET]),
                Deed::Idle,
            ]
        };
        for ipa in IPAS.into_iter().chain([RAM + 2 * PAGE, RAM + 8]) {
            for function in [
                smccc::KVM_MEM_SHARE,
                smccc::KVM_MEM_UNSHARE,
                smccc::KVM_MEM_RELINQUISH,
            ] {
                menu.add(Topic::Guest, does(vec![call(function, ipa, 0)]));
            }
        }
        menu.add(
            Topic::Telling,
            does(vec![call(smccc::KVM_MEM_SHARE, RAM, 1)]),
        );
        for ipa in IPAS {
            menu.add(Topic::Guest, does(vec![Act::Load(ipa)]));
            menu.add(Topic::Content, does(vec![Act::Store(ipa, 2)]));
            menu.add(Topic::Guest, does(vec![Act::Fetch(ipa)]));
        }
        for act in [
            Act::Load(DEVICE),
            Act::LoadPart(DEVICE, BYTE),
            Act::Store(DEVICE, 3),
            call(0xc600_0090, 1, 2),
            call(psci::CPU_ON_64, 0, RAM),
            call(psci::CPU_ON_64, 1, RAM),
            call(psci::CPU_ON_64, 1, RAM + 2),
            call(psci::CPU_ON_64, 3, RAM),
            call(psci::CPU_OFF, 0, 0),
            call(psci::SYSTEM_OFF, 0, 0),
            call(psci::CPU_SUSPEND_64, 0, 0),
            Act::Wfi,
            Act::SError,
        ] {
            menu.add(Topic::Power, does(vec![act]));
        }
        for act in [
            Act::Load(GICR),
            Act::StorePart(DEVICE, BYTE, 0x1234),
            Act::LoadPair(DEVICE),
            Act::Fetch(DEVICE),
            call(psci::VERSION, 0, 0),
            call(psci::FEATURES, psci::CPU_ON_64, 0),
            call(psci::AFFINITY_INFO_64, 0, 0),
            call(psci::AFFINITY_INFO_64, 1, 0),
            call(0x8000_0000, 0, 0),
            call(0x8000_0001, 0x8000_8000, 0),
            call(0x8600_ff01, 0, 0),
            call(0x8600_0000, 0, 0),
            call(0xc600_0002, 0, 0),
            call(0x8400_0050, 0, 0),
            call(0xc600_0100, 0, 0),
            Act::Smc([psci::VERSION, 0, 0, 0, 0, 0, 0]),
        ] {
            menu.add(Topic::Telling, does(vec![act]));
        }
        // To all others, to both of the first two, to itself.
        for value in [1 << 40 | 3 << 24, 3 << 24 | 0b11, 4 << 24 | 1 << vcpu.mpidr] {
            menu.add(Topic::Interrupts, does(vec![Act::Sgi(value)]));
        }
        // The other core, while this one is inside.
        let other = 1 - cpu.min(1);
        let meanwhile = |call: Call, arguments: &[u64]| {
            does(vec![Act::Elsewhere(Box::new(Deed::call(
                other, call, arguments,
            )))])
        };
        for vm in &vms.live {
            for (call, arguments) in [
                (Call::VmDestroy, vec![*vm]),
                (Call::VmReclaim, vec![*vm, 512]),
                (Call::VmStart, vec![*vm]),
                (Call::VmMap, vec![*vm, machine.host_page(0), RAM, 1, 7]),
                (Call::VmLend, vec![*vm, machine.host_page(1), RAM, 1, 7]),
                (Call::VmUnlend, vec![*vm, RAM, 1]),
            ] {
                menu.add(Topic::Meanwhile, meanwhile(call, &arguments));
            }
        }
        for vcpu in &vcpus.live {
            for (call, arguments) in [
                (Call::VcpuEnqueue, vec![*vcpu, other as u64]),
                (Call::VcpuDequeue, vec![*vcpu]),
                (Call::VcpuRespond, vec![*vcpu, 0, 0, 0, 0, 0]),
                (Call::VcpuInject, vec![*vcpu, 32, 0, 0xa0]),
                (Call::CpuRun, vec![BUDGET]),
            ] {
                menu.add(Topic::Meanwhile, meanwhile(call, &arguments));
            }
        }
    }
}
