//! The host's state, shared by its cores, and the run from start to power-off.
//!
//! Invariants: [`HOST`] is complete before any secondary starts and never replaced; the phase only
//! goes forward: guests run, every core has left them, memory comes home, the boot core reports.

use crate::{
    archive,
    args::Args,
    attack::Tally,
    churn::Churn,
    loader::Kernel,
    memory::{self, insist},
    reclaim, run, stats,
    summary::Summary,
    vm::{Content, Guest},
};
use abi::{InfoIndex, Status, VcpuHandle};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use el1::Lock;
use el1::{call, cpu, gic, irq, machine, pages, println, psci, timer};
use spin::Once;

/// SGI that the engine may use for kicks.
const DOORBELL: u64 = 0;
/// SGI by which the host wakes its own cores.
pub const WAKE: u32 = 1;
/// Guest RAM begins at a multiple of this that is above all physical RAM: the physical addresses
/// that guests are told to attack are then not their own memory's.
const RAM_STEP: u64 = 64 << 30;
/// Pages that the engine's pool should have before guests are made, and more of them for each core:
/// enough that it never runs empty, as taking more in can itself need a page for a table.
const ENGINE_POOL: u64 = 1024;
const ENGINE_POOL_PER_CORE: u64 = 4;

/// A core, as the host sees it.
#[derive(Default)]
pub struct Core {
    /// Its number in the engine.
    pub engine_cpu: AtomicU64,
    is_there: AtomicBool,
    /// What its attacks came to.
    pub tally: Lock<Tally>,
}

/// Everything that the cores share.
pub struct Host {
    /// The command line.
    pub args: Args,
    /// The guests.
    pub guests: Vec<Guest>,
    /// The VM that never starts.
    pub churn: Churn,
    /// The cores.
    pub cores: Vec<Core>,
    /// Counter value at which running guests are killed.
    pub deadline: u64,
    /// Digests the guests should compute.
    pub expected: &'static str,
    /// Cores that are in Rust, GIC and all.
    pub online: AtomicUsize,
    /// Cores whose attacks are over.
    pub attacked: AtomicUsize,
    /// Cores that have left the guests for good.
    pub arrived: AtomicUsize,
    /// Set once every core may reclaim.
    pub reclaiming: AtomicBool,
    /// Cores that have nothing left to reclaim.
    pub reclaimed: AtomicUsize,
    running: AtomicUsize,
    by_vcpu: BTreeMap<u64, (usize, usize)>,
}

static HOST: Once<Host> = Once::new();

/// The host; cores come here after it is there.
pub fn host() -> &'static Host {
    HOST.get()
        .expect("secondaries start after the host is complete")
}

/// The boot core's way through the run.
pub fn main() -> ! {
    irq::install(on_interrupt);
    gic::init_distributor();
    gic::init_core();
    match prepare() {
        Ok(prepared) => HOST.call_once(|| prepared),
        Err(reason) => finish(&Summary::failed(reason)),
    };
    start_secondaries();
    if let Err(reason) = start_guests() {
        finish(&Summary::failed(reason));
    }
    run::run_core(0);
    let returns = reclaim::finish(host());
    finish(&stats::collect(host(), returns))
}

/// Prints the summary and turns the machine off.
fn finish(summary: &Summary) -> ! {
    println!("@summary {}", summary.to_json());
    psci::system_off()
}

/// Reads what the boot archive brought and builds the guests.
fn prepare() -> Result<Host, String> {
    let machine = machine();
    let args = Args::parse(machine.bootargs)?;
    let initrd = machine
        .initrd
        .ok_or("the boot archive has no host.initrd")?;
    // SAFETY: the boot protocol puts the archive there; the page allocator leaves it alone for
    // ever.
    let archive: &'static [u8] =
        unsafe { core::slice::from_raw_parts(initrd.start as *const u8, initrd.size as usize) };
    let file = |name| archive::find(archive, name).ok_or(format!("host.initrd has no '{name}'"));
    let kernel = Kernel::parse(file("kernel")?).map_err(|error| format!("{error}"))?;
    let expected = core::str::from_utf8(file("expected").unwrap_or(b"")).unwrap_or("");

    let info = |index| call::engine_info(index).map_err(|s| format!("ENGINE_INFO: {}", s.name()));
    call::engine_doorbell(DOORBELL).map_err(|s| format!("ENGINE_DOORBELL: {}", s.name()))?;
    if args.guests as u64 + 1 > info(InfoIndex::MaxVms)? {
        return Err(format!(
            "guests={}: the engine has no room for so many",
            args.guests
        ));
    }
    check_memory(&args)?;
    let pool = ENGINE_POOL + ENGINE_POOL_PER_CORE * machine.cores.len() as u64;
    while info(InfoIndex::FreePages)? < pool {
        memory::feed_engine().map_err(|s| format!("ENGINE_DONATE: {}", s.name()))?;
    }

    let cores = machine.cores.len();
    let ram_end = machine.ram.iter().map(|ram| ram.end()).max().unwrap_or(0);
    let ram_base = ram_end.next_multiple_of(RAM_STEP);
    let churn = Churn::create(ram_base, cores)?;
    // The first guest's victim is a page of the VM that never starts, the next one's the first
    // guest's.
    churn.run(0);
    let mut victim = churn.donated().first().map(|run| run.start);
    let content = Content {
        kernel,
        initrd: file("initrd")?,
        ram_base,
    };
    // With cores to spare the boot core keeps house only.
    let first = usize::from(cores > args.guests * args.vcpus);
    let mut guests: Vec<Guest> = Vec::with_capacity(args.guests);
    for id in 0..args.guests {
        let place = |vcpu| (first + id * args.vcpus + vcpu) % cores;
        let guest = Guest::build(id, &args, &content, &list_targets(victim), place)?;
        println!("host: guest {id} built: {} pages donated", guest.built);
        victim = guest.ram.lock().donated().first().map(|run| run.start);
        guests.push(guest);
    }
    let by_vcpu = guests.iter().enumerate().flat_map(|(id, guest)| {
        guest
            .vcpus
            .iter()
            .enumerate()
            .map(move |(index, vcpu)| (vcpu.handle.raw(), (id, index)))
    });
    Ok(Host {
        by_vcpu: by_vcpu.collect(),
        running: AtomicUsize::new(guests.len()),
        guests,
        churn,
        cores: (0..cores).map(|_| Core::default()).collect(),
        deadline: timer::now().saturating_add(timer::ticks(args.deadline.saturating_mul(1000))),
        args,
        expected,
        online: AtomicUsize::new(0),
        attacked: AtomicUsize::new(0),
        arrived: AtomicUsize::new(0),
        reclaiming: AtomicBool::new(false),
        reclaimed: AtomicUsize::new(0),
    })
}

/// All guests' memory has to be there from the start: nothing is overcommitted.
fn check_memory(args: &Args) -> Result<(), String> {
    let needed = (args.guests as u64).saturating_mul(args.guest_mem);
    let free = pages::count_free() * el1::PAGE;
    if needed > free {
        return Err(format!(
            "too little RAM: the guests need {needed} bytes, {free} are free"
        ));
    }
    Ok(())
}

/// What the guests shall try to reach: the engine, this image, another VM's page.
fn list_targets(victim: Option<u64>) -> String {
    let machine = machine();
    let engine = machine.engine.first().map(|range| range.start);
    let targets = [engine, Some(machine.image.start), victim];
    let hex: Vec<String> = targets
        .into_iter()
        .flatten()
        .map(|pa| format!("{pa:#x}"))
        .collect();
    hex.join(",")
}

fn start_secondaries() {
    for index in 1..machine().cores.len() {
        if let Err(error) = cpu::start(index, run::secondary_main) {
            println!("host: core {index} does not start: {error}");
        }
    }
    let host = host();
    host.enter_core(0);
    let patience = timer::now() + timer::ticks(60_000);
    // Acquire: pairs with the Release in `enter_core`; the cores' engine numbers are seen.
    while host.online.load(Ordering::Acquire) < host.cores.len() && timer::now() < patience {
        run::nap(5);
    }
    println!(
        "host: {} of {} cores online",
        host.online.load(Ordering::Acquire),
        host.cores.len()
    );
}

fn start_guests() -> Result<(), String> {
    let host = host();
    // To the first program of the guest: `cargo xtask bench --linux`.
    el1::mark::begin_window();
    for guest in &host.guests {
        insist(|| call::vm_start(guest.vm))
            .map_err(|status| format!("guest {}: VM_START: {}", guest.id, status.name()))?;
        host.enqueue(guest.vcpus[0].handle);
    }
    if let Some(guest) = host.args.console.map(|id| &host.guests[id])
        && let Some(intid) = machine().uart_intid
    {
        gic::enable_spi(intid);
        guest.take_input();
    }
    Ok(())
}

/// Told of every interrupt: SGIs and the timer only wake; the UART's bytes go to its guest.
fn on_interrupt(intid: u32) {
    if machine().uart_intid == Some(intid)
        && let Some(guest) = host().args.console.map(|id| &host().guests[id])
    {
        guest.take_input();
    }
}

impl Host {
    /// Tells that the calling core is there.
    pub fn enter_core(&self, core: usize) {
        let number = call::engine_info(InfoIndex::ThisCpu).unwrap_or(core as u64);
        // Relaxed: published by the Release below.
        self.cores[core].engine_cpu.store(number, Ordering::Relaxed);
        // Relaxed: published by the Release below, or seen at a later look.
        self.cores[core].is_there.store(true, Ordering::Relaxed);
        // Release: pairs with the Acquire in `start_secondaries` and `is_attack_over`.
        self.online.fetch_add(1, Ordering::Release);
    }

    /// Whether a core has come up: one that has not takes no part, and is not waited for.
    pub fn is_there(&self, core: usize) -> bool {
        let core = self.cores.get(core);
        // Relaxed: nothing else is read by it.
        core.is_some_and(|core| core.is_there.load(Ordering::Relaxed))
    }

    /// Whether a guest still runs.
    pub fn is_running(&self) -> bool {
        // Acquire: pairs with the Release in `end_guest`; the guests' ends are seen.
        self.running.load(Ordering::Acquire) > 0
    }

    /// Whether no core attacks any more.
    pub fn is_attack_over(&self) -> bool {
        // Acquire: pairs with the Release in `run::attack`; their accesses came before. Looked at
        // first: a core is online before it attacks, so of two equal counts neither is old.
        let attacked = self.attacked.load(Ordering::Acquire);
        // Acquire: pairs with the Release in `enter_core`.
        !self.args.attack || attacked == self.online.load(Ordering::Acquire)
    }

    /// Whose vCPU this is, and which.
    pub fn find_vcpu(&self, vcpu: VcpuHandle) -> Option<(&Guest, usize)> {
        let (guest, index) = *self.by_vcpu.get(&vcpu.raw())?;
        Some((&self.guests[guest], index))
    }

    /// Puts a vCPU on its core's queue.
    pub fn enqueue(&self, vcpu: VcpuHandle) {
        let Some((guest, index)) = self.find_vcpu(vcpu) else {
            return;
        };
        // Relaxed: written before the guests started.
        let number = self.cores[guest.vcpus[index].core]
            .engine_cpu
            .load(Ordering::Relaxed);
        match insist(|| call::vcpu_enqueue(vcpu, number)) {
            // BAD_STATE: another core was told of it too, and was faster. It has run since, and is off
            // or waits for an answer, which queues it; or its guest has ended.
            Ok(()) | Err(Status::BadState) => {}
            Err(_) if guest.has_ended() => {}
            Err(status) => println!(
                "host: guest {} vCPU {index}: VCPU_ENQUEUE: {}",
                guest.id,
                status.name()
            ),
        }
    }

    /// Ends a guest; the last one ends the run.
    pub fn end_guest(&self, guest: &Guest, reason: &str) {
        // AcqRel: pairs with the Acquire in `is_running`.
        if guest.end(reason) && self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake_all();
        }
    }

    /// Interrupts every core.
    pub fn wake_all(&self) {
        for core in cpu::all().iter().filter(|core| core.is_online()) {
            gic::send_sgi(WAKE, core.mpidr);
        }
    }
}
