//! One step of an input: a call or an access of a core, or more for a guest to do.

use abi::{ARGUMENT_REGISTERS, Call, Status, VmShape, psci};
use engine::host::Next;
use engine::sim::{Want, check, content};
use std::sync::{Arc, Mutex, MutexGuard};

use super::raw::hvc;
use super::world::{CPUS, GICR, RAM, RAM_SIZE, World, kinds};

/// What a register holds that the host has not set.
const UNSET: u64 = 0xdead_0000_0000_0000;

fn lock(shared: &Arc<Mutex<World>>) -> MutexGuard<'_, World> {
    shared.lock().expect("nobody panicked")
}

/// Makes a call whose first arguments are these.
fn call(shared: &Arc<Mutex<World>>, cpu: usize, call: Call, arguments: &[u64]) -> [u64; 18] {
    let mut x = [UNSET; 18];
    x[0] = call.function_id();
    x[1..=ARGUMENT_REGISTERS].fill(0);
    x[1..=arguments.len()].copy_from_slice(arguments);
    let machine = lock(shared).machine.clone();
    let x = hvc(&machine, cpu, 0, x);
    lock(shared).learn(call, &x);
    x
}

/// One step; `may_run`: outside of a guest's.
pub fn step(shared: &Arc<Mutex<World>>, may_run: bool) {
    let (op, cpu) = {
        let mut world = lock(shared);
        if world.bytes.is_empty() || world.steps == 0 {
            return;
        }
        world.steps -= 1;
        let op = world.bytes.byte();
        let Some(cpu) = world.free_cpu(op >> 5) else {
            return;
        };
        (op & 31, cpu)
    };
    match op {
        0..=22 => known_call(shared, cpu, Call::ALL[usize::from(op)], may_run),
        23 => unknown_call(shared, cpu),
        24 | 25 => access(shared, cpu),
        26 | 27 => script(shared),
        28 => raise(shared, cpu),
        29 => end(shared, cpu),
        30 => smc(shared, cpu),
        _ => weather(shared, cpu),
    }
}

fn known_call(shared: &Arc<Mutex<World>>, cpu: usize, which: Call, may_run: bool) {
    let (which, arguments) = {
        let mut world = lock(shared);
        let is_run = which == Call::CpuRun && !may_run;
        // Pages that nobody has again are few.
        let is_poison = which == Call::PagePoison && world.poisoned > 3;
        let which = if is_run || is_poison {
            Call::PageInfo
        } else {
            which
        };
        let arguments: Vec<u64> = kinds(which)
            .iter()
            .map(|kind| world.argument(*kind))
            .collect();
        (which, arguments)
    };
    if which == Call::VmMapList {
        write_list(shared, cpu, arguments[1], arguments[2]);
    }
    call(shared, cpu, which, &arguments);
}

/// The list that VM_MAP_LIST reads: pages of the host's, some of them twice.
fn write_list(shared: &Arc<Mutex<World>>, cpu: usize, list: u64, pages: u64) {
    if !list.is_multiple_of(4096) || list >> 40 != 0 {
        return;
    }
    for index in 0..pages.min(6) {
        let (machine, pa) = {
            let mut world = lock(shared);
            let pa = world.pa();
            (world.machine.clone(), pa)
        };
        // A value that looks as if it said who wrote it would be taken at its word.
        let entry = if content::origin(pa).is_some() {
            !pa
        } else {
            pa
        };
        let _ = machine.host_store_raw(cpu, list + index * 8, entry);
    }
}

/// What is no call of the engine's, or one by another immediate or function identifier.
fn unknown_call(shared: &Arc<Mutex<World>>, cpu: usize) {
    let (machine, imm, x) = {
        let mut world = lock(shared);
        let bytes = &mut world.bytes;
        let (choice, function) = (bytes.byte(), bytes.byte());
        let own = Call::ALL[usize::from(function) % Call::ALL.len()].function_id();
        let (imm, function) = match choice % 6 {
            0 => (1 << (choice >> 4), own),
            1 => (0, 0x8000_0000 | u64::from(function)),
            2 => (0, 0x8600_ff00 | u64::from(function)),
            3 => (0, own ^ 1 << (30 + choice % 2)),
            4 => (0, bytes.word().into()),
            _ => (bytes.half(), bytes.word().into()),
        };
        let mut x = std::array::from_fn(|index| UNSET | index as u64);
        x[0] = function;
        (world.machine.clone(), imm, x)
    };
    // A call after all.
    if imm == 0 && Call::from_function_id(x[0] & 0xffff_ffff).is_some() {
        return;
    }
    hvc(&machine, cpu, imm, x);
}

fn access(shared: &Arc<Mutex<World>>, cpu: usize) {
    let (machine, address, want) = {
        let mut world = lock(shared);
        let address = world.pa();
        let choice = world.bytes.byte();
        let place = [0, 56, 2048, 4088][usize::from(choice >> 2 & 3)];
        let want = [Want::Load, Want::Store, Want::Store, Want::Fetch][usize::from(choice & 3)];
        (world.machine.clone(), address & !0xfff | place, want)
    };
    if address >> 40 == 0 {
        let _ = machine.host_access(cpu, address, want);
    }
}

/// More for a guest to do.
fn script(shared: &Arc<Mutex<World>>) {
    let mut world = lock(shared);
    let vm = world.vm();
    let choice = world.bytes.byte();
    let count = 1 + (choice >> 2) % 8;
    let ops: Vec<_> = (0..count).map(|_| world.guest_op(shared)).collect();
    if vm != 0 {
        world.machine.script(vm, u64::from(choice & 3), ops);
    }
}

/// A VM with vCPUs and pages, and mostly a start.
fn raise(shared: &Arc<Mutex<World>>, cpu: usize) {
    let (choice, pa, pages) = {
        let mut world = lock(shared);
        let (choice, pa) = (world.bytes.byte(), world.pa());
        (choice, pa, 1 + u64::from(choice >> 3 & 7) * 2)
    };
    let shape = VmShape {
        vcpus: 3,
        ipa_bits: 36,
        lendable: 0b11,
    };
    let made = call(
        shared,
        cpu,
        Call::VmCreate,
        &[shape.raw(), GICR, RAM, RAM_SIZE, 0, 0],
    );
    if made[0] as i64 != Status::Success.raw() {
        return;
    }
    let vm = made[1];
    let mut vcpus = Vec::new();
    for index in 0..u64::from(choice & 1) + 1 {
        let made = call(shared, cpu, Call::VcpuCreate, &[vm, index, RAM, 0]);
        if made[0] as i64 == Status::Success.raw() {
            vcpus.push(made[1]);
        }
    }
    call(shared, cpu, Call::VmMap, &[vm, pa, RAM, pages, 7]);
    if choice & 6 == 6 {
        return;
    }
    call(shared, cpu, Call::VmStart, &[vm]);
    for vcpu in vcpus {
        let target = u64::from(choice >> 6) % CPUS as u64;
        call(shared, cpu, Call::VcpuEnqueue, &[vcpu, target]);
    }
}

/// A VM dies, and some or all of its pages come home.
fn end(shared: &Arc<Mutex<World>>, cpu: usize) {
    let (vm, turns) = {
        let mut world = lock(shared);
        let vm = world.vm();
        (vm, world.bytes.byte() % 8)
    };
    call(shared, cpu, Call::VmDestroy, &[vm]);
    for _ in 0..turns {
        let reclaimed = call(shared, cpu, Call::VmReclaim, &[vm, 64]);
        if reclaimed[0] as i64 != Status::Success.raw() || reclaimed[2] == 1 {
            return;
        }
    }
}

/// An SMC of the host: PSCI, or anything.
fn smc(shared: &Arc<Mutex<World>>, cpu: usize) {
    let (machine, x) = {
        let mut world = lock(shared);
        let bytes = &mut world.bytes;
        let function = match bytes.byte() {
            choice @ 0..=127 => {
                let functions = [
                    psci::CPU_ON_64,
                    psci::AFFINITY_INFO_64,
                    psci::FEATURES,
                    psci::VERSION,
                ];
                functions[usize::from(choice) % functions.len()]
            }
            128..=135 => psci::CPU_OFF,
            _ => bytes.word().into(),
        };
        let target = u64::from(bytes.byte() % 4);
        (world.machine.clone(), [function, target, 0x5000_0000, 7])
    };
    // The last core stays.
    if x[0] == psci::CPU_OFF && lock(shared).off.len() + 1 >= CPUS {
        return;
    }
    let (_, next) = machine.host_smc(cpu, x);
    check::assert_all(&machine, &|| format!("SMC {x:x?} on core {cpu}"));
    match next {
        Next::Resume | Next::SystemOff | Next::SystemReset => {}
        Next::Park => lock(shared).off.push(cpu),
    }
}

/// What happens by itself: time passes, an interrupt comes or goes, a late store lands.
fn weather(shared: &Arc<Mutex<World>>, cpu: usize) {
    let mut world = lock(shared);
    let choice = world.bytes.byte();
    let sim = world.machine.sim();
    match choice % 4 {
        0 => sim.advance(1 << (choice >> 3)),
        1 => sim.set_interrupt(cpu, choice & 4 != 0),
        2 => sim.land_late_stores(),
        _ => {
            // Areas that rested may become blocks at the next calls.
            sim.advance(1 << 21);
            let machine = world.machine.clone();
            drop(world);
            for _ in 0..4 {
                machine.call_unchecked(cpu, Call::EngineInfo, &[0]).ok();
            }
        }
    }
}
