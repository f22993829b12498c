//! How deep each core's stack was in the engine.
//!
//! In front of each instruction of the engine's that lowers SP, SP is read: less what the instruction takes, it is how
//! far down the stack goes, whether anything is written there or not. Which instructions those are is decided by the
//! very code that bounds the stacks (`sp`). Invariant: a core's words are written by that core.

use std::sync::atomic::{AtomicU64, Ordering};

/// Cores that QEMU's machines have at most.
const CORES: usize = 512;
/// A core's block of stacks, aligned to its size, and up to where its emergency stack reaches (smp-boot/src/stack.rs).
const BLOCK: u64 = 0x1_0000;
const EMERGENCY_TOP: u64 = 0x4000;

/// The deepest so far, by core: bytes, and where.
pub struct Depths {
    stacks: Vec<Deepest>,
    emergencies: Vec<Deepest>,
}

#[derive(Default)]
struct Deepest {
    bytes: AtomicU64,
    at: AtomicU64,
}

impl Deepest {
    fn note(&self, bytes: u64, at: u64) {
        // Relaxed, all of them: one core writes, and who reads comes after its end.
        if bytes > self.bytes.load(Ordering::Relaxed) {
            self.bytes.store(bytes, Ordering::Relaxed);
            self.at.store(at, Ordering::Relaxed);
        }
    }

    fn object(&self) -> String {
        let (bytes, at) = (
            self.bytes.load(Ordering::Relaxed),
            self.at.load(Ordering::Relaxed),
        );
        format!("{{\"bytes\":{bytes},\"at\":{at}}}")
    }
}

impl Default for Depths {
    fn default() -> Self {
        let of_each = || (0..CORES).map(|_| Deepest::default()).collect();
        Self {
            stacks: of_each(),
            emergencies: of_each(),
        }
    }
}

impl Depths {
    /// On `core` an instruction, so far from the engine's start, is about to make SP `sp`.
    pub fn note(&self, core: u32, sp: u64, distance: u64) {
        let place = sp % BLOCK;
        let (all, top) = match place < EMERGENCY_TOP {
            true => (&self.emergencies, EMERGENCY_TOP),
            false => (&self.stacks, BLOCK),
        };
        if let Some(deepest) = all.get(core as usize) {
            deepest.note(top - place, distance);
        }
    }

    /// A core's as JSON.
    pub fn object(&self, core: u32) -> String {
        let of = |all: &Vec<Deepest>| {
            all.get(core as usize)
                .map_or("null".into(), Deepest::object)
        };
        let (stack, emergency) = (of(&self.stacks), of(&self.emergencies));
        format!("{{\"stack\":{stack},\"emergency\":{emergency}}}")
    }
}
