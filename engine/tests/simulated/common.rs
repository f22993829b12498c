//! A VM to try things on.

use abi::{Call, ExitReason, MapAttrs, VmShape};
use engine::sim::{Config, GuestOp, Machine, Seen};

/// First address of a VM's memory.
pub const RAM: u64 = 0x8000_0000;
/// Its size.
pub const RAM_SIZE: u64 = 16 << 20;
/// Its redistributors.
pub const GICR: u64 = 0x0800_0000;
/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Loads, stores and fetches.
pub const RWX: u64 = MapAttrs::READ.bits() | MapAttrs::WRITE.bits() | MapAttrs::EXECUTE.bits();
/// Budget of a run that waits for nothing.
pub const SHORT: u64 = 100_000;

/// The usual machine.
pub fn machine() -> Machine {
    Machine::new(Config::default())
}

/// Arguments of VM_CREATE for the usual VM.
pub fn shape(vcpus: u16) -> [u64; 6] {
    [
        VmShape {
            vcpus,
            ipa_bits: 36,
            lendable: 0b11,
        }
        .raw(),
        GICR,
        RAM,
        RAM_SIZE,
        0,
        0,
    ]
}

/// A VM's handle, and those of its vCPUs, whose affinities are 0 and up.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Handle.
    pub vm: u64,
    /// Handles.
    pub vcpus: Vec<u64>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// Whose.
    pub vcpu: u64,
    /// Details.
    pub d: [u64; 3],
}

/// A new VM in phase Building.
#[track_caller]
pub fn build(machine: &Machine, vcpus: u16) -> Guest {
    let vm = machine.call(0, Call::VmCreate, &shape(vcpus)).ok();
    machine
        .sim()
        .drop_scripts(engine::sim::machine::vmid_of(vm));
    let create = |index| machine.call(0, Call::VcpuCreate, &[vm, index, RAM, 7]).ok();
    Guest {
        vm,
        vcpus: (0..u64::from(vcpus)).map(create).collect(),
    }
}

/// A running VM whose first vCPU is on core 0's queue.
#[track_caller]
pub fn start(machine: &Machine, vcpus: u16) -> Guest {
    let guest = build(machine, vcpus);
    machine.call(0, Call::VmStart, &[guest.vm]).ok();
    machine
        .call(0, Call::VcpuEnqueue, &[guest.vcpus[0], 0])
        .ok();
    guest
}

/// Maps `n` host pages from the `index`-th on at `ipa`.
#[track_caller]
pub fn map(machine: &Machine, guest: &Guest, index: u64, ipa: u64, n: u64) {
    let reply = machine.call(
        0,
        Call::VmMap,
        &[guest.vm, machine.host_page(index), ipa, n, RWX],
    );
    assert_eq!((reply.ok(), reply.x[1]), (n, 0));
}

/// Runs a core's queue.
#[track_caller]
pub fn run(machine: &Machine, cpu: usize) -> Exit {
    let reply = machine.call(cpu, Call::CpuRun, &[SHORT]);
    let reason = ExitReason::from_raw(reply.ok()).unwrap();
    Exit {
        reason,
        vcpu: reply.x[1],
        d: [reply.x[2], reply.x[3], reply.x[4]],
    }
}

/// Has the first vCPU, which is on core 0, do these; what it saw. Nothing may need the host.
#[track_caller]
pub fn play(machine: &Machine, guest: &Guest, ops: impl IntoIterator<Item = GuestOp>) -> Vec<Seen> {
    machine.script(guest.vm, 0, ops);
    let exit = run(machine, 0);
    assert_eq!(exit.reason, ExitReason::Budget, "{exit:x?}");
    machine
        .log(guest.vm, 0)
        .into_iter()
        .filter(|seen| *seen != Seen::Done)
        .collect()
}

/// Has the first vCPU make a call about one of its pages, which is done without the host.
#[track_caller]
pub fn page_call(machine: &Machine, guest: &Guest, function: u64, ipa: u64) {
    let seen = play(machine, guest, [hvc(function, &[ipa])]);
    assert_eq!(seen, [Seen::Returned([0; 4])]);
}

/// Destroys a VM and brings everything home.
#[track_caller]
pub fn bury(machine: &Machine, vm: u64, cpus: usize) -> u64 {
    let reply = machine.call(0, Call::VmDestroy, &[vm]);
    assert_eq!(reply.ok(), 0);
    let mut home = 0;
    for turn in 0.. {
        let reply = machine.call(turn % cpus, Call::VmReclaim, &[vm, 64]);
        home += reply.ok();
        if reply.x[1] == 1 {
            break;
        }
        assert!(turn < 10_000, "the VM never ends");
    }
    home
}

/// Time passes, and every core comes to the engine: areas of the host's that rested become blocks.
pub fn let_rest(machine: &Machine) {
    machine.sim().advance(1 << 21);
    for cpu in (0..machine.config().cpus).cycle().take(64) {
        machine.call_unchecked(cpu, Call::EngineInfo, &[0]).ok();
    }
    machine.call(0, Call::EngineInfo, &[0]).ok();
}

/// The function identifier and arguments of a guest's call.
pub fn hvc(function: u64, arguments: &[u64]) -> GuestOp {
    let mut x = [0; 7];
    x[0] = function;
    x[1..=arguments.len()].copy_from_slice(arguments);
    GuestOp::Hvc(x)
}
