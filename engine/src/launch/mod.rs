//! From `smp_boot`'s hand-over to a running engine: storage, first page states, the host's stage-2.
//!
//! Runs on the boot core alone. Whatever goes wrong ends in one line and a power-off.

pub mod archive;
pub mod host_image;
mod kept;
pub mod pages;
mod storage;

use arch::{HostRegime, Metal, MetalCpu};
use engine::engine::{CoreState, Engine, Parts};
use engine::host::core::HostCore;
use engine::host::fault::GuardedFrames;
use engine::host::leftovers::Leftovers;
use engine::memory::page_set::PageSet;
use engine::memory::pool::PagePool;
use engine::memory::tlb::Regime;
use engine::platform::Platform;
use engine::stage2::{Geometry, Stage2};
use engine::stats::Counters;
use engine::trace::Ring;
use engine::trap::guest_call::Firmware;
use engine::vcpu::context::{GuestMachine, HostFrame};
use engine::vcpu::slot::VcpuSlot;
use engine::vm::{HOST_VMID, Vm};
use engine::{arch, vcpu};
use host_image::HostError;
use ownership::{Census, Pa, PageTable};
use percpu::{Area, CpuId, CpuToken, Mailbox, Padded, PerCpu, Pins, RunQueues};
use smp_boot::machine::Redistributors;
use smp_boot::{Boot, BootError, BootHeap, MachineInfo, Mpidr, PaRange, redistributors};
use storage::{make, make_alike, make_like, make_one, make_untouched};
use sync::{AtomicU64, Ordering};

/// The engine on metal.
pub type MetalEngine = Engine<Metal>;

const PAGE: u64 = 4096;
/// Pages of the pool: a 256th of RAM, within these bounds.
const POOL_MIN: u64 = 1024;
const POOL_MAX: u64 = 65536;
/// Pages for the host's root, of sixteen pages at most, aligned to its size.
const ROOT_PAGES: u64 = 32;

/// vCPU slots for a machine.
fn vcpu_slots(machine: &MachineInfo) -> usize {
    let wanted = machine.cpus.len().saturating_mul(8);
    wanted.clamp(256, percpu::MAX_VCPUS)
}

fn pool_pages(machine: &MachineInfo) -> u64 {
    // A multiple of a set's word, so that the set's range ends where the region does.
    (machine.ram_bytes() / PAGE / 256).clamp(POOL_MIN, POOL_MAX) & !63
}

/// Bytes that the engine's objects and its pool take.
pub fn memory_needed(machine: &MachineInfo) -> u64 {
    let span = machine.ram_span().size() / PAGE;
    let cpus = machine.cpus.len() as u64;
    let per_cpu = size_of::<Area<CoreState>>()
        + size_of::<Counters>()
        + size_of::<Ring>()
        + size_of::<Mailbox>()
        + size_of::<MetalCpu>()
        + size_of::<HostCore>()
        + size_of::<Padded<AtomicU64>>();
    let slots = vcpu_slots(machine) as u64;
    let base = Pa::from_raw(machine.ram_span().start()).pfn();
    let words = PageTable::<&[AtomicU64]>::words_for(base, span as usize) as u64;
    // How many of each, and the bytes of one. Each array is rounded up to whole pages, for which there are 64 more.
    let objects = [
        (cpus, per_cpu as u64),
        (slots, size_of::<VcpuSlot>() as u64),
        (abi::limit::VMS as u64, size_of::<Vm>() as u64),
        (1, size_of::<MetalEngine>() as u64),
        (words, 8),
        (span / 8, 1),
        (span / 256, 1),
        (ROOT_PAGES + 64, PAGE),
        (pool_pages(machine), PAGE),
    ];
    // What is too much to be counted is more than there is.
    let sizes = objects.iter().map(|(n, bytes)| n.saturating_mul(*bytes));
    sizes.fold(0, u64::saturating_add)
}

/// An engine that is ready to run, and how its host starts.
pub struct Launched {
    /// The engine.
    pub engine: &'static MetalEngine,
    /// The host's first frame.
    pub host: HostFrame,
    /// How many pages are whose.
    pub census: Census,
}

/// Builds everything. No other core is up yet. Not inlined: the boot core's loop runs on its caller's
/// stack, where this frame would stay below every call of the host's.
#[inline(never)]
pub fn launch<E: smp_boot::Engine>(boot: &mut Boot<E>) -> Result<Launched, HostError> {
    let machine = boot.machine;
    let cpu = CpuId::new(0).ok_or(BootError::OutOfBootMemory)?;
    let engine_memory = [boot.image, boot.region];
    let placed = host_image::place(boot, &engine_memory)?;

    let features = arch::detect();
    let geometry = Geometry::for_pa_bits(features.pa_bits);
    let root = take_root(boot, geometry)?;
    let stage2 = Stage2::new(root, HOST_VMID, geometry);
    let platform = make_platform(boot, features, stage2.regime(), geometry)?;
    for page in 0..u64::from(geometry.root_pages) {
        platform.clear_table(cpu, ownership::Pfn::from_raw(root.raw() + page));
    }

    let heap = &mut boot.heap;
    let span = machine.ram_span().pages_around();
    let base = Pa::from_raw(span.start()).pfn();
    let pages = (span.size() / PAGE) as usize;
    let mut table = PageTable::new(base, pages, make_words(heap, base, pages)?);
    let pool = make_pool(boot, base, pages)?;

    let census = pages::settle(&mut table, machine, &engine_memory)?;
    let ram = list(machine.ram.iter().map(|ram| run_within(*ram)))?;
    let leftovers = match machine.ram_is_clear {
        true => Leftovers::none(),
        false => Leftovers::new(&ram, list(placed.kept.pages())?),
    };

    let heap = &mut boot.heap;
    let cpus = machine.cpus.len();
    let parts = Parts {
        pages: table,
        pool,
        host: stage2,
        vms: make_alike(heap, abi::limit::VMS)?,
        vcpus: make_alike(heap, vcpu_slots(machine))?,
        host_cores: make(heap, cpus, |index| {
            HostCore::new(machine.cpus.get(index).map_or(0, |mpidr| mpidr.bits()))
        })?,
        cores: PerCpu::new(make_alike(heap, cpus)?),
        pins: Pins::new(make_alike(heap, cpus)?),
        queues: RunQueues::new(make_alike(heap, cpus)?),
        counters: make_alike(heap, cpus)?,
        rings: make_alike(heap, cpus)?,
        machine: GuestMachine {
            midr: arch::midr(),
            ich_vtr: arch::list_registers_type(),
            id: arch::read_id_registers(),
        },
        firmware: ask_firmware(&platform, cpu),
        guarded: guarded_frames(machine)?,
        holes: holes(machine)?,
        ram,
        leftovers,
        platform,
    };
    let engine = make_one(heap, Engine::new(parts))?;
    Ok(Launched {
        engine,
        host: placed.frame,
        census,
    })
}

/// Maps the host's RAM, all cores having cleared what a reset left there.
pub fn map_host_ram(
    engine: &MetalEngine,
    cpu: &CpuToken,
    machine: &MachineInfo,
    own: &[PaRange],
) -> Result<(), BootError> {
    pages::for_host(machine, own, |run| {
        let mapped = engine.map_host_ram(cpu, run);
        mapped.map_err(|_| BootError::OutOfBootMemory)
    })
}

/// The host's root: contiguous, aligned to its size.
fn take_root<E: smp_boot::Engine>(
    boot: &mut Boot<E>,
    geometry: Geometry,
) -> Result<ownership::Pfn, BootError> {
    let pages = u64::from(geometry.root_pages);
    let taken = boot
        .heap
        .take_raw(2 * pages as usize - 1)
        .ok_or(BootError::OutOfBootMemory)?;
    let first = (taken.start() / PAGE).checked_next_multiple_of(pages);
    let first = first.ok_or(BootError::OutOfBootMemory)?;
    Ok(ownership::Pfn::from_raw(first))
}

fn make_platform<E: smp_boot::Engine>(
    boot: &mut Boot<E>,
    features: engine::platform::Features,
    host: Regime,
    geometry: Geometry,
) -> Result<Metal, BootError> {
    let machine = boot.machine;
    let window = boot.window;
    let cores = make_like(&mut boot.heap, machine.cpus.len(), || {
        MetalCpu::new(0, 0, window)
    })?;
    // Cores are mostly in the order of their redistributors, so that nobody's has to be looked for.
    let mut before = None;
    for (cpu, (core, window)) in cores.iter_mut().zip(boot.cores()) {
        let found = redistributor_of(machine, core, before)?;
        before = Some(found);
        cpu.set_identity(core.bits(), found.1, window);
    }
    let regime = HostRegime {
        vtcr: geometry.vtcr(features.pa_bits),
        vttbr: host.vttbr(),
    };
    let distributor = machine.gic.distributor.start();
    Ok(Metal::new(
        cores,
        features,
        regime,
        distributor,
        boot.stage1,
    ))
}

/// The page words: only those that have to be zero are written, whatever the machine's RAM.
fn make_words(
    heap: &mut BootHeap,
    base: ownership::Pfn,
    pages: usize,
) -> Result<&'static [AtomicU64], BootError> {
    type Table = PageTable<&'static [AtomicU64]>;
    let words = make_untouched(heap, Table::words_for(base, pages))?;
    for word in words.iter().take(Table::words_to_clear(base, pages)) {
        // Relaxed: no other core is up.
        word.store(0, Ordering::Relaxed);
    }
    Ok(words)
}

/// The pool: `pool_pages` pages of the region, and no donated ones yet, whose bits are not touched.
fn make_pool<E: smp_boot::Engine>(
    boot: &mut Boot<E>,
    base: ownership::Pfn,
    pages: usize,
) -> Result<PagePool<&'static [AtomicU64]>, BootError> {
    type Set = PageSet<&'static [AtomicU64]>;
    let zero = |_| AtomicU64::new(0);
    let n = pool_pages(boot.machine);
    let heap = &mut boot.heap;
    let own = heap
        .take_raw(n as usize)
        .ok_or(BootError::OutOfBootMemory)?;
    let (bits, summary) = Set::words_for(n as usize);
    let first = Pa::from_raw(own.start()).pfn();
    let own = PageSet::new(
        first,
        make(heap, bits, |_| AtomicU64::new(u64::MAX))?,
        make(heap, summary, |index| {
            AtomicU64::new(Set::full_summary(n as usize, index))
        })?,
    );
    let (bits, summary) = Set::words_for(pages);
    let donated = PageSet::untouched(
        base,
        make_untouched(heap, bits)?,
        make(heap, summary, zero)?,
        make(heap, Set::states_for(pages), zero)?,
    );
    let pool = PagePool::new(own, donated);
    pool.fill_reserve();
    Ok(pool)
}

/// GICR_TYPER of the redistributor whose first frame is at `frame`, one that its region has.
fn typer(frame: u64) -> u64 {
    // SAFETY: boot mapped the redistributor regions as devices; GICR_TYPER is read-only.
    let register = frame.wrapping_add(redistributors::TYPER);
    unsafe { (register as usize as *const u64).read_volatile() }
}

/// RD_base of a core's redistributor, and the region that it is in.
type Found<'m> = (&'m Redistributors, u64);

/// This core's; `before` is another core's, which this one's may be next to.
fn redistributor_of<'m>(
    machine: &'m MachineInfo,
    core: Mpidr,
    before: Option<Found<'m>>,
) -> Result<Found<'m>, BootError> {
    let next =
        before.and_then(|(region, frame)| Some((region, region.find_next(frame, core, typer)?)));
    let mut regions = machine.gic.redistributors.iter();
    next.or_else(|| regions.find_map(|region| Some((region, region.find(core, typer)?))))
        .ok_or(BootError::NoRedistributor(core))
}

/// Those of a machine, where there may be so many.
fn list<T, const N: usize>(all: impl Iterator<Item = T>) -> Result<heapless::Vec<T, N>, BootError> {
    let mut list = heapless::Vec::new();
    for one in all {
        list.push(one).map_err(|_| BootError::TooMany {
            what: "ranges of one kind",
            most: N,
        })?;
    }
    Ok(list)
}

fn guarded_frames(machine: &MachineInfo) -> Result<heapless::Vec<GuardedFrames, 64>, BootError> {
    let regions = machine.gic.redistributors.iter();
    list(regions.map(|region| {
        let stride = region.stride(typer(region.range.start()));
        let guarded = region.guarded(stride);
        GuardedFrames {
            base: guarded.start(),
            size: guarded.size(),
            present: region.present(stride, typer),
            stride,
        }
    }))
}

/// What outside RAM is not the host's to map at all: the ITSs. Redistributors are `guarded_frames`.
fn holes(machine: &MachineInfo) -> Result<heapless::Vec<engine::engine::PageRun, 96>, BootError> {
    let all = machine.gic.its.iter();
    list(all.map(|its| run_within(its.pages_around())))
}

fn run_within(range: PaRange) -> engine::engine::PageRun {
    pages::run_of(range.start(), range.end())
}

/// Asks the firmware once what it offers guests.
fn ask_firmware(platform: &Metal, cpu: CpuId) -> Firmware {
    let ask = |function: u64, argument: u64| {
        let mut x = [0; 18];
        x[0] = function;
        x[1] = argument;
        platform.smc(cpu, &mut x);
        // SMCCC results are 32-bit signed for these.
        i64::from(x[0] as u32 as i32)
    };
    let version = ask(abi::smccc::VERSION, 0);
    if version < 0x1_0001 {
        return Firmware::none();
    }
    let feature = |function| ask(abi::smccc::ARCH_FEATURES, function);
    Firmware {
        workaround_1: feature(abi::smccc::ARCH_WORKAROUND_1),
        workaround_2: feature(abi::smccc::ARCH_WORKAROUND_2),
        workaround_3: feature(abi::smccc::ARCH_WORKAROUND_3),
        trng: ask(abi::smccc::TRNG_VERSION, 0) >= 0,
    }
}

const _: () = assert!(size_of::<vcpu::context::Frame>() == 0x110);
