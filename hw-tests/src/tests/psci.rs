//! PSCI of guests answers as the standard says, and a refused call changes nothing (DEN0022 5).
//!
//! Scenario 26: two CPU_ONs for one vCPU, or a third state.

use crate::{
    guest::{CODE, MMIO, Program, RAM, RAM_SIZE},
    outcome::{TestResult, check, check_eq, refused},
    puppet::{self, Reply},
    random::Random,
    runner::register,
    vm::{TestVm, run},
};
use abi::{ExitReason, Status, VcpuHandle, psci};
use el1::call;

register!(
    "psci": turning_oneself_on_changes_nothing,
    cpu_on_checks_its_arguments,
    cpu_on_is_pending_until_enqueued,
    answers_of_version_and_features,
    affinity_info_checks_its_arguments,
    cpu_off_and_on_again,
    system_off_and_reset,
    smc_is_as_good_as_hvc,
);

fn cpu_on(vcpu: VcpuHandle, target: u64, entry: u64, context: u64) -> TestResult<Reply> {
    puppet::hvc(vcpu, [psci::CPU_ON_64, target, entry, context])
}

fn affinity(vcpu: VcpuHandle, target: u64, level: u64) -> TestResult<i64> {
    Ok(puppet::hvc(vcpu, [psci::AFFINITY_INFO_64, target, level, 0])?.status())
}

/// Turns the second vCPU on and lets it ask for its first step.
fn bring_second(vm: &TestVm, context: u64) -> TestResult {
    let reply = cpu_on(vm.vcpus[0], 1, Program::Puppet.entry(), context)?;
    check_eq!(reply.status(), psci::SUCCESS, "CPU_ON");
    let exits = &reply.exits;
    check!(
        exits.len() == 1
            && exits[0].reason == Some(ExitReason::VcpuOn)
            && exits[0].details[0] == vm.vcpus[1].raw(),
        "exits of CPU_ON {exits:x?}"
    );
    vm.enqueue(1)?;
    let reply = puppet::collect(vm.vcpus[1])?;
    check_eq!(
        reply.x,
        [context, 0, 0, 0],
        "registers that the second vCPU starts with"
    );
    Ok(())
}

fn turning_oneself_on_changes_nothing(_: &mut Random) -> TestResult {
    let vm = puppet::start(2)?;
    let first = vm.vcpus[0];
    for (entry, context) in [(Program::Puppet.entry(), 7), (CODE, 0), (RAM, u64::MAX)] {
        let reply = cpu_on(first, 0, entry, context)?;
        check_eq!(
            reply.x,
            [psci::ALREADY_ON as u64, 0, entry, context],
            "registers after"
        );
        check_eq!(reply.exits, [], "exits");
        check_eq!(affinity(first, 0, 0)?, psci::AFFINITY_ON, "own state");
        check_eq!(
            affinity(first, 1, 0)?,
            psci::AFFINITY_OFF,
            "the other's state"
        );
    }
    vm.destroy()
}

fn cpu_on_checks_its_arguments(_: &mut Random) -> TestResult {
    let vm = puppet::start(2)?;
    let first = vm.vcpus[0];
    let entry = Program::Puppet.entry();
    for target in [2, 0x100, 1 << 24, 1 << 40, u64::MAX] {
        let status = cpu_on(first, target, entry, 0)?.status();
        check_eq!(status, psci::INVALID_PARAMETERS, "CPU_ON of {target:#x}");
    }
    for entry in [0, MMIO, RAM - 4, RAM + RAM_SIZE, entry | 2, u64::MAX & !3] {
        let status = cpu_on(first, 1, entry, 0)?.status();
        check_eq!(status, psci::INVALID_ADDRESS, "CPU_ON at {entry:#x}");
    }
    check_eq!(
        affinity(first, 1, 0)?,
        psci::AFFINITY_OFF,
        "state after refusals"
    );
    bring_second(&vm, 0x77)?;
    vm.destroy()
}

fn cpu_on_is_pending_until_enqueued(_: &mut Random) -> TestResult {
    let vm = puppet::start(2)?;
    let (first, entry) = (vm.vcpus[0], Program::Puppet.entry());
    refused(
        "VCPU_ENQUEUE of a vCPU that is off",
        call::vcpu_enqueue(vm.vcpus[1], 0),
        Status::BadState,
    )?;
    check_eq!(
        cpu_on(first, 1, entry, 1)?.status(),
        psci::SUCCESS,
        "first CPU_ON"
    );
    check_eq!(
        affinity(first, 1, 0)?,
        psci::AFFINITY_ON_PENDING,
        "before it is queued"
    );
    let again = cpu_on(first, 1, entry, 2)?;
    check_eq!(again.status(), psci::ON_PENDING, "second CPU_ON");
    check_eq!(again.exits, [], "exits of the second CPU_ON");
    vm.enqueue(1)?;
    check_eq!(
        affinity(first, 1, 0)?,
        psci::AFFINITY_ON,
        "once it is queued"
    );
    let third = cpu_on(first, 1, entry, 3)?;
    check_eq!(third.status(), psci::ALREADY_ON, "third CPU_ON");
    vm.destroy()
}

fn answers_of_version_and_features(_: &mut Random) -> TestResult {
    let vm = puppet::start(1)?;
    let ask = |x0, x1| Ok(puppet::hvc(vm.vcpus[0], [x0, x1, 0, 0])?.status());
    check_eq!(
        ask(psci::VERSION, 0)?,
        psci::VERSION_1_1 as i64,
        "PSCI_VERSION"
    );
    let kind = ask(psci::MIGRATE_INFO_TYPE, 0)?;
    check_eq!(kind, psci::MIGRATION_NOT_REQUIRED, "MIGRATE_INFO_TYPE");
    for function in [
        psci::VERSION,
        psci::CPU_SUSPEND_64,
        psci::CPU_OFF,
        psci::CPU_ON,
        psci::CPU_ON_64,
        psci::AFFINITY_INFO_64,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
    ] {
        check_eq!(
            ask(psci::FEATURES, function)?,
            psci::SUCCESS,
            "feature {function:#x}"
        );
    }
    for function in [
        0x8400_0005,
        0x8400_0007,
        psci::SYSTEM_SUSPEND_64,
        0x8400_0060,
    ] {
        let answer = ask(psci::FEATURES, function)?;
        check_eq!(answer, psci::NOT_SUPPORTED, "feature {function:#x}");
    }
    vm.destroy()
}

fn affinity_info_checks_its_arguments(_: &mut Random) -> TestResult {
    let vm = puppet::start(2)?;
    let ask = |target, level| affinity(vm.vcpus[0], target, level);
    check_eq!(ask(1, 0)?, psci::AFFINITY_OFF, "second vCPU");
    check_eq!(ask(0, 1)?, psci::AFFINITY_ON, "group of both");
    for (target, level) in [(2, 0), (0x100, 1), (0, 4), (1 << 31, 0), (u64::MAX, 0)] {
        let answer = ask(target, level)?;
        check_eq!(
            answer,
            psci::INVALID_PARAMETERS,
            "AFFINITY_INFO {target:#x} {level}"
        );
    }
    vm.destroy()
}

fn cpu_off_and_on_again(_: &mut Random) -> TestResult {
    let vm = puppet::start(2)?;
    let (first, second) = (vm.vcpus[0], vm.vcpus[1]);
    for round in 0..3 {
        bring_second(&vm, 0x100 + round)?;
        check_eq!(affinity(first, 1, 0)?, psci::AFFINITY_ON, "state once on");
        puppet::give(second, [psci::CPU_OFF, 0, 0, 0])?;
        let exit = run()?;
        check_eq!(exit.reason, Some(ExitReason::VcpuOff), "exit of CPU_OFF");
        check_eq!(exit.vcpu, second, "vCPU of CPU_OFF");
        check_eq!(affinity(first, 1, 0)?, psci::AFFINITY_OFF, "state once off");
        refused(
            "VCPU_ENQUEUE",
            call::vcpu_enqueue(second, 0),
            Status::BadState,
        )?;
    }
    vm.destroy()
}

fn system_off_and_reset(_: &mut Random) -> TestResult {
    for (function, reason) in [
        (psci::SYSTEM_OFF, ExitReason::SystemOff),
        (psci::SYSTEM_RESET, ExitReason::SystemReset),
    ] {
        let vm = puppet::start(1)?;
        puppet::give(vm.vcpus[0], [function, 0, 0, 0])?;
        let exit = run()?;
        check_eq!(
            (exit.reason, exit.vcpu),
            (Some(reason), vm.vcpus[0]),
            "exit"
        );
        check_eq!(exit.details, [0; 7], "details");
        vm.destroy()?;
    }
    Ok(())
}

fn smc_is_as_good_as_hvc(_: &mut Random) -> TestResult {
    let vm = puppet::start(1)?;
    let by_smc = puppet::smc(vm.vcpus[0], [psci::VERSION, 1, 2])?;
    let by_hvc = puppet::hvc(vm.vcpus[0], [psci::VERSION, 1, 2, 3])?;
    check_eq!(
        by_smc.x[..3],
        [psci::VERSION_1_1, 1, 2],
        "x0 to x2 of PSCI_VERSION"
    );
    check_eq!(
        by_hvc.x,
        [psci::VERSION_1_1, 1, 2, 3],
        "x0 to x3 of PSCI_VERSION"
    );
    check_eq!(
        (by_smc.exits, by_hvc.exits),
        Default::default(),
        "exits of PSCI_VERSION"
    );
    let own_call = puppet::hvc(vm.vcpus[0], [abi::call::VM_CREATE, 1, 0, 0])?;
    check_eq!(own_call.status(), -1, "a host's call from a guest");
    check_eq!(own_call.exits, [], "exits of a host's call");
    vm.destroy()
}
