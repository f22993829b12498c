//! Calls about vCPUs, calls that tell, and what the host does beside its calls.

use abi::{Call, psci};
use engine::sim::machine::Machine;

use super::memory::addresses;
use super::{BUDGET, Handles, Menu, PAGE, Topic};
use crate::deed::Deed;
use crate::random::RAM;

pub(super) fn vcpu_calls(menu: &mut Menu, vms: &Handles, vcpus: &Handles) {
    for vm in vms.all() {
        for affinity in [0, 1] {
            menu.call(Topic::Vcpu, Call::VcpuCreate, &[vm, affinity, RAM, 5]);
        }
    }
    let vm = vms.some();
    for (affinity, entry) in [(1 << 31, RAM), (0, RAM + 2), (0, RAM + 2 * PAGE), (0, 0)] {
        menu.call(Topic::Telling, Call::VcpuCreate, &[vm, affinity, entry, 5]);
    }
    for vcpu in vcpus.all() {
        for cpu in [0, 1, 2, u64::MAX] {
            menu.call(Topic::Vcpu, Call::VcpuEnqueue, &[vcpu, cpu]);
        }
        menu.call(Topic::Vcpu, Call::VcpuDequeue, &[vcpu]);
        for outcome in [0, 1, 2] {
            menu.call(
                Topic::Power,
                Call::VcpuRespond,
                &[vcpu, 0xfedc_ba98_7654_3210, 1, 2, 3, outcome],
            );
        }
        for kind in [0, 1, 2] {
            menu.call(Topic::Interrupts, Call::VcpuInject, &[vcpu, 32, kind, 0xa0]);
        }
    }
    let vcpu = vcpus.some();
    for (intid, kind, priority) in [(31, 0, 0), (1020, 0, 0), (40, 3, 0), (40, 0, 256)] {
        menu.call(
            Topic::Telling,
            Call::VcpuInject,
            &[vcpu, intid, kind, priority],
        );
    }
    for cpu in [0, 1] {
        menu.add(Topic::Vcpu, vec![Deed::call(cpu, Call::CpuRun, &[BUDGET])]);
    }
}

pub(super) fn telling_calls(menu: &mut Menu, machine: &Machine) {
    let (host, wrong) = addresses(machine);
    for pa in host.iter().chain(&wrong) {
        menu.call(Topic::Telling, Call::PageInfo, &[*pa]);
    }
    for index in 0..12 {
        menu.call(Topic::Telling, Call::EngineInfo, &[index]);
    }
    for (first, n) in [(0, 512), (0, 0), (512, 512), (1, 512), (0, 511), (0, 2049)] {
        menu.call(Topic::Telling, Call::PageCensus, &[first, n]);
    }
    for cpu in [0, 1, 2] {
        menu.call(Topic::Telling, Call::TraceRead, &[cpu, 0]);
        for counter in [0, 20, 21, 0x100, 0x140, 0x400, 0x420] {
            menu.call(Topic::Telling, Call::StatsRead, &[cpu, counter]);
        }
    }
    menu.call(Topic::Cores, Call::EngineDoorbell, &[3]);
    menu.call(Topic::Telling, Call::EngineDoorbell, &[16]);
    for (imm, x0) in [
        (1, Call::EngineInfo.function_id()),
        (0, 0xc600_01ff),
        (0, 0x8000_0000),
        (0, 0x8600_ff01),
    ] {
        let mut x = [7; 7];
        x[0] = x0;
        menu.add(Topic::Telling, vec![Deed::Hvc { cpu: 0, imm, x }]);
    }
}

pub(super) fn hosts_own(menu: &mut Menu, machine: &Machine) {
    let (host, wrong) = addresses(machine);
    for address in host.iter().chain(&wrong[1..4]) {
        menu.add(
            Topic::Telling,
            vec![Deed::Load {
                cpu: 1,
                address: *address,
            }],
        );
    }
    for address in &host {
        menu.add(
            Topic::Content,
            vec![Deed::Store {
                cpu: 1,
                address: *address,
                value: 1,
            }],
        );
        menu.add(
            Topic::Hidden,
            vec![Deed::Break {
                page: address >> 12,
            }],
        );
    }
    let smc = |x: [u64; 4]| vec![Deed::Smc { cpu: 1, x }];
    menu.add(Topic::Cores, smc([psci::CPU_OFF, 0, 0, 0]));
    let on = Deed::Smc {
        cpu: 0,
        x: [psci::CPU_ON_64, 1, 0, 5],
    };
    menu.add(Topic::Cores, vec![on]);
    menu.add(Topic::Cores, vec![Deed::Begin { cpu: 1 }]);
    for x in [
        [psci::VERSION, 0, 0, 0],
        [psci::CPU_ON_64, 0, 0, 0],
        [psci::CPU_ON_64, 2, 0, 0],
        [psci::CPU_ON_64, 1, 2, 0],
        [psci::AFFINITY_INFO_64, 1, 0, 0],
        [psci::AFFINITY_INFO_64, 1, 4, 0],
        [psci::CPU_SUSPEND_64, 0, 0, 0],
        [psci::CPU_SUSPEND_64, 1 << 16, 2, 0],
        [0x8000_0001, 0x8000_8000, 0, 0],
        [0xc600_0100, 0, 0, 0],
    ] {
        menu.add(Topic::Telling, smc(x));
    }
}
