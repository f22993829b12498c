//! The host's own traps: PSCI, calls to the firmware, devices.

use crate::common::{PAGE, machine, start};
use abi::{Call, psci, smccc};
use engine::host::Next;
use engine::sim::{Config, Machine};

#[test]
fn psci_of_the_host() {
    let machine = machine();
    let call = |cpu, x| {
        let (x, next) = machine.host_smc(cpu, x);
        assert_eq!(next, Next::Resume);
        x[0] as i64
    };
    assert_eq!(call(0, [psci::VERSION, 0, 0, 0]), psci::VERSION_1_1 as i64);
    // A core that turns itself on, or one that is on, is told so; one that is none, otherwise.
    for target in [0, 1] {
        assert_eq!(
            call(0, [psci::CPU_ON_64, target, 0x4800_0000, 0]),
            psci::ALREADY_ON
        );
    }
    for target in [2, 1 << 8, u64::MAX] {
        assert_eq!(
            call(0, [psci::CPU_ON_64, target, 0, 0]),
            psci::INVALID_PARAMETERS
        );
    }
    assert_eq!(
        call(0, [psci::AFFINITY_INFO_64, 1, 0, 0]),
        psci::AFFINITY_ON
    );
    let (_, next) = machine.host_smc(1, [psci::CPU_OFF, 0, 0, 0]);
    assert_eq!(next, Next::Park);
    assert_eq!(
        call(0, [psci::AFFINITY_INFO_64, 1, 0, 0]),
        psci::AFFINITY_OFF
    );
    assert_eq!(call(0, [psci::CPU_ON_64, 1, 0x4800_0000, 9]), psci::SUCCESS);
    assert_eq!(
        call(0, [psci::CPU_ON_64, 1, 0x4800_0000, 9]),
        psci::ON_PENDING
    );
    assert_eq!(
        machine.host_smc(0, [psci::SYSTEM_OFF, 0, 0, 0]).1,
        Next::SystemOff
    );
}

/// A core that never came up is not waited for.
#[test]
fn an_absent_core_is_not_turned_on() {
    let machine = Machine::new(Config {
        cpus: 3,
        missing: 1,
        ..Config::default()
    });
    for _ in 0..2 {
        let (x, _) = machine.host_smc(0, [psci::CPU_ON_64, 2, 0x4800_0000, 9]);
        assert_eq!(x[0] as i64, psci::INTERNAL_FAILURE);
        let (x, _) = machine.host_smc(1, [psci::AFFINITY_INFO_64, 2, 0, 0]);
        assert_eq!(x[0] as i64, psci::AFFINITY_OFF);
    }
}

#[test]
fn a_core_with_queued_vcpus_stays_on() {
    let machine = machine();
    let guest = start(&machine, 1);
    let (x, next) = machine.host_smc(0, [psci::CPU_OFF, 0, 0, 0]);
    assert_eq!((x[0] as i64, next), (psci::DENIED, Next::Resume));
    machine.call(0, Call::VcpuDequeue, &[guest.vcpus[0]]).ok();
    assert_eq!(machine.host_smc(0, [psci::CPU_OFF, 0, 0, 0]).1, Next::Park);
}

#[test]
fn other_calls_to_the_firmware_are_refused() {
    let machine = machine();
    // FF-A memory sharing, a standard service, a vendor's, and the engine's own by the wrong way.
    for function in [
        0x8400_0073,
        0xc400_0071,
        0x8200_0000,
        0xc300_0001,
        abi::call::VM_CREATE,
    ] {
        let (x, next) = machine.host_smc(0, [function, 1, 2, 3]);
        assert_eq!((x[0] as i64, next), (smccc::NOT_SUPPORTED, Next::Resume));
        assert_eq!(x[1..], [1, 2, 3]);
    }
}

#[test]
fn devices_are_the_host_s() {
    let machine = machine();
    for address in [0x0900_0000, 0x0900_0018, 0x0800_0000, 0x10_0000_0000] {
        assert_eq!(machine.host_load(1, address), Ok(0));
        machine.host_store(0, address).unwrap();
    }
    let end = 0x4000_0000 + machine.config().ram_pages * PAGE;
    assert_eq!(machine.host_load(0, end), Ok(0));
}
