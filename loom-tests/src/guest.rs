//! What guests do: a program of few steps, that the PC alone says how far they are in.
//!
//! Invariant: a guest takes an interrupt, and ends it, as soon as it waits or is done and finds it in
//! a list register; so each that was delivered is counted once.

use abi::psci;
use engine::vcpu::context::{Context, GuestExit};
use std::collections::BTreeMap;

/// ICH_VMCR_EL2 of a guest that takes all interrupts: both groups on, the mask open.
const VMCR: u64 = 0xf8 << 24 | 2 << 21 | 3 << 18 | 0b11;
/// Exception classes of WFI, of HVC, and of MSR ICC_SGI1R_EL1 from x0, all 32-bit instructions.
const ESR_WFI: u64 = 0x01 << 26 | 1 << 25;
const ESR_HVC: u64 = 0x16 << 26 | 1 << 25;
const ESR_SGI: u64 = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
/// ICC_SGI1R_EL1: SGI 5 to all others.
const TO_ALL_OTHERS: u64 = 1 << 40 | 5 << 24;

/// One thing that a guest does.
#[derive(Clone, Copy, Debug)]
pub enum GuestStep {
    /// `HVC #0` with x0 and x1.
    Hvc(u64, u64),
    /// PSCI CPU_ON of the vCPU with this affinity, which begins at that step.
    CpuOn(u64, usize),
    /// An SGI to all other vCPUs.
    Sgi,
    /// WFI: goes on at once if there is an interrupt.
    Wfi,
    /// Takes its interrupts and waits for the host's: the end of one vCPU's part of the program.
    Stop,
    /// A load from the page with this number of its RAM.
    Load(u64),
    /// A store of a value there.
    Store(u64, u64),
}

/// Where a guest's program stops.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// It leaves.
    Exit(GuestExit),
    /// It loads from, or with a value stores to, a page of its RAM.
    Access(u64, Option<u64>),
}

/// The program of all guests, what they were answered, and how many interrupts they took.
#[derive(Default)]
pub struct Guests {
    entry: u64,
    steps: Vec<GuestStep>,
    answers: BTreeMap<usize, i64>,
    taken: usize,
    loaded: Vec<u64>,
}

impl Guests {
    /// Says what guests that begin at `entry` do; before the first runs.
    pub fn set_program(&mut self, entry: u64, steps: &[GuestStep]) {
        self.entry = entry;
        self.steps = steps.to_vec();
    }

    /// x0 after the call that is this step, once its vCPU has gone on behind it.
    pub fn answer(&self, step: usize) -> Option<i64> {
        self.answers.get(&step).copied()
    }

    /// Interrupts that were taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// All values that loads may have found, in order.
    pub fn loaded(&self) -> &[u64] {
        &self.loaded
    }

    /// The access at which a guest stopped is done; a load may have found these values.
    pub fn end_access(&mut self, context: &mut Context, loaded: &[u64]) {
        self.loaded.extend(loaded);
        context.frame.pc += 4;
    }

    /// Runs a guest up to its next access or exit; behind its last step it waits for the host's interrupt.
    pub fn run(&mut self, context: &mut Context) -> Stop {
        context.gic.ich.vmcr = VMCR;
        let call = self.index_of(context).wrapping_sub(1);
        if let Some(GuestStep::Hvc(..) | GuestStep::CpuOn(..)) = self.steps.get(call) {
            self.answers.insert(call, context.frame.x[0] as i64);
        }
        loop {
            let esr = match self.steps.get(self.index_of(context)).copied() {
                None | Some(GuestStep::Stop) => {
                    self.take_interrupts(context);
                    return Stop::Exit(GuestExit::Interrupt);
                }
                Some(GuestStep::Wfi) if self.take_interrupts(context) => {
                    context.frame.pc += 4;
                    continue;
                }
                Some(GuestStep::Wfi) => ESR_WFI,
                Some(GuestStep::Load(page)) => return Stop::Access(page, None),
                Some(GuestStep::Store(page, value)) => return Stop::Access(page, Some(value)),
                Some(GuestStep::Hvc(function, argument)) => {
                    context.frame.x[..4].copy_from_slice(&[function, argument, 0, 0]);
                    context.frame.pc += 4;
                    ESR_HVC
                }
                Some(GuestStep::CpuOn(affinity, step)) => {
                    let entry = self.entry + 4 * step as u64;
                    let call = [psci::CPU_ON_64, affinity, entry, 0];
                    context.frame.x[..4].copy_from_slice(&call);
                    context.frame.pc += 4;
                    ESR_HVC
                }
                Some(GuestStep::Sgi) => {
                    context.frame.x[0] = TO_ALL_OTHERS;
                    ESR_SGI
                }
            };
            return Stop::Exit(GuestExit::Sync {
                esr,
                far: 0,
                hpfar: 0,
            });
        }
    }

    fn index_of(&self, context: &Context) -> usize {
        (context.frame.pc.wrapping_sub(self.entry) / 4) as usize
    }

    fn take_interrupts(&mut self, context: &mut Context) -> bool {
        let lists = &mut context.gic.ich.lr;
        let taken = lists.iter().filter(|list| **list != 0).count();
        lists.fill(0);
        self.taken += taken;
        taken != 0
    }
}
