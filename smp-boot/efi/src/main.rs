//! The EFI application that starts the engine on a machine with UEFI.
//!
//! ```text
//! files beside it -> description of the machine -> device tree -> leave the firmware -> the Image at EL2
//! ```
//!
//! Invariant: until the firmware is left, whatever goes wrong ends in one line on its console and in its
//! hands: it boots what comes next. Nothing is written to any disk or variable.

#![cfg_attr(target_os = "uefi", no_std, no_main)]

#[cfg(target_os = "uefi")]
extern crate alloc;

#[cfg(target_os = "uefi")]
mod firmware;

#[cfg(target_os = "uefi")]
#[uefi::entry]
fn main() -> uefi::Status {
    let refusal = firmware::start();
    uefi::println!("bulkhead-efi: cannot start: {refusal}");
    uefi::Status::UNSUPPORTED
}

#[cfg(not(target_os = "uefi"))]
fn main() {
    eprintln!("this is an EFI application: `cargo xtask image` builds it");
    std::process::exit(1);
}
