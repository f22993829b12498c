//! What UEFI and ACPI say about a machine, made into the device tree that the engine reads.
//!
//! The engine knows one description of a machine, a device tree, and trusts it (`smp_boot::fdt`). On
//! hosts that have none this crate writes one, before the engine runs and outside of it:
//!
//! - [`acpi`]: tables found and checked, one file each; [`machine`]: what they say together;
//! - [`memory`]: RAM and what of it the firmware keeps, from the EFI memory map;
//! - [`tree`]: the tree, new or the firmware's own completed.
//!
//! Pure, and tested on the development machine; the application around it is `main.rs` and `firmware/`.
//!
//! Invariants: what the firmware says is trusted to describe the machine, but not to be well formed. A
//! damaged table ends in a [`Refusal`] or is passed over, never in a panic or a loop without bound.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod image;
pub mod machine;
pub mod memory;
mod refusal;
pub mod tree;

pub use refusal::Refusal;
