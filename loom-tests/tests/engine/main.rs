//! The engine under loom, entered where a trap enters: each story is what two or three cores do,
//! calls by register values, and what must be true whichever came first.
//!
//! Every story ends with the oracle: words, tables and TLBs agree, and no page is lost.

#![cfg(loom)]

mod blocks;
mod cores;
mod donating;
mod ending;
mod entries;
mod flushing;
mod joining;
mod lending;
mod life;
mod power;
mod queueing;
mod reclaiming;
mod refusing;
mod reuse;
mod running;
mod sharing;

use loom_tests::world::Size;
use ownership::{Owner, State, VmSlot};

const HOST: State = State::Owned(Owner::Host);
/// The first VM's.
const A: State = State::Owned(Owner::Vm(VmSlot::new(0).unwrap()));
/// A machine for two VMs that want one page.
const TWO_VMS: Size = Size {
    vms: 2,
    ..Size::of(1)
};

/// Lent to the first VM, at this many addresses.
const fn lent(count: u16) -> State {
    State::Shared {
        owner: Owner::Host,
        borrower: Owner::Vm(VmSlot::new(0).unwrap()),
        count,
    }
}
