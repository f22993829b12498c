//! The boot core's way from the entry code to the engine.
//!
//! In order: map the image and the device tree with the MMU still off; MMU on; read the tree and find
//! the console; choose the engine's memory; map it, every core's stack, and the devices; hand
//! over. Whatever goes wrong ends in one line on the console, as far as there is one, and a
//! power-off.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;

use heapless::Vec;
use percpu::CpuId;

use crate::arrival::Arrival;
use crate::console::{self, Console};
use crate::entry::ImageLayout;
use crate::error::BootError;
use crate::handover::{self, Boot, Engine};
use crate::heap::BootHeap;
use crate::layout::{self, Layout};
use crate::machine::{MAX_RESERVED, MachineInfo};
use crate::pool::{self, EarlyTables};
use crate::range::{PAGE, PaRange};
use crate::record::{BootRecord, Regime};
use crate::stage1::{Attr, Stage1};
use crate::{carve, cores, fdt, firmware, regime, stack};

/// The boot core's record, which no memory but the image's is there for yet.
struct FirstRecord(UnsafeCell<MaybeUninit<BootRecord>>);

// SAFETY: written once by `enter`, before any other core runs; only read afterwards.
unsafe impl Sync for FirstRecord {}

static FIRST_RECORD: FirstRecord = FirstRecord(UnsafeCell::new(MaybeUninit::uninit()));

/// The machine, filled in place: it is too large to pass around on a stack.
struct MachineCell(UnsafeCell<MachineInfo>);

// SAFETY: written by `prepare` alone, before any other core runs; only read afterwards.
unsafe impl Sync for MachineCell {}

static MACHINE: MachineCell = MachineCell(UnsafeCell::new(MachineInfo::new()));

const STAGE1: Stage1 = Stage1::new(&pool::ROOT);

/// From the entry code, at `el`, with the MMU off; `e2h` is nonzero if HCR_EL2.E2H is stuck.
/// Returns the record with which to turn the MMU on.
///
/// # Safety
///
/// Called once, on the boot core, by the entry code; `dtb` is what the boot loader left in x0.
pub unsafe fn enter<E: Engine>(dtb: u64, el: u64, e2h: u64) -> *const BootRecord {
    match map_early::<E>(dtb, el, e2h) {
        Ok(record) => {
            let first = FIRST_RECORD.0.get();
            // SAFETY: nobody else uses the cell yet.
            unsafe { (*first).write(record) }
        }
        Err(error) => refuse_early(dtb, el, error),
    }
}

/// Maps what the code after this needs to run with the MMU on.
fn map_early<E: Engine>(dtb: u64, el: u64, e2h: u64) -> Result<BootRecord, BootError> {
    if el != 2 {
        return Err(BootError::NotEl2(el));
    }
    if e2h != 0 {
        return Err(BootError::OnlyVhe);
    }
    let image = ImageLayout::get();
    let parts = [
        (image.start, image.text_end, Attr::Code),
        (image.text_end, image.rodata_end, Attr::Constant),
        (image.rodata_end, image.data_end, Attr::Data),
    ];
    for (start, end, attr) in parts {
        STAGE1.map(between(start, end)?, attr, &mut EarlyTables)?;
    }
    for part in stack::mapped_parts(image.stack) {
        STAGE1.map(part, Attr::Data, &mut EarlyTables)?;
    }
    STAGE1.map(
        find_blob(dtb)?.pages_around(),
        Attr::Constant,
        &mut EarlyTables,
    )?;
    let root = STAGE1.finish_root(&mut EarlyTables)?;
    Ok(BootRecord {
        regime: regime::choose(E::vectors()),
        ttbr: root.ttbr(),
        // Does not wrap: the image lies in memory.
        stack_top: image.stack.wrapping_add(stack::BLOCK_BYTES),
        entry: enter_mapped::<E>,
        context: dtb,
        mpidr: cores::this_mpidr(),
        cpu: CpuId::new(0).ok_or(BootError::OutOfBootMemory)?,
        window: root.window(),
        arrival: Arrival::default(),
    })
}

/// From the entry code once more, now with the MMU on and in the engine's own address space.
///
/// # Safety
///
/// Called once, on the boot core, with the record that `enter` returned.
unsafe extern "C" fn enter_mapped<E: Engine>(record: *const BootRecord) -> ! {
    // SAFETY: `enter` filled it, and nobody writes it again.
    let record = unsafe { &*record };
    match prepare::<E>(record) {
        Ok(boot) => E::primary(boot),
        Err(error) => {
            crate::println!("bulkhead: cannot start: {error}");
            firmware::power_off()
        }
    }
}

/// Everything between the MMU and the engine. Not inlined, so that the engine does not run on top
/// of its stack frame.
#[inline(never)]
fn prepare<E: Engine>(record: &BootRecord) -> Result<Boot<E>, BootError> {
    let dtb = find_blob(record.context)?;
    // SAFETY: `map_early` mapped these very bytes, and they are not written while boot lasts.
    let blob = unsafe { bytes_of(dtb) };
    // SAFETY: this runs once, and nothing else names the cell.
    let machine = unsafe { &mut *MACHINE.0.get() };
    let parsed = fdt::parse(blob, dtb, record.mpidr, machine);
    let machine: &'static MachineInfo = machine;
    // A tree that is wrong may have a console to say so on.
    let uart = match parsed {
        Ok(()) => machine.uart,
        Err(_) => fdt::find_uart(blob),
    };
    if let Some(uart) = uart {
        STAGE1.map(uart.pages, Attr::Device, &mut EarlyTables)?;
        // SAFETY: the tree says that this is such a UART, it has just been mapped as a device, and
        // this is the only place that makes a console of it once the MMU is on.
        unsafe { Console::new(uart) }
            .into_iter()
            .for_each(console::install);
    }
    parsed?;
    let image = ImageLayout::get();
    let image = between(image.start, image.end)?;
    // What cannot be rounded up is refused by `carve` like anything else that is too much.
    let engine_bytes = E::memory_needed(machine)
        .checked_next_multiple_of(PAGE)
        .unwrap_or(u64::MAX);
    let boot_bytes = layout::boot_bytes(machine, engine_bytes);
    let stack_bytes = layout::stack_bytes(machine);
    let need = [boot_bytes, stack_bytes]
        .iter()
        .fold(engine_bytes, |a, &b| a.saturating_add(b));
    let taken = find_taken(machine, image)?;
    let region = carve::carve_beside(image, &machine.ram, &taken, need)?;
    let layout =
        layout::divide(region, stack_bytes, boot_bytes).ok_or(BootError::OutOfBootMemory)?;
    let mut heap = map_memory(machine, layout)?;
    let records = make_records::<E>(machine, layout, record.regime, &mut heap)?;
    Ok(Boot::new(
        machine,
        heap,
        STAGE1,
        image,
        region,
        record.window,
        records,
    ))
}

/// Maps the engine's memory and devices for good. From here on level 0 does not change.
fn map_memory(machine: &MachineInfo, layout: Layout) -> Result<BootHeap, BootError> {
    let span = machine.ram_span();
    if span.end() > 1 << regime::pa_bits() {
        return Err(BootError::OutOfReach(span));
    }
    STAGE1.map(layout.first, Attr::Data, &mut EarlyTables)?;
    // SAFETY: `carve` found the memory free; `first` is mapped, and the rest before it is reached:
    // `first` has room for all tables that mapping the rest takes.
    let mut heap = unsafe { BootHeap::new(layout.heap) };
    let rest = between(layout.first.end(), layout.heap.end())?;
    STAGE1.map(rest, Attr::Data, &mut heap)?;
    let mut block = layout.stacks.start();
    while block < layout.stacks.end() {
        for part in stack::mapped_parts(block) {
            STAGE1.map(part, Attr::Data, &mut heap)?;
        }
        // Does not wrap: a range ends at 2^63 at most.
        block = block.wrapping_add(stack::BLOCK_BYTES);
    }
    STAGE1.map(machine.gic.distributor, Attr::Device, &mut heap)?;
    for region in &machine.gic.redistributors {
        STAGE1.map(region.range, Attr::Device, &mut heap)?;
    }
    STAGE1.reserve(span, &mut heap)?;
    Ok(heap)
}

/// One record for each other core, with a root and a stack.
fn make_records<E: Engine>(
    machine: &MachineInfo,
    layout: Layout,
    regime: Regime,
    heap: &mut BootHeap,
) -> Result<&'static mut [BootRecord], BootError> {
    let others = machine.cpus.get(1..).unwrap_or_default();
    let bytes = others.len().checked_mul(size_of::<BootRecord>());
    let pages = bytes
        .ok_or(BootError::OutOfBootMemory)?
        .div_ceil(PAGE as usize);
    let memory = heap.take(pages).ok_or(BootError::OutOfBootMemory)?;
    let first = memory.as_mut_ptr().cast::<BootRecord>();
    let slots = STAGE1.shared_slots();
    let mut stack_top = layout.stacks.start();
    for (index, &mpidr) in (0..others.len()).zip(others) {
        // Neither wraps: the stacks are in RAM, and cores are few.
        stack_top = stack_top.wrapping_add(stack::BLOCK_BYTES);
        let number = u16::try_from(index.wrapping_add(1)).ok();
        let number = number.and_then(CpuId::new);
        let root = STAGE1.root_for_cpu(slots, heap)?;
        let record = BootRecord {
            regime,
            ttbr: root.ttbr(),
            stack_top,
            entry: handover::enter_secondary::<E>,
            context: 0,
            mpidr,
            cpu: number.ok_or(BootError::OutOfBootMemory)?,
            window: root.window(),
            arrival: Arrival::default(),
        };
        // SAFETY: `index < others.len()`, for which `memory` has room; a page is aligned for it.
        unsafe { first.add(index).write(record) };
    }
    // SAFETY: the loop wrote the records of all `others`; the memory is ours for ever.
    Ok(unsafe { core::slice::from_raw_parts_mut(first, others.len()) })
}

/// What the engine's memory must stay clear of.
fn find_taken(
    machine: &MachineInfo,
    image: PaRange,
) -> Result<Vec<PaRange, { MAX_RESERVED + 3 }>, BootError> {
    let single = [Some(image), Some(machine.dtb), machine.initrd];
    let all = single.into_iter().flatten().map(PaRange::pages_around);
    let mut taken = Vec::new();
    for range in all.chain(machine.reserved.iter().copied()) {
        let full = BootError::TooMany {
            what: "reserved ranges",
            most: MAX_RESERVED,
        };
        taken.push(range).map_err(|_| full)?;
    }
    Ok(taken)
}

/// Where the device tree at `dtb` lies, from its header.
fn find_blob(dtb: u64) -> Result<PaRange, BootError> {
    let bad = |what| BootError::BadTree { at: dtb, what };
    if dtb == 0 || !dtb.is_multiple_of(8) {
        return Err(bad("x0 is not an address of one"));
    }
    // SAFETY: by the boot protocol x0 names a device tree in RAM; eight aligned bytes are read.
    let header = unsafe { (dtb as usize as *const [u32; 2]).read_volatile() };
    PaRange::new(dtb, fdt::blob_size(header).map_err(bad)?).ok_or(bad("it wraps"))
}

/// The bytes of `range`.
///
/// # Safety
///
/// They can be read at VA == PA and are not written during `'a`.
unsafe fn bytes_of<'a>(range: PaRange) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        core::slice::from_raw_parts(range.start() as usize as *const u8, range.size() as usize)
    }
}

fn between(start: u64, end: u64) -> Result<PaRange, BootError> {
    PaRange::between(start, end).ok_or(BootError::OutOfBootMemory)
}

/// Says why, with the MMU off and nothing mapped, so without a lock; then powers off.
fn refuse_early(dtb: u64, el: u64, error: BootError) -> ! {
    let mut by_hvc = false;
    if let Ok(range) = find_blob(dtb) {
        // SAFETY: with the MMU off all RAM can be read; nobody writes it.
        let blob = unsafe { bytes_of(range) };
        by_hvc = el == 1 && fdt::psci_is_by_hvc(blob);
        if let Some(uart) = fdt::find_uart(blob) {
            // SAFETY: the tree says that this is such a UART; with the MMU off every access is a
            // device access; no other console will ever be made.
            if let Some(mut console) = unsafe { Console::new(uart) } {
                // Cannot fail.
                let _ = writeln!(console, "bulkhead: cannot start: {error}");
            }
        }
    }
    if by_hvc {
        firmware::power_off_by_hvc()
    } else {
        firmware::power_off()
    }
}
