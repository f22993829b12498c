//! Random calls as register values, random accesses of the host and of guests, on several cores in
//! turns, some of them while a guest runs; every invariant is checked after each.
//!
//! `BULKHEAD_SEED=n` repeats one run, `BULKHEAD_STEPS=n` changes its length.

use crate::common::{GICR, PAGE, RAM, RAM_SIZE};
use abi::{Call, ExitReason, Status, VmShape, psci, smccc};
use engine::sim::{Config, GuestOp, Machine, Want};
use std::sync::{Arc, Mutex};

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What the host knows.
struct World {
    machine: Machine,
    random: Random,
    /// Handles, stale ones included; 0 first.
    vms: Vec<u64>,
    /// Handles of VMs that nobody has destroyed, and of those that somebody has.
    live: Vec<u64>,
    dying: Vec<u64>,
    vcpus: Vec<u64>,
    /// Guest pages that faulted: VM and IPA.
    faults: Vec<(u64, u64)>,
    poisoned: u64,
}

const CPUS: usize = 3;
const RAM_PAGES: u64 = 2048;

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut config = Config {
            cpus: CPUS,
            vms: 3,
            vcpus: 6,
            seed,
            ..Config::default()
        };
        config.features.tlb_range = random.one_in(2);
        config.features.repeat_tlbi = random.one_in(2);
        config.features.pa_bits = random.pick(&[36, 40, 42, 48]);
        config.pool_pages = random.pick(&[56, 120]);
        config.ram_pages = RAM_PAGES;
        let machine = Machine::new(config);
        let (vms, vcpus) = (vec![0], vec![0]);
        Self {
            machine,
            random,
            vms,
            vcpus,
            live: Vec::new(),
            dying: Vec::new(),
            faults: Vec::new(),
            poisoned: 0,
        }
    }

    /// A physical address: mostly a page of the host's, few enough of them to meet again.
    fn pa(&mut self) -> u64 {
        let near = self.random.below(64);
        let host = self.machine.host_page(near);
        match self.random.below(16) {
            0 => self.machine.host_page(0) & !0xfff | self.random.below(4096),
            1 => self
                .random
                .pick(&[0, 0x0900_0000, 0x4000_0000, 0x4000_8000, u64::MAX, 1 << 52]),
            2 | 3 => 0x4000_0000 + self.random.below(4) * (2 << 20),
            4..=7 => self.machine.host_page(self.random.clone().below(1850)),
            _ => host,
        }
    }

    fn ipa(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self
                .random
                .pick(&[0, GICR, RAM - PAGE, RAM + RAM_SIZE, u64::MAX, RAM + 8]),
            1..=3 => RAM + self.random.below(8) * (2 << 20),
            4 => RAM + self.random.below(RAM_SIZE / PAGE) * PAGE,
            _ => RAM + self.random.below(24) * PAGE,
        }
    }

    fn pages(&mut self) -> u64 {
        match self.random.below(16) {
            0 => self.random.pick(&[0, 513, u64::MAX]),
            1 | 2 => 512,
            3 | 4 => 1 + self.random.below(100),
            _ => 1 + self.random.below(4),
        }
    }

    fn vm(&mut self) -> u64 {
        if self.live.is_empty() || self.random.one_in(16) {
            let any = self.vms.clone();
            return self.random.pick(&any);
        }
        let live = self.live.clone();
        self.random.pick(&live)
    }

    fn dying_vm(&mut self) -> u64 {
        if self.dying.is_empty() || self.random.one_in(16) {
            return self.vm();
        }
        let dying = self.dying.clone();
        self.random.pick(&dying)
    }

    fn vcpu(&mut self) -> u64 {
        let recent = self
            .vcpus
            .len()
            .saturating_sub(if self.random.one_in(10) { 50 } else { 6 });
        let recent = self.vcpus[recent..].to_vec();
        self.random.pick(&recent)
    }

    fn access_bits(&mut self) -> u64 {
        if self.random.one_in(12) {
            self.random.below(10)
        } else {
            self.random.pick(&[1, 3, 7, 7])
        }
    }

    /// A call with its arguments.
    fn any_call(&mut self) -> (Call, Vec<u64>) {
        let (vm, vcpu, cpu) = (self.vm(), self.vcpu(), self.random.below(CPUS as u64));
        let (pa, ipa, n) = (self.pa(), self.ipa(), self.pages());
        let bits = self.access_bits();
        match self.random.below(100) {
            0..=3 => {
                let shape = VmShape {
                    vcpus: 1 + self.random.below(3) as u16,
                    ipa_bits: 36,
                    lendable: 0b11,
                };
                (Call::VmCreate, vec![shape.raw(), GICR, RAM, RAM_SIZE, 0, 0])
            }
            4..=9 => (Call::VcpuCreate, vec![vm, self.random.below(3), RAM, 0]),
            10..=14 => (Call::VmStart, vec![vm]),
            15..=22 => (Call::VcpuEnqueue, vec![vcpu, cpu]),
            23..=25 => (Call::VcpuDequeue, vec![vcpu]),
            26..=45 => (Call::VmMap, vec![vm, pa, ipa, n, bits]),
            46..=53 => (Call::VmLend, vec![vm, pa, ipa, n, bits]),
            54..=59 => (Call::VmUnlend, vec![vm, ipa, n]),
            60..=64 => (Call::EngineDonate, vec![pa, n.min(64)]),
            65..=67 => (Call::EngineReclaim, vec![1 + self.random.below(16)]),
            68 if self.poisoned < 10 => (Call::PagePoison, vec![pa]),
            69 => (Call::VmDestroy, vec![vm]),
            70..=80 => (
                Call::VmReclaim,
                vec![self.dying_vm(), 1 + self.random.below(64)],
            ),
            81..=83 => {
                let outcome = self.random.below(3);
                (
                    Call::VcpuRespond,
                    vec![vcpu, self.random.next(), 0, 0, 0, outcome],
                )
            }
            84..=86 => (
                Call::VcpuInject,
                vec![vcpu, 30 + self.random.below(10), outcome_of(n), 0xa0],
            ),
            87 => (Call::PageInfo, vec![pa]),
            88 => (Call::PageCensus, vec![self.random.below(5000), n]),
            89 => (Call::EngineDoorbell, vec![self.random.below(20)]),
            _ => (Call::CpuRun, vec![5_000]),
        }
    }

    fn any_guest_op(&mut self, shared: &Arc<Mutex<World>>) -> GuestOp {
        let address = self.ipa() & !0xfff | self.random.pick(&[0, 56, 2048, 4088]);
        let page = self.ipa();
        let call = |function: u64, argument: u64| GuestOp::Hvc([function, argument, 0, 0, 0, 0, 0]);
        match self.random.below(24) {
            0..=6 => GuestOp::Store(address),
            7..=12 => GuestOp::Load(address),
            13 => GuestOp::Fetch(address),
            14 => GuestOp::LoadPair(address),
            15 => call(smccc::KVM_MEM_SHARE, page),
            16 => call(smccc::KVM_MEM_UNSHARE, page),
            17 => call(smccc::KVM_MEM_RELINQUISH, page),
            18 => {
                let target = self.random.below(4);
                GuestOp::Hvc([psci::CPU_ON_64, target, RAM, 5, 0, 0, 0])
            }
            19 => call(
                self.random
                    .clone()
                    .pick(&[psci::CPU_OFF, psci::VERSION, 0xc600_0090]),
                0,
            ),
            20 => GuestOp::Wfi,
            _ => {
                let shared = shared.clone();
                GuestOp::Elsewhere(Box::new(move || step_elsewhere(&shared)))
            }
        }
    }

    /// Remembers what a call told.
    fn learn(&mut self, call: Call, arguments: &[u64], status: Status, x: &[u64]) {
        if status != Status::Success {
            return;
        }
        match call {
            Call::VmCreate => {
                self.machine
                    .sim()
                    .drop_scripts(engine::sim::machine::vmid_of(x[0]));
                self.vms.push(x[0]);
                self.live.push(x[0]);
            }
            Call::VcpuCreate => self.vcpus.push(x[0]),
            Call::VmDestroy => {
                self.live.retain(|vm| *vm != arguments[0]);
                if !self.dying.contains(&arguments[0]) {
                    self.dying.push(arguments[0]);
                }
            }
            Call::VmReclaim if x[1] == 1 => self.dying.retain(|vm| *vm != arguments[0]),
            Call::PagePoison => self.poisoned += 1,
            Call::CpuRun => match ExitReason::from_raw(x[0]).expect("a reason") {
                ExitReason::RamFault => {
                    let vm = self.vm();
                    self.faults.push((vm, x[2]));
                }
                ExitReason::VcpuOn => self.vcpus.push(x[2]),
                _ => {}
            },
            _ => {}
        }
    }
}

const fn outcome_of(n: u64) -> u64 {
    n % 4
}

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
fn step_elsewhere(shared: &Arc<Mutex<World>>) {
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

fn one_step(shared: &Arc<Mutex<World>>) {
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
fn finish(shared: &Arc<Mutex<World>>) {
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
    let census = (0..2).map(|half| machine.call(0, Call::PageCensus, &[half * 2048, 2048]).x);
    let [vm, shared_pages, claimed, poisoned] = census.fold([0; 4], |sum, x| {
        [sum[0] + x[5], sum[1] + x[6], sum[2] + x[7], sum[3] + x[8]]
    });
    assert_eq!([vm, shared_pages, claimed], [0; 3]);
    assert_eq!(poisoned, shared.lock().unwrap().poisoned);
}

fn run_seed(seed: u64, steps: u64) {
    let shared = Arc::new(Mutex::new(World::new(seed)));
    for _ in 0..steps {
        one_step(&shared);
    }
    finish(&shared);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Says how to repeat the run that failed.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with BULKHEAD_SEED={}", self.0);
        }
    }
}

fn run_seeds(seeds: std::ops::Range<u64>) {
    let steps = setting("BULKHEAD_STEPS").unwrap_or(250);
    let seeds = setting("BULKHEAD_SEED").map_or(seeds, |seed| seed..seed + 1);
    for seed in seeds {
        let announce = Announce(seed);
        run_seed(seed, steps);
        drop(announce);
    }
}

#[test]
fn random_calls_keep_every_invariant() {
    run_seeds(1..7);
}

#[test]
fn more_random_calls_keep_every_invariant() {
    run_seeds(100..106);
}
