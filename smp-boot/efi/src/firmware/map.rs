//! The EFI memory map, and the way out of boot services, which takes the map's key.
//!
//! Invariant: the buffer is allocated once, with room for the map to grow, so that reading the map
//! does not change it.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use efi_boot::Refusal;
use efi_boot::memory::Descriptor;
use uefi::Status;
use uefi::boot::{self, MemoryType};
use uefi::table::system_table_raw;
use uefi_raw::table::boot::BootServices;

/// Somebody has tried to leave boot services.
static IS_BEING_LEFT: AtomicBool = AtomicBool::new(false);

/// Room for a few thousand ranges.
const BYTES: usize = 256 << 10;

/// Room for the map, and the map that was read last.
pub struct MapBuffer {
    buffer: NonNull<u8>,
    bytes: usize,
    step: usize,
    key: usize,
}

impl MapBuffer {
    /// Takes memory for it from the firmware.
    pub fn new() -> Result<Self, Refusal> {
        let buffer = boot::allocate_pool(MemoryType::LOADER_DATA, BYTES)
            .map_err(|_| Refusal::NoMemory(BYTES as u64))?;
        Ok(Self {
            buffer,
            bytes: 0,
            step: 0,
            key: 0,
        })
    }

    /// Reads the map.
    pub fn read(&mut self) -> Result<(), Refusal> {
        let services = boot_services()?;
        self.bytes = BYTES;
        let mut version = 0;
        // SAFETY: boot services are there, and the buffer has as many bytes as is said.
        let status = unsafe {
            (services.as_ref().get_memory_map)(
                &mut self.bytes,
                self.buffer.as_ptr().cast(),
                &mut self.key,
                &mut self.step,
                &mut version,
            )
        };
        // A descriptor may be longer than the fields that are known.
        if status != Status::SUCCESS || self.step < 40 || self.bytes > BYTES {
            return Err(Refusal::Firmware("no memory map"));
        }
        Ok(())
    }

    /// The map that was read last.
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> + '_ {
        // SAFETY: the firmware has written these bytes, and nobody writes them while `self` is borrowed.
        let map = unsafe { core::slice::from_raw_parts(self.buffer.as_ptr(), self.bytes) };
        map.chunks_exact(self.step.max(40)).filter_map(|bytes| {
            let number = |at: usize| {
                let field = bytes.get(at..)?.first_chunk().copied();
                field.map(u64::from_le_bytes)
            };
            Some(Descriptor {
                // Four bytes, and four of padding.
                kind: number(0)? as u32,
                start: number(8)?,
                pages: number(24)?,
                attributes: number(32)?,
            })
        })
    }

    /// Leaves boot services if the map is still the one that was read. After a first attempt that
    /// fails, only [`Self::read`] may be asked of the firmware (UEFI 2.10, 7.4.6): [`may_be_asked`].
    pub fn exit_boot_services(&self) -> bool {
        // Relaxed: this application is one core's, and the firmware's handlers do not look.
        IS_BEING_LEFT.store(true, Ordering::Relaxed);
        let Ok(services) = boot_services() else {
            return false;
        };
        // SAFETY: the application holds nothing of the firmware's that it uses afterwards.
        let status = unsafe {
            (services.as_ref().exit_boot_services)(boot::image_handle().as_ptr(), self.key)
        };
        status == Status::SUCCESS
    }
}

/// Whether the firmware may be asked for more than its memory map: nobody has tried to leave it.
pub fn may_be_asked() -> bool {
    // Relaxed: as where it is written.
    !IS_BEING_LEFT.load(Ordering::Relaxed) && boot_services().is_ok()
}

/// The services, until they are left.
pub fn boot_services() -> Result<NonNull<BootServices>, Refusal> {
    let table = system_table_raw().ok_or(Refusal::Firmware("no system table"))?;
    // SAFETY: the entry code set it to what the firmware gave.
    let services = unsafe { table.as_ref() }.boot_services;
    NonNull::new(services).ok_or(Refusal::Firmware("no boot services"))
}
