//! A VM to try things on.

use abi::{Call, ExitReason, MapAttrs, Status, VmShape};
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

/// Makes a batch's calls until `n` pages are done, or one says why not more: how many, and why not. `arguments` are
/// those of a call for so many pages behind the first ones.
#[track_caller]
pub fn in_full<const N: usize>(
    machine: &Machine,
    call: Call,
    n: u64,
    arguments: impl Fn(u64, u64) -> [u64; N],
) -> (u64, i64) {
    let mut done = 0;
    while done < n {
        // What is wrong is found at the end too.
        let reply = machine.call_unchecked(0, call, &arguments(done, n - done));
        if reply.status != Status::Success {
            return (done, reply.status.raw());
        }
        assert!(reply.x[0] > 0, "a call that does nothing");
        done += reply.x[0];
        if reply.x[1] != 0 {
            return (done, reply.x[1] as i64);
        }
    }
    machine.call(0, Call::EngineInfo, &[0]).ok();
    (done, 0)
}

/// VM_MAP of `n` pages at `pa`.
#[track_caller]
pub fn map_run(machine: &Machine, vm: u64, pa: u64, ipa: u64, n: u64) -> (u64, i64) {
    in_full(machine, Call::VmMap, n, |done, left| {
        [vm, pa + done * PAGE, ipa + done * PAGE, left, RWX]
    })
}

/// ENGINE_DONATE of `n` pages at `pa`.
#[track_caller]
pub fn donate(machine: &Machine, pa: u64, n: u64) -> (u64, i64) {
    in_full(machine, Call::EngineDonate, n, |done, left| {
        [pa + done * PAGE, left]
    })
}

/// Maps `n` host pages from the `index`-th on at `ipa`.
#[track_caller]
pub fn map(machine: &Machine, guest: &Guest, index: u64, ipa: u64, n: u64) {
    let done = map_run(machine, guest.vm, machine.host_page(index), ipa, n);
    assert_eq!(done, (n, 0));
}

/// ENGINE_RECLAIM until nothing comes: the pages.
pub fn take_back(machine: &Machine) -> Vec<u64> {
    let mut home = Vec::new();
    loop {
        let reply = machine.call(1, Call::EngineReclaim, &[16]);
        match reply.ok() {
            0 => return home,
            n => home.extend(&reply.x[1..=n as usize]),
        }
    }
}

/// PAGE_CENSUS of all pages.
pub fn census(machine: &Machine) -> [u64; 8] {
    let pages = machine.config().ram_pages;
    let (mut first, mut total) = (0, [0; 8]);
    while first < pages {
        let reply = machine.call_unchecked(0, Call::PageCensus, &[first, 2048]);
        assert!(reply.ok() > 0);
        first += reply.x[0];
        for (sum, count) in total.iter_mut().zip(&reply.x[1..9]) {
            *sum += count;
        }
    }
    total
}

/// VM_RECLAIM on these cores in turn until so many pages are done.
pub fn reclaim_some(machine: &Machine, vm: u64, cpus: usize, pages: u64) {
    let mut done = 0;
    for turn in 0.. {
        if done >= pages {
            return;
        }
        let reply = machine.call_unchecked(turn % cpus, Call::VmReclaim, &[vm, pages - done]);
        done += reply.ok();
        assert!(turn < 10_000 && reply.x[1] == 0, "{done} of {pages} pages");
    }
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
