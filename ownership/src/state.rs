//! Which transitions there are: the table of `docs/memory-model.md` as one pure function.
//!
//! Invariants: what is not listed here is refused; every transition but the boot's passes through
//! `Claimed`; a transition that takes a page from someone who could reach it needs a flush, one that
//! gives it to someone who must not read its content needs a scrub (I4, I5).

use crate::word::{Op, Owner, State};

/// What a transition must be able to show before it is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// No CPU reaches the page any more through the translations of whoever loses it.
    pub flushed: bool,
    /// The content is gone.
    pub scrubbed: bool,
}

impl Needs {
    pub(crate) const NOTHING: Self = Self {
        flushed: false,
        scrubbed: false,
    };
    pub(crate) const FLUSH: Self = Self {
        flushed: true,
        scrubbed: false,
    };
    const FLUSH_AND_SCRUB: Self = Self {
        flushed: true,
        scrubbed: true,
    };
}

/// May an operation claim a page in this settled state at all?
///
/// [`Op::Boot`] claims nothing: it needs the table to itself.
#[inline(always)]
pub const fn is_claimable(from: State, op: Op) -> bool {
    match op {
        Op::Boot => false,
        Op::VmMap | Op::EngineDonate | Op::ReadList => matches!(from, State::Owned(Owner::Host)),
        Op::EngineReclaim => matches!(from, State::Owned(Owner::Engine)),
        Op::Lend => match from {
            State::Shared { count, .. } => is_lent(from) && count < u16::MAX,
            _ => matches!(from, State::Owned(Owner::Host)),
        },
        Op::Unlend => is_lent(from),
        Op::Share | Op::Relinquish => matches!(from, State::Owned(Owner::Vm(_))),
        Op::Unshare => is_shared_by_vm(from),
        Op::Reclaim => {
            matches!(from, State::Owned(Owner::Vm(_)) | State::Scrubbing { .. })
                || is_lent(from)
                || is_shared_by_vm(from)
        }
        Op::HostFault => {
            matches!(from, State::HostFixed | State::Owned(Owner::Host))
                || is_lent(from)
                || is_shared_by_vm(from)
        }
        Op::Poison => matches!(
            from,
            State::Reserved | State::HostFixed | State::Owned(_) | State::Shared { .. }
        ),
    }
}

/// May `op` take a page from one settled state to another, and what must it show?
///
/// Going back to where it came from is always legal for a page that `op` could claim, and needs
/// nothing: that is the roll-back.
#[inline(always)]
pub fn transition(from: State, op: Op, to: State) -> Option<Needs> {
    if matches!(op, Op::Boot) {
        let settable = matches!(
            to,
            State::Owned(Owner::Host) | State::Owned(Owner::Engine) | State::HostFixed
        );
        return (from == State::Reserved && settable).then_some(Needs::NOTHING);
    }
    if !is_claimable(from, op) {
        return None;
    }
    if from == to {
        return Some(Needs::NOTHING);
    }
    match (op, to) {
        (Op::VmMap, State::Owned(Owner::Vm(_))) => Some(Needs::FLUSH),
        (Op::EngineDonate, State::Owned(Owner::Engine)) => Some(Needs::FLUSH),
        (Op::EngineReclaim, State::Owned(Owner::Host)) => Some(Needs::FLUSH_AND_SCRUB),
        (
            Op::Lend,
            State::Shared {
                owner: Owner::Host,
                borrower: Owner::Vm(vm),
                ..
            },
        ) => (lend_once_more(from, vm) == Some(to)).then_some(Needs::NOTHING),
        (Op::Unlend, _) => (lend_once_less(from) == Some(to)).then_some(Needs::FLUSH),
        (Op::Share, _) => (share(from) == Some(to)).then_some(Needs::NOTHING),
        (Op::Unshare, _) => (unshare(from) == Some(to)).then_some(Needs::FLUSH),
        (Op::Relinquish, State::Owned(Owner::Host)) => Some(Needs::FLUSH_AND_SCRUB),
        (Op::Reclaim, _) if is_lent(from) => {
            (lend_once_less(from) == Some(to)).then_some(Needs::FLUSH)
        }
        (Op::Reclaim, State::Owned(Owner::Host)) => Some(Needs::FLUSH_AND_SCRUB),
        (Op::Reclaim, State::Scrubbing { vm, done }) => match from {
            State::Owned(Owner::Vm(owner)) => owner == vm,
            State::Scrubbing {
                vm: owner,
                done: before,
            } => owner == vm && before < done,
            _ => false,
        }
        .then_some(Needs::FLUSH_AND_SCRUB),
        // What is left of a granule out of which a page was lost: unscrubbed, and the VM's as before.
        (Op::Reclaim, State::Owned(Owner::Vm(owner))) => {
            matches!(from, State::Scrubbing { vm, .. } if vm == owner).then_some(Needs::NOTHING)
        }
        // An error found while scrubbing, or reported by the host.
        (
            Op::Poison | Op::Reclaim | Op::Relinquish | Op::EngineReclaim | Op::EngineDonate,
            State::Poisoned,
        ) => Some(Needs::FLUSH),
        _ => None,
    }
}

/// Is it the host's page, lent to a VM?
pub const fn is_lent(state: State) -> bool {
    matches!(
        state,
        State::Shared {
            owner: Owner::Host,
            borrower: Owner::Vm(_),
            ..
        }
    )
}

/// Is it a VM's page, shared with the host?
pub const fn is_shared_by_vm(state: State) -> bool {
    matches!(
        state,
        State::Shared {
            owner: Owner::Vm(_),
            borrower: Owner::Host,
            count: 1
        }
    )
}

/// The state after one more leaf of `vm` names a page of the host's.
pub(crate) fn lend_once_more(from: State, vm: crate::VmSlot) -> Option<State> {
    let borrower = Owner::Vm(vm);
    let count = match from {
        State::Owned(Owner::Host) => 1,
        State::Shared {
            borrower: now,
            count,
            ..
        } if is_lent(from) && now == borrower => count.checked_add(1)?,
        _ => return None,
    };
    Some(State::Shared {
        owner: Owner::Host,
        borrower,
        count,
    })
}

/// The state after one leaf less of the borrower names a page of the host's.
pub(crate) fn lend_once_less(from: State) -> Option<State> {
    match from {
        State::Shared {
            owner,
            borrower,
            count,
        } if is_lent(from) => Some(match count {
            1 => State::Owned(owner),
            _ => State::Shared {
                owner,
                borrower,
                count: count.checked_sub(1)?,
            },
        }),
        _ => None,
    }
}

/// The state after a VM shares a page of its own.
pub(crate) fn share(from: State) -> Option<State> {
    match from {
        State::Owned(owner @ Owner::Vm(_)) => Some(State::Shared {
            owner,
            borrower: Owner::Host,
            count: 1,
        }),
        _ => None,
    }
}

/// The state after it stops that.
pub(crate) fn unshare(from: State) -> Option<State> {
    match from {
        State::Shared { owner, .. } if is_shared_by_vm(from) => Some(State::Owned(owner)),
        _ => None,
    }
}
