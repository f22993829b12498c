//! One step at a time: a call or an access of a core, or more for a guest to do.

use super::world::{CPUS, World};
use crate::common::{GICR, RAM, RAM_SIZE};
use abi::{Call, Status, VmShape};
use engine::sim::Want;
use std::sync::{Arc, Mutex};

/// One call of any core that is in none.
fn one_call(shared: &Arc<Mutex<World>>, may_run: bool) {
    let (machine, cpu, call, arguments) = {
        let mut world = shared.lock().unwrap();
        let (mut call, mut arguments) = world.any_call();
        if call == Call::CpuRun && !may_run {
            (call, arguments) = (Call::PageInfo, vec![0]);
        }
        if let (true, Some((vm, ipa))) = (world.random.one_in(8), world.faults.pop()) {
            (call, arguments) = (Call::VmMap, vec![vm, world.pa(), ipa, 1, 7]);
        }
        let free = (0..CPUS)
            .filter(|cpu| world.machine.is_free(*cpu))
            .collect::<Vec<_>>();
        if free.is_empty() {
            return;
        }
        let cpu = world.random.pick(&free);
        (world.machine.clone(), cpu, call, arguments)
    };
    if std::env::var_os("BULKHEAD_TRACE").is_some() {
        eprintln!("core {cpu}: {} {arguments:x?}", call.name());
    }
    let reply = machine.call(cpu, call, &arguments);
    if std::env::var_os("BULKHEAD_TRACE").is_some() {
        eprintln!(
            "core {cpu}: {} is {:?} {:x?}",
            call.name(),
            reply.status,
            &reply.x[..5]
        );
    }
    shared
        .lock()
        .unwrap()
        .learn(call, &arguments, reply.status, &reply.x);
}

fn one_access(shared: &Arc<Mutex<World>>) {
    let (machine, cpu, address, want) = {
        let mut world = shared.lock().unwrap();
        let address = world.pa() & !0xfff | world.random.pick(&[0, 56, 2048, 4088]);
        let want = world
            .random
            .pick(&[Want::Load, Want::Store, Want::Store, Want::Fetch]);
        let free = (0..CPUS)
            .filter(|cpu| world.machine.is_free(*cpu))
            .collect::<Vec<_>>();
        if free.is_empty() || address >> 40 != 0 {
            return;
        }
        let cpu = world.random.pick(&free);
        (world.machine.clone(), cpu, address, want)
    };
    let _ = machine.host_access(cpu, address, want);
}

/// What another core does while a guest runs.
pub(super) fn step_elsewhere(shared: &Arc<Mutex<World>>) {
    let access = shared.lock().unwrap().random.one_in(2);
    if access {
        one_access(shared)
    } else {
        one_call(shared, false)
    }
}

/// A VM with vCPUs, pages and, mostly, a start.
fn raise_vm(shared: &Arc<Mutex<World>>) {
    let machine = shared.lock().unwrap().machine.clone();
    let call = |call: Call, arguments: &[u64]| {
        let reply = machine.call(0, call, arguments);
        shared
            .lock()
            .unwrap()
            .learn(call, arguments, reply.status, &reply.x);
        (reply.status == Status::Success).then_some(reply.x[0])
    };
    let shape = VmShape {
        vcpus: 3,
        ipa_bits: 36,
        lendable: 0b11,
    };
    let create = [shape.raw(), GICR, RAM, RAM_SIZE, 0, 0];
    let Some(vm) = call(Call::VmCreate, &create) else {
        return;
    };
    let vcpus: Vec<_> = (0..2)
        .filter_map(|index| call(Call::VcpuCreate, &[vm, index, RAM, 0]))
        .collect();
    let (pa, n) = {
        let mut world = shared.lock().unwrap();
        (world.pa(), 1 + world.random.below(24))
    };
    call(Call::VmMap, &[vm, pa, RAM, n, 7]);
    if shared.lock().unwrap().random.one_in(4) {
        return;
    }
    call(Call::VmStart, &[vm]);
    for vcpu in vcpus {
        let cpu = shared.lock().unwrap().random.below(CPUS as u64);
        call(Call::VcpuEnqueue, &[vcpu, cpu]);
    }
}

pub(super) fn one_step(shared: &Arc<Mutex<World>>) {
    let lonely = shared.lock().unwrap().live.len() < 2;
    if lonely && shared.lock().unwrap().random.one_in(4) {
        return raise_vm(shared);
    }
    let choice = shared.lock().unwrap().random.below(10);
    match choice {
        0..=5 => one_call(shared, true),
        6 | 7 => one_access(shared),
        _ => {
            let mut world = shared.lock().unwrap();
            let (vm, affinity) = (world.vm(), world.random.below(3));
            let count = 1 + world.random.below(6);
            let ops: Vec<_> = (0..count).map(|_| world.any_guest_op(shared)).collect();
            if vm != 0 {
                world.machine.script(vm, affinity, ops);
            }
        }
    }
}

/// Everything ends, and nothing is lost.
pub(super) fn finish(shared: &Arc<Mutex<World>>) {
    let (machine, vms) = {
        let world = shared.lock().unwrap();
        (world.machine.clone(), world.vms.clone())
    };
    for vm in vms {
        machine.call(0, Call::VmDestroy, &[vm]);
        for turn in 0..3000 {
            let reply = machine.call_unchecked(turn % CPUS, Call::VmReclaim, &[vm, 64]);
            if reply.status != Status::Success || reply.x[1] == 1 {
                break;
            }
            assert!(turn < 2999, "VM {vm:#x} never ends");
        }
    }
    let [.., vm, shared_pages, claimed, poisoned] = crate::common::census(&machine);
    assert_eq!([vm, shared_pages, claimed], [0; 3]);
    assert_eq!(poisoned, shared.lock().unwrap().poisoned);
}
