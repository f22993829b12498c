//! Tying a guest's timer interrupt to the physical one for the length of a run.
//!
//! The virtual timer's physical interrupt tells the engine that the guest's timer went off. Once it
//! has, and until the guest has dealt with it, the line stays high, and would end every run as soon
//! as it begins. So while the line is high, or the interrupt is in a list register, the physical
//! interrupt is *active* in this core's redistributor: pending, but not signalled. The list register
//! has its HW bit set (IHI0069 12.4.7), so that the guest's deactivation is the physical one's too,
//! and the next time the timer goes off is seen again, without an exit in between.
//!
//! Invariant: between runs the physical interrupt is inactive and the list registers' HW bits are
//! clear: nothing above this module knows of them.

use super::redistributor::Redistributor;
use super::session::PPI_VIRTUAL_TIMER;
use crate::vcpu::context::Context;

/// ICH_LR.HW.
const HW: u64 = 1 << 61;
/// ICH_LR.pINTID, bits 44:32; without HW, bit 41 asks for a maintenance interrupt.
const PINTID: u64 = 0x1fff << 32;
/// ICH_LR.State.
const STATE: u64 = 0b11 << 62;
/// ICH_LR.vINTID.
const VINTID: u64 = 0xffff_ffff;

/// Whether the physical interrupt was made active.
#[must_use]
pub struct Tie(bool);

/// Ties the timer of `context`, whose list registers are about to be loaded, if its line is high at
/// `now` or the guest has its interrupt.
pub fn tie(context: &mut Context, redistributor: &Redistributor, now: u64) -> Tie {
    let mut tied = context.timer.is_asserted(now);
    for lr in timer_registers(context) {
        *lr = *lr & !PINTID | HW | u64::from(PPI_VIRTUAL_TIMER) << 32;
        tied = true;
    }
    if tied {
        redistributor.activate(PPI_VIRTUAL_TIMER);
    }
    Tie(tied)
}

/// Unties it, with the list registers read back.
pub fn untie(context: &mut Context, redistributor: &Redistributor, tie: Tie) {
    if !tie.0 {
        return;
    }
    for lr in timer_registers(context) {
        *lr &= !(PINTID | HW);
    }
    redistributor.deactivate(PPI_VIRTUAL_TIMER);
}

/// The list registers that hold the timer's interrupt, in whatever state but invalid.
fn timer_registers(context: &mut Context) -> impl Iterator<Item = &mut u64> {
    let ich = &mut context.gic.ich;
    let lrs = ich.lr.iter_mut().take(usize::from(ich.lr_used));
    lrs.filter(|lr| **lr & STATE != 0 && **lr & VINTID == u64::from(PPI_VIRTUAL_TIMER))
}
