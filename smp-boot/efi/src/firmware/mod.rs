//! The way through the firmware: what only the application does, with its services.

mod description;
mod files;
mod heap;
mod leave;
mod map;

use core::panic::PanicInfo;

use dtoolkit::model::DeviceTree;
use efi_boot::memory::Memory;
use efi_boot::{Refusal, tree};
use smp_boot::PaRange;
use uefi::{boot, println};

use self::description::Source;
use self::files::Room;
use self::map::MapBuffer;

/// The engine's Image, beside the application.
const IMAGE: &str = "bulkhead.img";
/// The boot archive, beside the application.
const ARCHIVE: &str = "boot.cpio";
/// How often the firmware may change the memory map while it is being left.
const PATIENCE: u32 = 8;

/// Starts the engine; comes back only with what is in the way.
pub fn start() -> Refusal {
    match prepare() {
        Ok(start) => run(start),
        Err(refusal) => refusal,
    }
}

/// All that is needed to leave.
struct Start {
    /// Where the Image's first instruction is.
    entry: u64,
    /// All of the Image's memory.
    image: PaRange,
    archive: PaRange,
    /// The machine, memory left out.
    description: DeviceTree,
    /// Where the tree goes.
    blob: Room,
    map: MapBuffer,
}

fn prepare() -> Result<Start, Refusal> {
    let level = leave::exception_level();
    if level != 2 {
        return Err(Refusal::NotEl2(level));
    }
    // Else the firmware resets a machine that it has not seen leave in five minutes. Firmware without
    // a watchdog refuses, which is as good.
    let _ = boot::set_watchdog_timer(0, 0, None);
    let mut folder = files::Folder::of_this_application()?;
    let (entry, image) = folder.load_image(IMAGE)?;
    let archive = folder.load(ARCHIVE)?;
    let blob = Room::take(smp_boot::fdt::MAX_BLOB)?;
    let mut map = MapBuffer::new()?;

    map.read()?;
    let memory = Memory::read(map.descriptors())?;
    let (description, source) = description::read(&memory)?;
    let tree = tree::complete(&mut description.clone(), &memory, archive)?;
    let machine = tree::check(&tree, leave::mpidr())?;
    println!(
        "bulkhead-efi: {source}: {} cores, {} MiB of RAM, {} KiB of it the firmware's; {}",
        machine.cpus.len(),
        machine.ram_bytes() >> 20,
        memory
            .reserved
            .iter()
            .map(|range| range.size())
            .sum::<u64>()
            >> 10,
        match machine.uart {
            Some(_) => "leaving the firmware",
            None => "no console that the engine can write to, leaving the firmware",
        }
    );
    if let Source::Acpi {
        unusable_cores: n @ 1..,
    } = source
    {
        println!("bulkhead-efi: {n} cores are not enabled and are left out");
    }
    Ok(Start {
        entry,
        image,
        archive,
        description,
        blob,
        map,
    })
}

/// Leaves the firmware. The tree is written from the very map that the firmware is left with, and nothing
/// is asked of the firmware between the two. From the first attempt on the firmware's console may be gone, and
/// with it whoever could be told of a refusal: there the machine stops ([`map::may_be_asked`]).
fn run(mut start: Start) -> Refusal {
    for _ in 0..PATIENCE {
        match attempt(&mut start) {
            Ok(false) => {}
            Ok(true) => leave::enter(
                start.entry,
                start.blob.range(),
                &[start.image, start.archive],
            ),
            Err(refusal) if map::may_be_asked() => return refusal,
            Err(_) => leave::halt(),
        }
    }
    leave::halt()
}

/// Tries once; whether the firmware was left.
fn attempt(start: &mut Start) -> Result<bool, Refusal> {
    start.map.read()?;
    let memory = Memory::read(start.map.descriptors())?;
    for range in [start.image, start.archive, start.blob.range()] {
        if !memory.ram.iter().any(|ram| ram.contains(range)) {
            return Err(Refusal::Nowhere(range));
        }
    }
    let blob = tree::complete(&mut start.description.clone(), &memory, start.archive)?;
    if !start.blob.write(&blob) {
        return Err(Refusal::BadTree("it has no room in 2 MiB"));
    }
    Ok(start.map.exit_boot_services())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if map::may_be_asked() {
        println!("bulkhead-efi: {info}");
        // SAFETY: nothing of this application's is known to the firmware: no event, no protocol.
        let _ = unsafe {
            boot::exit(
                boot::image_handle(),
                uefi::Status::ABORTED,
                0,
                core::ptr::null_mut(),
            )
        };
    }
    leave::halt()
}
