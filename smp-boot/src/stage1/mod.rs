//! The engine's own address space: stage 1 of the EL2 regime (Arm ARM D8, E2H = 0).
//!
//! Invariants:
//! - VA == PA for everything but the window, so a physical address of the engine's own memory is
//!   a pointer.
//! - Only the engine's image, its memory, its stacks without their guard pages, and the devices
//!   it drives are mapped. Memory that a VM may own is not.
//! - Nothing is both writable and executable (and SCTLR_EL2.WXN says so again).
//! - Every CPU has a root of its own. Level-0 slots below [`PRIVATE_SLOT`] hold the same table
//!   descriptors in all roots and never change once a second CPU is up; the private slot leads to
//!   that CPU's [`Window`].
//! - Tables are never freed.
//!
//! Who may write: at boot, the primary alone (`build`); afterwards any CPU, one page at a time by
//! compare-exchange (`live`); a window's entry, its CPU.

mod build;
mod descriptor;
mod live;
mod table;
#[cfg(test)]
mod tests;

pub use descriptor::{Attr, MAIR};
pub use live::PageError;
pub use table::{Table, TableSource};

use core::sync::atomic::AtomicU64;

use crate::range::PaRange;

/// The level-0 slot that differs from CPU to CPU: the last.
pub const PRIVATE_SLOT: usize = 511;

/// First address that is not VA == PA.
pub const PRIVATE_VA: u64 = (PRIVATE_SLOT as u64) << 39;

/// One page of address space, at the same address on every CPU, through which that CPU alone sees
/// one foreign page at a time.
///
/// Its table is private, so after a change of the entry a local `TLBI VALE2` with `DSB NSH; ISB`
/// is enough.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    va: u64,
    entry: &'static AtomicU64,
}

impl Window {
    /// Where the page appears.
    pub const fn va(self) -> u64 {
        self.va
    }

    /// The level-3 entry, zero while the window is shut. Only the CPU whose window it is may
    /// write it.
    pub const fn entry(self) -> &'static AtomicU64 {
        self.entry
    }

    /// The entry that opens the window on the page at `pa`: normal memory, read and write.
    pub const fn entry_for(pa: u64) -> u64 {
        descriptor::page(pa, Attr::Data)
    }
}

/// The shared part of the address space, reached through the boot core's root.
#[derive(Clone, Copy, Debug)]
pub struct Stage1 {
    root: &'static Table,
}

/// What TTBR0_EL2 of one CPU names, and its window.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    table: &'static Table,
    window: Window,
}

impl Root {
    /// The value for TTBR0_EL2. CnP stays zero: the private slots differ.
    pub fn ttbr(self) -> u64 {
        self.table.pa()
    }

    /// This CPU's window.
    pub const fn window(self) -> Window {
        self.window
    }
}

/// Whether `range` is in the part of the address space where VA == PA.
fn is_within_reach(range: PaRange) -> bool {
    range.end() <= PRIVATE_VA
}
