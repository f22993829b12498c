//! One run of a guest: its registers in, ERET, exception, its registers out.
//!
//! Invariants: see `session`. ERET and exception entry synchronise (SCTLR_EL2.EOS and EIS are set),
//! so registers that matter to the guest alone need no ISB of their own.

use super::el1::{self, WalkControl};
use super::enter::{ExitKind, enter};
use super::features::CoreFeatures;
use super::redistributor::Redistributor;
use super::regs::*;
use super::session::{Session, switch_regime};
use super::timer_tie::{Tie, tie, untie};
use super::{controls, fp, interrupts, serror, vgic};
use crate::trap::syndrome::{class, exception_class};
use crate::trap::sysreg::MDSCR_GUEST;
use crate::vcpu::context::{Context, GuestExit, Stop};

/// CNTHP_CTL_EL2.ENABLE, IMASK clear.
const TIMER_ON: u64 = 1;

impl Session {
    /// Runs `context` under `vttbr` until the next exit that `answer` does not answer. The session is open.
    pub fn run(
        &mut self,
        core: &CoreFeatures,
        redistributor: &Redistributor,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        mut answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit {
        let mut tied = tie(context, redistributor, interrupts::counter());
        load(core, context, vttbr);
        set_end(until);
        let mut fp_loaded = false;
        let exit = loop {
            match self.enter_with_lazy_fp(context, &mut fp_loaded) {
                ExitKind::Sync => {
                    // Read before an answer could meet an exception of its own.
                    let (esr, far, hpfar) = (ESR_EL2.get(), FAR_EL2.get(), HPFAR_EL2.get());
                    let frame = &mut context.frame;
                    if !answer(Stop::Sync { frame, esr }) {
                        save_interrupts(context, redistributor, tied);
                        break GuestExit::Sync { esr, far, hpfar };
                    }
                }
                ExitKind::Interrupt => {
                    CNTHP_CTL_EL2.set(0);
                    save_interrupts(context, redistributor, tied);
                    let Context { timer, gic, .. } = context;
                    if !answer(Stop::Interrupt { timer, gic }) {
                        break GuestExit::Interrupt;
                    }
                    tied = tie(context, redistributor, interrupts::counter());
                    load_interrupts(context);
                    set_end(until);
                }
                ExitKind::SError => {
                    save_interrupts(context, redistributor, tied);
                    break GuestExit::SError { esr: ESR_EL2.get() };
                }
            }
        };
        CNTHP_CTL_EL2.set(0);
        el1::save(&mut context.el1, core.pauth);
        if fp_loaded {
            fp::save(&mut context.fp);
        }
        // Before it can be taken for the host's: it came with the guest. Without FEAT_RAS it stays pending
        // and is the host's to handle.
        serror::take(core).map_or(exit, |esr| GuestExit::SError { esr })
    }

    /// Enters the guest; on its first use of FP gives it its FP registers, says so in `loaded`, and goes on.
    fn enter_with_lazy_fp(&mut self, context: &mut Context, loaded: &mut bool) -> ExitKind {
        if *loaded {
            return enter(&mut context.frame);
        }
        CPTR_EL2.set(controls::CPTR_GUEST);
        let kind = enter(&mut context.frame);
        if kind != ExitKind::Sync || exception_class(ESR_EL2.get()) != class::FP_ACCESS {
            return kind;
        }
        CPTR_EL2.set(controls::CPTR_HOST);
        #[cfg(not(mutant = "fp-no-isb"))]
        isb();
        if !self.fp_saved {
            fp::save(&mut self.fp);
            self.fp_saved = true;
        }
        #[cfg(not(mutant = "guest-keep-fp"))]
        fp::load(&context.fp);
        *loaded = true;
        // With TFP clear the class can't come again.
        enter(&mut context.frame)
    }
}

/// Has the EL2 timer end the turn at `until`; without one that is `u64::MAX`.
fn set_end(until: u64) {
    CNTHP_CVAL_EL2.set(until);
    let has_end = until != u64::MAX && cfg!(not(mutant = "turn-no-timer"));
    CNTHP_CTL_EL2.set(if has_end { TIMER_ON } else { 0 });
}

/// Loads all of `context` but its general and FP registers.
fn load(core: &CoreFeatures, context: &Context, vttbr: u64) {
    switch_regime(core, vttbr);
    VPIDR_EL2.set(context.vpidr);
    VMPIDR_EL2.set(context.vmpidr);
    el1::load(&context.el1, core.pauth);
    // MDE stays clear: the breakpoint and watchpoint registers hold the host's values.
    MDSCR_EL1.set(context.el1.mdscr & MDSCR_GUEST);
    if core.ras {
        // What DISR_EL1 names at EL1 while HCR_EL2.AMO is set; nobody's to keep.
        VDISR_EL2.set(0);
    }
    CNTVOFF_EL2.set(context.timer.offset);
    load_interrupts(context);
    // Everything that walks depend on, before walks are allowed again.
    #[cfg(not(mutant = "load-no-isb"))]
    isb();
    WalkControl::of(&context.el1).apply();
}

/// Loads the guest's timer and its interrupts.
fn load_interrupts(context: &Context) {
    CNTV_CVAL_EL0.set(context.timer.cval);
    CNTV_CTL_EL0.set(context.timer.ctl);
    vgic::load(&context.gic.ich);
}

/// Reads both back, turns them off, and unties the timer.
fn save_interrupts(context: &mut Context, redistributor: &Redistributor, tied: Tie) {
    context.timer.ctl = CNTV_CTL_EL0.get();
    context.timer.cval = CNTV_CVAL_EL0.get();
    if cfg!(not(mutant = "exit-keep-cntv")) {
        CNTV_CTL_EL0.set(0);
    }
    vgic::save(&mut context.gic.ich);
    untie(context, redistributor, tied);
}
