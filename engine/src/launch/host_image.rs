//! Placing the host: its Image and its device tree go to free RAM, the CPU starts at the Image's
//! first byte with the tree's address in x0 (the kernel's "Booting AArch64 Linux").
//!
//! Invariants: source and destination don't overlap; what was written, which is the Image's file and the
//! tree and nothing behind them, is in memory, past all caches, before the host runs, because it starts
//! with its caches off. These and the archive, which has the host's own files, are what stays of RAM when
//! the rest is cleared (`engine::host::leftovers`); what else there is in their first and last pages does not.

use crate::archive;
use crate::launch::kept::Kept;
use engine::vcpu::context::{Frame, HostFrame};
use smp_boot::carve::carve;
use smp_boot::edit::{HostTree, edit_for_host};
use smp_boot::{Attr, Boot, BootError, Engine, PaRange, bulk};

/// Where an Image says how far from a 2 MiB boundary it wants to be.
const TEXT_OFFSET_AT: usize = 8;
/// Where it says how much memory it takes, its bss included.
const IMAGE_SIZE_AT: usize = 16;
/// Where its magic number is.
const MAGIC_AT: usize = 56;
/// "ARM\x64".
const MAGIC: u32 = 0x644d_5241;
/// Room for the device tree, the arm64 boot protocol's limit.
const TREE_BYTES: u64 = 2 << 20;
/// Longest command line.
const COMMAND_LINE: usize = 4096;

/// What goes wrong while the host is placed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No archive.
    #[error("no initial RAM disk: the boot archive with the host is missing")]
    NoArchive,
    /// A file in it.
    #[error("{0}")]
    Archive(&'static str),
    /// No host.
    #[error("the boot archive has no file called `host`")]
    NoHost,
    /// Not an Image.
    #[error("`host` is not an arm64 Image")]
    NotAnImage,
    /// Command line.
    #[error("`host.cmdline` is not text of at most 4096 bytes")]
    BadCommandLine,
    /// Memory.
    #[error("{0}")]
    Boot(#[from] BootError),
    /// Device tree.
    #[error("the device tree can't be edited for the host")]
    Tree,
}

/// The host in its place.
pub struct Placed {
    /// The frame in which it starts.
    pub frame: HostFrame,
    /// What of RAM is its start.
    pub kept: Kept,
}

/// Places the host. `engine` is what the tree reserves.
pub fn place<E: Engine>(boot: &mut Boot<E>, engine: &[PaRange]) -> Result<Placed, HostError> {
    let machine = boot.machine;
    let initrd = machine.initrd.ok_or(HostError::NoArchive)?;
    boot.map(initrd, Attr::Constant)?;
    // SAFETY: just mapped; nothing writes it while boot lasts.
    let bytes = unsafe { bytes_of(initrd) };
    let outcome = place_from(boot, engine, initrd, bytes);
    boot.unmap(initrd);
    boot.unmap(machine.dtb);
    let placed = outcome?;
    if !machine.ram_is_clear && cfg!(not(mutant = "boot-keep-edges")) {
        placed.kept.clear_around(boot, engine)?;
    }
    Ok(placed)
}

fn place_from<E: Engine>(
    boot: &mut Boot<E>,
    engine: &[PaRange],
    initrd: PaRange,
    bytes: &[u8],
) -> Result<Placed, HostError> {
    let machine = boot.machine;
    let file = |name| archive::find(bytes, name).map_err(HostError::Archive);
    let (_, image) = file("host")?.ok_or(HostError::NoHost)?;
    let command_line = match file("host.cmdline")? {
        Some((_, text)) if text.len() <= COMMAND_LINE => core::str::from_utf8(text)
            .map_err(|_| HostError::BadCommandLine)?
            .trim_end(),
        Some(_) => return Err(HostError::BadCommandLine),
        None => "",
    };
    let ramdisk = match file("host.initrd")? {
        Some((at, data)) => {
            let start = initrd.start().saturating_add(at as u64);
            PaRange::new(start, data.len() as u64)
        }
        None => None,
    };
    let (offset, size) = image_extent(image)?;
    let mut taken = heapless::Vec::<PaRange, 160>::new();
    let all = engine
        .iter()
        .chain(&machine.reserved)
        .chain([&machine.dtb, &initrd]);
    for range in all {
        let _ = taken.push(range.pages_around());
    }
    let place = carve(&machine.ram, &taken, offset + size + TREE_BYTES)?;
    boot.map(place, Attr::Data)?;
    // `carve` gave what was asked for, so that neither is refused below.
    let code_bytes = place.size().saturating_sub(TREE_BYTES);
    // Neither wraps: `place` is in RAM.
    let tree_at = place.start().wrapping_add(code_bytes);
    let image_at = place.start().wrapping_add(offset);
    // SAFETY: just mapped, free by `carve`, and not overlapping `bytes`, which is in `taken`.
    let (code, tree) = unsafe { bytes_of_mut(place) }
        .split_at_mut_checked(code_bytes as usize)
        .ok_or(BootError::OutOfBootMemory)?;
    let code = code
        .get_mut(offset as usize..)
        .filter(|code| code.len() >= image.len())
        .ok_or(BootError::OutOfBootMemory)?;
    // What is behind the image's file is the image's own to zero (the kernel's "Booting AArch64 Linux").
    bulk::copy(code, image);
    // SAFETY: mapped by boot until `place` unmaps it.
    let original = unsafe { bytes_of(machine.dtb) };
    let wishes = HostTree {
        bootargs: command_line,
        initrd: ramdisk,
        engine,
    };
    let tree_bytes = edit_for_host(original, tree, &wishes).map_err(|_| HostError::Tree)?;
    let range = |start, size| PaRange::new(start, size).ok_or(BootError::OutOfBootMemory);
    let image = range(image_at, image.len() as u64)?;
    let tree = range(tree_at, tree_bytes as u64)?;
    clean(image);
    clean(tree);
    boot.unmap(place);
    Ok(Placed {
        frame: HostFrame(Frame::new(image_at, tree_at)),
        kept: Kept([image, tree, initrd]),
    })
}

/// Offset and memory size that an Image's header asks for.
fn image_extent(image: &[u8]) -> Result<(u64, u64), HostError> {
    let word = |at: usize| {
        let bytes = image
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or(HostError::NotAnImage)
    };
    if word(MAGIC_AT)? as u32 != MAGIC {
        return Err(HostError::NotAnImage);
    }
    let offset = word(TEXT_OFFSET_AT)?;
    let size = word(IMAGE_SIZE_AT)?.max(image.len() as u64);
    // Both are the image's word: far beyond what RAM could hold is refused before it is added up.
    if offset >= 2 << 20 || size > 1 << 40 {
        return Err(HostError::NotAnImage);
    }
    Ok((offset, size))
}

/// # Safety
/// The range is mapped, and nobody writes it while the slice lives.
unsafe fn bytes_of(range: PaRange) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        core::slice::from_raw_parts(range.start() as usize as *const u8, range.size() as usize)
    }
}

/// # Safety
/// The range is mapped writable, and nobody else uses it while the slice lives.
unsafe fn bytes_of_mut(range: PaRange) -> &'static mut [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        core::slice::from_raw_parts_mut(range.start() as usize as *mut u8, range.size() as usize)
    }
}

/// Cleans a mapped range to the point of coherency and drops stale instructions.
#[inline(never)]
pub(super) fn clean(range: PaRange) {
    // SAFETY: mapped, by the caller's word.
    #[cfg(not(mutant = "place-no-clean"))]
    unsafe {
        bulk::clean_invalidate(range);
    }
    #[cfg(mutant = "place-no-clean")]
    let _ = range;
    // SAFETY: barriers and instruction-cache invalidation change no content.
    unsafe {
        core::arch::asm!(
            #[cfg(not(mutant = "place-no-dsb-before"))]
            "dsb sy",
            #[cfg(not(mutant = "place-no-ic"))]
            "ic ialluis",
            #[cfg(not(mutant = "place-no-dsb"))]
            "dsb sy",
            #[cfg(not(mutant = "place-no-isb"))]
            "isb",
            options(nostack)
        );
    }
}
