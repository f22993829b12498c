//! The image of the reference host.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
el1::entry!(host::host::main);

/// Only the bare-metal image does anything.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a bare-metal image: `cargo xtask run` builds and boots it");
}
