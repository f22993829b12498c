//! What a fuzzer's bytes mean, and what must hold whatever they are.
//!
//! Each target has one `play`, which takes any bytes and panics exactly if a property is broken:
//!
//! | target | plays | holds |
//! | --- | --- | --- |
//! | [`calls`] | the host's calls as registers, accesses, guests' steps on several cores | the simulated machine's invariants after each, a refusal changes nothing, all memory comes home |
//! | [`traps`] | syndromes and registers of guests' and the host's traps | who traps loses and learns nothing that the trap is not about |
//! | [`device_tree`] | trees, read and edited for the host | a second reader reads the same; the host's tree keeps all but what it must lose |
//! | [`acpi`] | ACPI tables, memory maps, firmware's trees | a second reader reads the same; the engine reads in the tree what the tables said |
//!
//! Invariants: `play` depends on nothing but its bytes; a changed byte changes one choice. libFuzzer's entries are in
//! `fuzz_targets`; `tests/corpus.rs` plays the kept corpus without it.

pub mod acpi;
mod bytes;
pub mod calls;
pub mod device_tree;
pub mod traps;

/// Plays an input, and panics if a property is broken.
pub type Play = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Play); 4] = [
    ("calls", calls::play),
    ("traps", traps::play),
    ("device_tree", device_tree::play),
    ("acpi", acpi::play),
];
