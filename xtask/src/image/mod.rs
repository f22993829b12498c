//! Files that QEMU boots: bare-metal images, archives, and the guests' kernel and initramfs.

pub mod absent;
pub mod boot;
pub mod build;
pub mod cpio;
pub mod efi;
pub mod flatten;
pub mod header;
pub mod initramfs;
pub mod kernel;
pub mod lines;
pub mod symbols;
pub mod task;
pub mod workload;
