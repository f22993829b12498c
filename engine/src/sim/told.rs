//! What guests did, step by step, for who plays the same on a model.
//!
//! Invariant: each attempt of an operation is told once, before anybody can act on it; nothing is kept
//! unless somebody listens.

use super::hardware::Sim;
use super::script::GuestOp;
use super::syndrome::Shape;
use std::sync::{MutexGuard, PoisonError};
use std::vec::Vec;

/// One thing that happened on a core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// The core entered the vCPU of this VMID and affinity.
    Entered(usize, (u16, u64)),
    /// The operation that had trapped is over, and x9 holds this.
    Finished(usize, u64),
    /// The vCPU on the core attempts this.
    Tried(usize, Tried),
}

/// What a guest attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// A load of 64 bits.
    Load(u64),
    /// One whose syndrome does not describe it.
    LoadPair(u64),
    /// A store of this value.
    Store(u64, u64),
    /// A load of a part of a word.
    LoadPart(u64, Shape),
    /// A store of a part of this value.
    StorePart(u64, Shape, u64),
    /// An instruction fetch.
    Fetch(u64),
    /// HVC or SMC with these registers.
    Call([u64; 7]),
    /// A write of this value to ICC_SGI1R_EL1.
    SendSgi(u64),
    /// WFI.
    Wfi,
    /// A physical SError comes.
    SError,
    /// Something that leads nowhere by itself.
    Other,
}

impl Tried {
    /// What the operation attempts; nothing, if another core acts.
    pub(super) fn of(op: &GuestOp) -> Option<Self> {
        Some(match op {
            GuestOp::Load(address) => Self::Load(*address),
            GuestOp::LoadPair(address) => Self::LoadPair(*address),
            GuestOp::StoreRaw(address, value) => Self::Store(*address, *value),
            GuestOp::LoadPart(address, shape) => Self::LoadPart(*address, *shape),
            GuestOp::StorePart(address, shape, value) => Self::StorePart(*address, *shape, *value),
            GuestOp::Fetch(address) => Self::Fetch(*address),
            GuestOp::Hvc(x) | GuestOp::Smc(x) => Self::Call(*x),
            GuestOp::SendSgi(value) => Self::SendSgi(*value),
            GuestOp::Wfi => Self::Wfi,
            GuestOp::SError => Self::SError,
            GuestOp::Elsewhere(_) => return None,
            _ => Self::Other,
        })
    }
}

impl Sim {
    fn ears(&self) -> MutexGuard<'_, Option<Vec<Told>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is kept what guests do.
    pub fn listen(&self) {
        *self.ears() = Some(Vec::new());
    }

    /// What they did since this was asked last.
    pub fn take_told(&self) -> Vec<Told> {
        self.ears().as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn note(&self, what: Told) {
        if let Some(told) = &mut *self.ears() {
            told.push(what);
        }
    }
}
