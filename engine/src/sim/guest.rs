//! Guests: each vCPU runs a script of accesses, calls and waits, and leaves a log of what it saw.
//!
//! Invariants: an operation that traps is tried again when the vCPU is entered at the same address,
//! over when it is entered behind it, and has ended in an exception when it is entered anywhere
//! else. A guest whose script is used up computes until its turn ends, or waits for an interrupt if its turn
//! never ends. A vCPU runs on one core at a time.

use super::access::Want;
use super::hardware::{Inner, Sim};
use super::script::{AfterTrap, AnyTrap, GuestOp, Seen};
use super::syndrome::{RT, SEND_SGI, Shape, abort_registers, esr};
use super::told::{Told, Tried};
use crate::trap::syndrome::{class, exception_class};
use crate::vcpu::calls::AFFINITY;
use crate::vcpu::context::{Context, GuestExit, PSTATE_EL1H_MASKED, Stop};
use percpu::CpuId;
use std::boxed::Box;
use std::collections::VecDeque;
use std::format;
use std::vec::Vec;

/// ICH_VMCR_EL2: VPMR, VENG1, VENG0.
const VMCR_ALL: u64 = 0xff << 24 | 0b11;
/// CNTV_CTL_EL0.ENABLE.
const TIMER_ENABLE: u64 = 1;

/// A vCPU's script.
#[derive(Default)]
pub(super) struct Script {
    ops: VecDeque<GuestOp>,
    /// The trap that the first operation is at: the address of its instruction.
    trapped_at: Option<u64>,
    /// The address of the instruction of a [`GuestOp::Trap`].
    any_at: u64,
    /// An SError is pending that EL2 finds after the exit.
    late_serror: bool,
    log: Vec<Seen>,
}

/// How one step went.
enum Step {
    Next(Seen),
    Exit(GuestExit),
    Elsewhere(Box<dyn FnOnce() + Send>),
}

impl Sim {
    /// Gives the vCPU `affinity` of `vmid` more to do.
    pub fn extend_script(&self, vmid: u16, affinity: u64, ops: impl IntoIterator<Item = GuestOp>) {
        self.inner()
            .scripts
            .entry((vmid, affinity))
            .or_default()
            .ops
            .extend(ops);
    }

    /// What the vCPU saw since it was last asked.
    pub fn take_log(&self, vmid: u16, affinity: u64) -> Vec<Seen> {
        let mut inner = self.inner();
        let script = inner.scripts.entry((vmid, affinity)).or_default();
        std::mem::take(&mut script.log)
    }

    /// How often a core looked whether an interrupt waits for the host.
    pub fn looks_for_interrupts(&self, cpu: usize) -> u64 {
        self.inner().cores[cpu].looks
    }

    /// Forgets the scripts of a VMID: another VM begins there.
    pub fn drop_scripts(&self, vmid: u16) {
        self.inner().scripts.retain(|key, _| key.0 != vmid);
    }

    /// All vCPUs have nothing to do from now on; what they are trapped at still ends.
    pub fn clear_scripts(&self) {
        for script in self.inner().scripts.values_mut() {
            script.ops.clear();
        }
    }

    /// [`Platform::run_guest`](crate::platform::Platform::run_guest).
    pub(super) fn run_script(
        &self,
        cpu: CpuId,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        mut answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit {
        let key = ((vttbr >> 48) as u16, context.vmpidr & AFFINITY);
        self.begin_run(cpu, vttbr, key);
        let exit = loop {
            if let Some(exit) = self.must_stop(cpu, until) {
                let Context { timer, gic, .. } = &mut *context;
                if answer(Stop::Interrupt { timer, gic }) {
                    continue;
                }
                break exit;
            }
            match self.step(cpu, context, key, until) {
                Step::Next(seen) => {
                    let mut inner = self.inner();
                    let script = inner.scripts.entry(key).or_default();
                    script.ops.pop_front();
                    script.log.push(seen);
                    context.frame.pc = context.frame.pc.wrapping_add(4);
                }
                Step::Exit(exit) => {
                    let frame = &mut context.frame;
                    match exit {
                        GuestExit::Sync { esr, .. } if answer(Stop::Sync { frame, esr }) => {}
                        _ => break exit,
                    }
                }
                Step::Elsewhere(act) => act(),
            }
        };
        let mut inner = self.inner();
        inner.running.remove(&key);
        let script = inner.scripts.entry(key).or_default();
        match std::mem::take(&mut script.late_serror) {
            true => GuestExit::SError { esr: esr(0x2f, 0) },
            false => exit,
        }
    }

    fn begin_run(&self, cpu: CpuId, vttbr: u64, key: (u16, u64)) {
        let mut inner = self.inner();
        self.enter(&mut inner, cpu.index(), vttbr);
        self.note(Told::Entered(cpu.index(), key));
        if let Some(other) = inner.running.insert(key, cpu.index()) {
            inner.violation(format!(
                "vCPU {key:?} runs on cores {other} and {}",
                cpu.index()
            ));
        }
        let core = &mut inner.cores[cpu.index()];
        let before = core.cached_for.insert(key.0, key.1);
        if before.is_some_and(|before| before != key.1) {
            inner.violation(format!(
                "vCPU {key:?} runs on core {} with what vCPU {before:?} left cached",
                cpu.index()
            ));
        }
    }

    fn must_stop(&self, cpu: CpuId, until: u64) -> Option<GuestExit> {
        self.advance(10);
        let late = crate::platform::Platform::counter(self, cpu) >= until;
        let core = &self.inner().cores[cpu.index()];
        (late || core.interrupt || core.doorbell).then_some(GuestExit::Interrupt)
    }

    fn step(&self, cpu: CpuId, context: &mut Context, key: (u16, u64), until: u64) -> Step {
        let mut inner = self.inner();
        let script = inner.scripts.entry(key).or_default();
        if let Some(at) = script.trapped_at.take()
            && context.frame.pc != at
        {
            let seen = finish(script, context, at);
            self.note(Told::Finished(cpu.index(), context.frame.x[RT]));
            return Step::Next(seen);
        }
        let pc = context.frame.pc;
        let Some(op) = script.ops.front() else {
            if until == u64::MAX {
                return Step::Exit(GuestExit::Sync {
                    esr: esr(0x01, 0),
                    far: 0,
                    hpfar: 0,
                });
            }
            self.advance_to(until);
            return Step::Exit(GuestExit::Interrupt);
        };
        if let Some(tried) = Tried::of(op) {
            self.note(Told::Tried(cpu.index(), tried));
        }
        let sync = |esr| GuestExit::Sync {
            esr,
            far: 0,
            hpfar: 0,
        };
        let trap = |inner: &mut Inner, exit| {
            inner.scripts.entry(key).or_default().trapped_at = Some(pc);
            Step::Exit(exit)
        };
        match op {
            GuestOp::Hvc(x) | GuestOp::Smc(x) => {
                let is_hvc = matches!(op, GuestOp::Hvc(_));
                context.frame.x[..7].copy_from_slice(x);
                if is_hvc {
                    // The preferred return address of HVC is behind it.
                    context.frame.pc = pc.wrapping_add(4);
                }
                trap(&mut inner, sync(esr(if is_hvc { 0x16 } else { 0x17 }, 0)))
            }
            GuestOp::Wfi => trap(&mut inner, sync(esr(0x01, 0))),
            GuestOp::Sysreg(iss) => {
                let iss = u64::from(*iss) & !(0x1f << 5) | (RT as u64) << 5;
                trap(&mut inner, sync(esr(0x18, iss)))
            }
            GuestOp::SendSgi(value) => {
                context.frame.x[RT] = *value;
                trap(&mut inner, sync(esr(0x18, SEND_SGI | (RT as u64) << 5)))
            }
            GuestOp::SError => {
                script.ops.pop_front();
                Step::Exit(GuestExit::SError { esr: esr(0x2f, 0) })
            }
            GuestOp::LateSError => {
                script.late_serror = true;
                Step::Next(Seen::Done)
            }
            GuestOp::TlbConflict(address) => {
                let (far, hpfar) = (*address, *address >> 12 << 4);
                script.ops.pop_front();
                let esr = esr(0x24, 0b11_0000);
                Step::Exit(GuestExit::Sync { esr, far, hpfar })
            }
            GuestOp::Trap(_) => {
                let Some(GuestOp::Trap(trap)) = script.ops.pop_front() else {
                    return Step::Next(Seen::Done);
                };
                script.ops.push_front(GuestOp::Trapped);
                script.any_at = pc;
                let AnyTrap {
                    x,
                    pstate,
                    esr,
                    far,
                    hpfar,
                } = *trap;
                (context.frame.x, context.frame.pstate) = (x, pstate);
                if exception_class(esr) == class::HVC {
                    context.frame.pc = pc.wrapping_add(4);
                }
                Step::Exit(GuestExit::Sync { esr, far, hpfar })
            }
            GuestOp::Trapped => {
                let Context { frame, el1, .. } = context;
                let after = AfterTrap {
                    x: frame.x,
                    pc: frame.pc,
                    pstate: frame.pstate,
                    exception: [el1.esr, el1.elr, el1.spsr, el1.far],
                };
                (frame.pc, frame.pstate) = (script.any_at, PSTATE_EL1H_MASKED);
                Step::Next(Seen::Trapped(script.any_at, Box::new(after)))
            }
            GuestOp::Interrupt => {
                inner.cores[cpu.index()].interrupt = true;
                Step::Next(Seen::Done)
            }
            GuestOp::EnableInterrupts => {
                context.gic.ich.vmcr = VMCR_ALL;
                Step::Next(Seen::Done)
            }
            GuestOp::SetTimer(at) => {
                let timer = &mut context.timer;
                timer.cval = at.wrapping_sub(timer.offset);
                timer.ctl = TIMER_ENABLE;
                Step::Next(Seen::Done)
            }
            GuestOp::LookAtInterrupts => {
                let lists = context.gic.ich.lr.iter().copied();
                Step::Next(Seen::Interrupts(lists.filter(|list| *list != 0).collect()))
            }
            GuestOp::Look => Step::Next(Seen::Registers(Box::new(context.frame.x))),
            GuestOp::Elsewhere(_) => {
                let Some(GuestOp::Elsewhere(act)) = script.ops.pop_front() else {
                    return Step::Next(Seen::Done);
                };
                Step::Elsewhere(act)
            }
            GuestOp::Load(_)
            | GuestOp::LoadPair(_)
            | GuestOp::Store(_)
            | GuestOp::StoreRaw(..)
            | GuestOp::LoadPart(..)
            | GuestOp::StorePart(..)
            | GuestOp::Fetch(_) => {
                let shape = match op {
                    GuestOp::LoadPair(_) => None,
                    GuestOp::LoadPart(_, shape) | GuestOp::StorePart(_, shape, _) => Some(*shape),
                    _ => Some(Shape::WORD),
                };
                let (address, want) = match *op {
                    GuestOp::Store(address) => (address, Want::Store),
                    GuestOp::StoreRaw(address, value) | GuestOp::StorePart(address, _, value) => {
                        context.frame.x[RT] = value;
                        (address, Want::StoreRaw(value))
                    }
                    GuestOp::Fetch(address) => (address, Want::Fetch),
                    GuestOp::Load(address)
                    | GuestOp::LoadPair(address)
                    | GuestOp::LoadPart(address, _) => (address, Want::Load),
                    _ => return Step::Next(Seen::Done),
                };
                drop(inner);
                match self.access(cpu.index(), address, want) {
                    Ok(value) => Step::Next(match want {
                        Want::Load => {
                            context.frame.x[RT] = value;
                            Seen::Value(value)
                        }
                        Want::Fetch => Seen::Fetched,
                        Want::Store | Want::StoreRaw(_) => Seen::Stored(value),
                    }),
                    Err(fault) => {
                        let (esr, far, hpfar) = abort_registers(address, want, shape, fault);
                        trap(&mut self.inner(), GuestExit::Sync { esr, far, hpfar })
                    }
                }
            }
        }
    }
}

/// The trapped operation at `at` is over: what became of it. Leaves the PC before the next.
fn finish(script: &Script, context: &mut Context, at: u64) -> Seen {
    let frame = &mut context.frame;
    if frame.pc == at.wrapping_add(4) {
        frame.pc = at;
        return match script.ops.front() {
            Some(GuestOp::Hvc(_) | GuestOp::Smc(_)) => {
                Seen::Returned([frame.x[0], frame.x[1], frame.x[2], frame.x[3]])
            }
            Some(GuestOp::Wfi) | None => Seen::Done,
            _ => Seen::Emulated(frame.x[RT]),
        };
    }
    if context.el1.elr == at && frame.pc == context.el1.vbar + 0x200 {
        // The handler returns behind it.
        frame.pc = at;
        frame.pstate = PSTATE_EL1H_MASKED;
        return Seen::Exception(context.el1.esr);
    }
    frame.pc = frame.pc.wrapping_sub(4);
    Seen::Started(frame.x[0])
}
