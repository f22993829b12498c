//! Calls about VMs and vCPUs in states that do not allow them, with stale and forged handles, and
//! with arguments out of range: the documented status, and nothing changes.
//!
//! Scenario 9: a vCPU that is not complete. Scenario 18: a mapping added to a dying VM.

use crate::{
    guest::{CODE, DATA, HOLE, LOAD, MMIO, Program, RAM, RAM_SIZE, STORE},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    refusal::{BAD_HANDLE, BAD_STATE, OUT_OF_RANGE, RIGHTS, check_refused, forged},
    runner::register,
    vm::{TestVm, insist, run, take_patterned},
};
use abi::{Call, ExitReason, InfoIndex, Outcome, Status, VcpuHandle, limit};
use el1::{PAGE, call, pages};

register!("vcpu_arguments": life_of_a_vm, vcpu_calls, vcpu_answers);

/// Calls in a state that does not allow them, up to the last: a VM that is dying.
fn life_of_a_vm(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let own = take_patterned(1, PAGE)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    let (h, most) = (vm.handle.raw(), limit::RECLAIM_PAGES as u64);
    for stale in forged(h) {
        check_refused(&[
            (Call::VmStart, &[stale], BAD_HANDLE),
            (Call::VmDestroy, &[stale], BAD_HANDLE),
            (Call::VmReclaim, &[stale, 1], BAD_HANDLE),
        ])?;
    }
    check_refused(&[
        (Call::VmStart, &[h], BAD_STATE),
        (Call::VcpuCreate, &[h, 1, CODE, 0], BAD_STATE),
        (Call::VmReclaim, &[h, 1], BAD_STATE),
        (Call::VmReclaim, &[h, 0], OUT_OF_RANGE),
        (Call::VmReclaim, &[h, most + 1], OUT_OF_RANGE),
    ])?;
    call::vm_destroy(vm.handle).or_fail("VM_DESTROY")?;
    let vcpu = vm.vcpus[0].raw();
    check_refused(&[
        (Call::VmMap, &[h, own, HOLE, 1, RIGHTS], BAD_STATE),
        (Call::VmMapList, &[h, own, 1], BAD_STATE),
        (Call::VmLend, &[h, own, HOLE, 1, RIGHTS], BAD_STATE),
        (Call::VmUnlend, &[h, HOLE, 1], BAD_STATE),
        (Call::VmStart, &[h], BAD_STATE),
        (Call::VcpuCreate, &[h, 1, CODE, 0], BAD_STATE),
        (Call::VcpuEnqueue, &[vcpu, 0], BAD_STATE),
        (Call::VcpuRespond, &[vcpu, 0, 0, 0, 0, 0], BAD_STATE),
        (Call::VcpuInject, &[vcpu, 40, 0, 0], BAD_STATE),
    ])?;
    // SAFETY: every call was refused: the page is still ours.
    unsafe { pages::give(own, 1) };
    vm.destroy()
}

fn vcpu_calls(_: &mut Random) -> TestResult {
    let cpus = call::engine_info(InfoIndex::Cpus).or_fail("ENGINE_INFO")?;
    let mut vm = TestVm::create(2)?;
    vm.put_code(Program::Puppet)?;
    vm.add_vcpu(3, CODE)?;
    let (h, create) = (vm.handle.raw(), Call::VcpuCreate);
    let v = vm.vcpus[0].raw();
    check_refused(&[
        (create, &[forged(h)[0], 1, CODE, 0], BAD_HANDLE),
        (create, &[h, 1 << 24, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1 << 31, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1 << 40, CODE, 0], OUT_OF_RANGE),
        (create, &[h, u64::MAX, CODE, 0], OUT_OF_RANGE),
        (create, &[h, 1, CODE + 2, 0], OUT_OF_RANGE),
        (create, &[h, 1, MMIO, 0], OUT_OF_RANGE),
        (create, &[h, 1, RAM + RAM_SIZE, 0], OUT_OF_RANGE),
        (create, &[h, 1, u64::MAX & !3, 0], OUT_OF_RANGE),
        // The affinity of the one that is there.
        (create, &[h, 3, CODE, 0], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, 0], BAD_STATE),
        (Call::VcpuInject, &[v, 40, 0, 0], BAD_STATE),
        (Call::VcpuRespond, &[v, 0, 0, 0, 0, 0], BAD_STATE),
    ])?;
    vm.add_vcpu(4, CODE)?;
    check_refused(&[(create, &[h, 5, CODE, 0], &[Status::Limit])])?;
    vm.start()?;
    for stale in forged(v) {
        check_refused(&[
            (Call::VcpuEnqueue, &[stale, 0], BAD_HANDLE),
            (Call::VcpuDequeue, &[stale], BAD_HANDLE),
            (Call::VcpuRespond, &[stale, 0, 0, 0, 0, 0], BAD_HANDLE),
            (Call::VcpuInject, &[stale, 40, 0, 0], BAD_HANDLE),
        ])?;
    }
    let off = vm.vcpus[1].raw();
    check_refused(&[
        (Call::VcpuEnqueue, &[v, cpus], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, u64::MAX], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[v, 1 << 16], OUT_OF_RANGE),
        (Call::VcpuEnqueue, &[off, 0], BAD_STATE),
        (Call::VcpuDequeue, &[v], BAD_STATE),
        (Call::VcpuDequeue, &[off], BAD_STATE),
        (Call::VcpuInject, &[v, 0, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 31, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 1020, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 1 << 32 | 40, 0, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 40, 3, 0], OUT_OF_RANGE),
        (Call::VcpuInject, &[v, 40, 0, 256], OUT_OF_RANGE),
    ])?;
    // Once queued it is queued: a second time only moves it.
    vm.enqueue(0)?;
    vm.enqueue(0)?;
    insist(|| call::vcpu_dequeue(vm.vcpus[0])).or_fail("VCPU_DEQUEUE")?;
    check_refused(&[(Call::VcpuDequeue, &[v], BAD_STATE)])?;
    vm.destroy()
}

/// Answers that nobody waits for, and answers to a RAM fault, which never get through.
fn vcpu_answers(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu: VcpuHandle = vm.vcpus[0];
    let (v, respond) = (vcpu.raw(), Call::VcpuRespond);
    check_refused(&[
        (respond, &[v, 0, 0, 0, 0, 2], OUT_OF_RANGE),
        (respond, &[v, 0, 0, 0, 0, u64::MAX], OUT_OF_RANGE),
        // A forwarded call can't end in an abort.
        (respond, &[v, 0, 0, 0, 0, Outcome::Abort.raw()], BAD_STATE),
        // What waits for an answer can't be queued.
        (Call::VcpuEnqueue, &[v, 0], BAD_STATE),
    ])?;
    puppet::give(vcpu, [LOAD, HOLE, 0, 0])?;
    check_refused(&[(respond, &[v, 0, 0, 0, 0, 0], BAD_STATE)])?;
    let exit = run()?;
    check_eq!(exit.reason, Some(ExitReason::RamFault), "exit of the load");
    check_refused(&[
        (respond, &[v, 0x5555, 0, 0, 0, 0], BAD_STATE),
        (respond, &[v, 0x5555, 0, 0, 0, 1], BAD_STATE),
    ])?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, HOLE, 1)?;
    let reply = puppet::collect(vcpu)?;
    check!(
        reply.x[0] != 0x5555,
        "the host's answer to a RAM fault got through"
    );

    // A device's answers: a value, then an abort, for a load and for a store.
    puppet::give(vcpu, [LOAD, MMIO, 0, 0])?;
    check_eq!(
        run()?.reason,
        Some(ExitReason::MmioRead),
        "exit of a device's load"
    );
    insist(|| call::vcpu_respond(vcpu, [77, 0, 0, 0], Outcome::Complete)).or_fail("answer")?;
    check_eq!(puppet::collect(vcpu)?.x[0], 77, "the device's value");
    puppet::give(vcpu, [LOAD, MMIO, 0, 0])?;
    check_eq!(
        run()?.reason,
        Some(ExitReason::MmioRead),
        "exit of a device's load"
    );
    insist(|| call::vcpu_respond(vcpu, [77, 0, 0, 0], Outcome::Abort)).or_fail("abort")?;
    let reply = puppet::collect(vcpu)?;
    check!(
        reply.is_external_abort() && reply.far == MMIO,
        "abort of a load {reply:x?}"
    );
    puppet::give(vcpu, [STORE, MMIO + 8, 5, 0])?;
    let exit = run()?;
    check_eq!(
        exit.reason,
        Some(ExitReason::MmioWrite),
        "exit of a device's store"
    );
    check_eq!(exit.details[..3], [MMIO + 8, 8, 5], "details of the store");
    insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort)).or_fail("abort")?;
    let reply = puppet::collect(vcpu)?;
    check!(
        reply.is_external_abort() && reply.far == MMIO + 8,
        "abort of a store {reply:x?}"
    );
    vm.destroy()
}
