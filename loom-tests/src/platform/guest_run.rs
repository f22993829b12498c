//! A guest's run: its program, with the accesses that it makes.
//!
//! Invariant: an access that may find a page or fault for nothing does both, once.

use super::LoomMachine;
use crate::guest::Stop;
use crate::world::RAM_BASE;
use crate::{history, story, wording};
use engine::vcpu::context::{self, Context, Frame, GuestExit};
use percpu::CpuId;
use std::sync::atomic::Ordering::{self, Relaxed};

/// Exception classes: WFI, HVC.
const WFI: u64 = 0x01;
const HVC: u64 = 0x16;

/// ESR_EL2 of a data abort from a lower EL by a level-3 translation fault, without a described access.
pub fn data_abort(is_store: bool) -> u64 {
    0x24 << 26 | 1 << 25 | u64::from(is_store) << 6 | 0b00_0111
}

impl LoomMachine {
    /// Runs a guest up to its next exit, its accesses included.
    pub(super) fn run_program(
        &self,
        cpu: CpuId,
        context: &mut Context,
        mut answer: impl FnMut(context::Stop<'_>) -> bool,
    ) -> GuestExit {
        loop {
            let history = self.history();
            history.goes_on(cpu, context.frame.pc, &context.frame.x);
            let stop = self.guests().run(context);
            let Frame { pc, x, .. } = &context.frame;
            match stop {
                Stop::Exit(GuestExit::Sync { esr, .. }) => match esr >> 26 {
                    // Behind the HVC.
                    HVC => history.act(cpu, "h", pc - 4, &history::words(&x[..7])),
                    WFI => history.act(cpu, "w", *pc, ""),
                    _ => history.act(cpu, "s", *pc, &history::words(&[x[0] >> 24 & 0xf])),
                },
                _ => {}
            }
            let (page, store) = match stop {
                Stop::Exit(exit) if self.goes_on(cpu, context, exit, &mut answer) => continue,
                Stop::Exit(exit) => return exit,
                Stop::Access(page, store) => (RAM_BASE + page, store),
            };
            // A load leaves everything as it is.
            let mut hardware = match store {
                Some(_) => self.event(),
                None => self.look(cpu),
            };
            let outcome = hardware.access(cpu.index(), page, store);
            drop(hardware);
            story::step(|| wording::access(page, store, &outcome.values));
            // Relaxed: the core's own.
            let tried = &self.cores[cpu.index()].tried;
            let again = tried.swap(context.frame.pc, Relaxed) == context.frame.pc;
            if outcome.values.is_empty() || outcome.fault && !again {
                let what = history::words(&[page << 12, u64::from(store.is_some())]);
                self.history().act(cpu, "t", context.frame.pc, &what);
                return GuestExit::Sync {
                    esr: data_abort(store.is_some()),
                    far: page << 12,
                    hpfar: page << 4,
                };
            }
            let loaded = if store.is_none() {
                &outcome.values[..]
            } else {
                &[]
            };
            self.guests().end_access(context, loaded);
        }
    }

    /// Is `exit` answered within the run? A guest that waits for the host's interrupt sees to a doorbell first.
    fn goes_on(
        &self,
        cpu: CpuId,
        context: &mut Context,
        exit: GuestExit,
        answer: &mut impl FnMut(context::Stop<'_>) -> bool,
    ) -> bool {
        let Context {
            frame, timer, gic, ..
        } = context;
        match exit {
            GuestExit::Sync { esr, .. } => answer(context::Stop::Sync { frame, esr }),
            // Acquire: pairs with the Release of `send_sgi`, as the interrupt does.
            GuestExit::Interrupt if self.cores[cpu.index()].rung.load(Ordering::Acquire) => {
                answer(context::Stop::Interrupt { timer, gic })
            }
            _ => false,
        }
    }
}
