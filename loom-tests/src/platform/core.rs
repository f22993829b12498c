//! What a core of the machine has beside its TLB.
//!
//! Invariant: a plain atomic is the core's own, and takes no step of the model's. By the others cores meet:
//! an SGI orders what was stored before it even without a DSB, so models do not miss that one (the image's
//! instruction sequences are asked for it).

use engine::host::park::ParkWord;
use std::sync::atomic;
use sync::AtomicBool;

/// A core's registers beside its TLB; see above for who writes them.
#[derive(Default)]
pub(super) struct Core {
    pub vttbr: atomic::AtomicU64,
    pub counter: atomic::AtomicU64,
    /// The counter stands still.
    pub is_stopped: atomic::AtomicBool,
    /// The engine made the host take an exception.
    pub denied: atomic::AtomicBool,
    /// Guest runs since the machine started.
    pub runs: atomic::AtomicU64,
    /// An interrupt for the host.
    pub interrupt: atomic::AtomicBool,
    /// Where the guest was in its program at the last run.
    pub pc: atomic::AtomicU64,
    /// How often it has run again at that place.
    pub repeats: atomic::AtomicU64,
    /// Whether the guest that ran last had an end of its turn.
    pub takes_turns: atomic::AtomicBool,
    /// Where in its program the guest made its last access.
    pub tried: atomic::AtomicU64,
    /// The engine's SGI.
    pub rung: AtomicBool,
    /// Where the core is parked.
    pub park: ParkWord,
    /// The SGI that ends that.
    pub unpark: UnparkSgi,
}

/// An SGI on which a parked core sleeps; pending, it ends the next sleep at once.
pub(super) struct UnparkSgi(pub loom::sync::Notify);

impl Default for UnparkSgi {
    fn default() -> Self {
        Self(loom::sync::Notify::new())
    }
}
