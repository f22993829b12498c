//! EL1 runtime for the bare-metal images that run under the engine: the reference host and the
//! hardware tests.
//!
//! It gives an image everything between the first instruction and `main`: a self-relocating arm64
//! Image, an identity map, exception vectors with a recoverable [`probe`], console, heap, pages,
//! GICv3, timer, secondaries, and a typed wrapper for every hypercall ([`call`]).
//!
//! Invariants: interrupts are masked except inside [`irq::open_window`], so that a handler never
//! runs while its own core holds a lock; the map is flat and never changes after boot; per-core
//! state is reached through `TPIDR_EL1` only.
//!
//! The crate is empty on any other target, so that tools on the development machine can walk it.

#![no_std]
#![cfg(all(target_arch = "aarch64", target_os = "none"))]

extern crate alloc;

pub mod call;
pub mod console;
pub mod cpu;
mod entry;
pub mod exceptions;
pub mod gic;
mod heap;
pub mod irq;
mod lock;
pub mod machine;
pub mod mark;
pub mod mmu;
pub mod pages;
pub mod probe;
pub mod psci;
pub mod timer;

pub use abi;
pub use cpu::Cpu;
pub use lock::Lock;
pub use machine::{Machine, Range, machine};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Names the function that the boot core runs once the runtime is up: `fn() -> !`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "Rust" fn el1_image_main() -> ! {
            let main: fn() -> ! = $main;
            main()
        }
    };
}
