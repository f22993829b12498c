//! The files beside the application, loaded to where they stay.

use efi_boot::{Refusal, image};
use smp_boot::PaRange;
use uefi::CStr16;
use uefi::boot::{self, AllocateType, MemoryType, ScopedProtocol};
use uefi::proto::device_path::DevicePath;
use uefi::proto::device_path::media::FilePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::file::{Directory, File, FileAttribute, FileMode, RegularFile};
use uefi::proto::media::fs::SimpleFileSystem;

const PAGE: u64 = 4096;
/// Longest path of a file, in UTF-16 units.
const MAX_PATH: usize = 512;
/// Where a path goes one folder down.
const SEPARATOR: u16 = b'\\' as u16;

/// The folder that the application was started from.
pub struct Folder {
    root: Directory,
    /// Path of the folder, with a separator at its end.
    path: Path,
    _system: ScopedProtocol<SimpleFileSystem>,
}

/// A path with an end.
#[derive(Clone)]
struct Path {
    units: [u16; MAX_PATH],
    length: usize,
}

impl Path {
    fn push(&mut self, unit: u16) -> Result<(), Refusal> {
        // The last unit stays zero.
        if self.length + 1 >= MAX_PATH {
            return Err(Refusal::Firmware(
                "the path of this application is too long",
            ));
        }
        self.units[self.length] = unit;
        self.length += 1;
        Ok(())
    }

    /// Goes up to the folder that a file lies in.
    fn leave_file(&mut self) {
        while self.length > 0 && self.units[self.length - 1] != SEPARATOR {
            self.length -= 1;
            self.units[self.length] = 0;
        }
    }
}

impl Folder {
    /// Where the firmware found this application.
    pub fn of_this_application() -> Result<Self, Refusal> {
        const NO_DISK: Refusal = Refusal::Firmware("this application was not started from a disk");
        let path = {
            let loaded = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle())
                .map_err(|_| NO_DISK)?;
            path_of(loaded.file_path().ok_or(NO_DISK)?)?
        };
        let mut system = boot::get_image_file_system(boot::image_handle()).map_err(|_| NO_DISK)?;
        let root = system.open_volume().map_err(|_| NO_DISK)?;
        Ok(Self {
            root,
            path,
            _system: system,
        })
    }

    /// Loads a file; its bytes, with nothing of theirs in the pages around.
    pub fn load(&mut self, name: &'static str) -> Result<PaRange, Refusal> {
        let (mut file, size) = self.open(name)?;
        let place = allocate(size)?;
        let range = PaRange::new(place.start(), size).ok_or(Refusal::NoFile(name))?;
        read(&mut file, range, name)?;
        Ok(range)
    }

    /// Loads an Image to a place that it likes; its first byte, and the memory that it takes.
    pub fn load_image(&mut self, name: &'static str) -> Result<(u64, PaRange), Refusal> {
        let (mut file, size) = self.open(name)?;
        let header = allocate(PAGE)?;
        let header = PaRange::new(header.start(), size.min(64)).unwrap_or_default();
        read(&mut file, header, name)?;
        let extent = image::extent(bytes_of(header)).ok_or(Refusal::NotAnImage(name))?;
        file.set_position(0).map_err(|_| Refusal::NoFile(name))?;

        let memory = extent.size.max(size);
        let place = allocate(extent.offset + memory + image::ALIGNMENT)?;
        let aligned = place.start().next_multiple_of(image::ALIGNMENT);
        let entry = aligned + extent.offset;
        let range = PaRange::new(entry, size).ok_or(Refusal::NoFile(name))?;
        read(&mut file, range, name)?;
        let all = PaRange::new(entry, memory).ok_or(Refusal::NoFile(name))?;
        Ok((entry, all))
    }

    fn open(&mut self, name: &'static str) -> Result<(RegularFile, u64), Refusal> {
        let missing = |_| Refusal::NoFile(name);
        let mut path = self.path.clone();
        for unit in name.encode_utf16() {
            path.push(unit)?;
        }
        let path = CStr16::from_u16_with_nul(&path.units[..=path.length])
            .map_err(|_| Refusal::NoFile(name))?;
        let handle = self
            .root
            .open(path, FileMode::Read, FileAttribute::empty())
            .map_err(missing)?;
        let mut file = handle.into_regular_file().ok_or(Refusal::NoFile(name))?;
        // The position past the end is the size.
        file.set_position(u64::MAX).map_err(missing)?;
        let size = file.get_position().map_err(missing)?;
        file.set_position(0).map_err(missing)?;
        Ok((file, size))
    }
}

/// The folder of the file that `path` leads to: the text of its file nodes without the last name.
fn path_of(path: &DevicePath) -> Result<Path, Refusal> {
    let mut text = Path {
        units: [0; MAX_PATH],
        length: 0,
    };
    text.push(SEPARATOR)?;
    for node in path.node_iter() {
        let Ok(node) = <&FilePath>::try_from(node) else {
            continue;
        };
        let name = node.path_name();
        for unit in name.iter().take_while(|unit| *unit != 0) {
            // Nodes may or may not bring separators of their own.
            if unit != SEPARATOR || text.units[text.length - 1] != SEPARATOR {
                text.push(unit)?;
            }
        }
        if text.units[text.length - 1] != SEPARATOR {
            text.push(SEPARATOR)?;
        }
    }
    // Behind the file's name is a separator now.
    text.length = text.length.saturating_sub(1);
    text.units[text.length] = 0;
    text.leave_file();
    if text.length == 0 {
        text.push(SEPARATOR)?;
    }
    Ok(text)
}

/// The bytes at `range`.
fn bytes_of<'a>(range: PaRange) -> &'a mut [u8] {
    let start = range.start() as usize as *mut u8;
    // SAFETY: private to this file, which has taken all such ranges from the firmware in `allocate`, and
    // makes one such slice at a time.
    unsafe { core::slice::from_raw_parts_mut(start, range.size() as usize) }
}

/// Memory of the firmware's that this application has to itself, and that stays after the firmware is left.
pub struct Room(PaRange);

impl Room {
    /// Takes pages for so many bytes.
    pub fn take(bytes: u64) -> Result<Self, Refusal> {
        allocate(bytes).map(Self)
    }

    /// Where it is.
    pub fn range(&self) -> PaRange {
        self.0
    }

    /// Writes `bytes` to its start; false if it has no room for them.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let room = bytes_of(self.0).get_mut(..bytes.len());
        let has_room = room.is_some();
        if let Some(room) = room {
            room.copy_from_slice(bytes);
        }
        has_room
    }
}

/// Pages for `bytes`, which stay after the firmware is left.
fn allocate(bytes: u64) -> Result<PaRange, Refusal> {
    let pages = bytes.div_ceil(PAGE).max(1);
    let place = boot::allocate_pages(
        AllocateType::AnyPages,
        MemoryType::LOADER_DATA,
        pages as usize,
    )
    .map_err(|_| Refusal::NoMemory(bytes))?;
    PaRange::new(place.as_ptr().addr() as u64, pages * PAGE).ok_or(Refusal::NoMemory(bytes))
}

/// Fills `range` from the start of `file`.
fn read(file: &mut RegularFile, range: PaRange, name: &'static str) -> Result<(), Refusal> {
    let mut rest = bytes_of(range);
    while !rest.is_empty() {
        match file.read(rest) {
            Ok(bytes @ 1..) => rest = &mut rest[bytes..],
            _ => return Err(Refusal::NoFile(name)),
        }
    }
    Ok(())
}
