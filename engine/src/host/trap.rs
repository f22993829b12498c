//! One exit of the host to its consequence.
//!
//! Invariant: every exit ends in an answer in the host's own registers or an exception at its EL1;
//! nothing the host does stops the engine.

use crate::engine::Engine;
use crate::platform::Platform;
use crate::trap::smc::{SmcClass, classify_host};
use crate::trap::syndrome::Trap;
use crate::trap::sysreg::{SysregOutcome, answer_host};
use crate::vcpu::context::HostFrame;
use abi::{Counter, smccc};
use percpu::CpuToken;

/// What the core does after an exit of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Back to the host.
    Resume,
    /// Parks at EL2 until it is released again.
    Park,
    /// The machine is switched off by the firmware.
    SystemOff,
    /// The machine is reset by the firmware.
    SystemReset,
}

impl<P: Platform> Engine<P> {
    /// Handles a synchronous exit of the host with its syndrome registers.
    pub fn host_trap(
        &self,
        cpu: &mut CpuToken,
        host: &mut HostFrame,
        esr: u64,
        far: u64,
        hpfar: u64,
    ) -> Next {
        let frame = &mut host.0;
        match Trap::decode(esr) {
            Trap::Hvc { imm } => {
                let mut x = [0; 18];
                x.copy_from_slice(&frame.x[..18]);
                self.hypercall(cpu, imm, &mut x);
                frame.x[..18].copy_from_slice(&x);
                Next::Resume
            }
            Trap::Smc { imm } => {
                frame.skip_instruction();
                let x = [frame.x[0], frame.x[1], frame.x[2], frame.x[3]];
                let (answer, next) = self.host_smc(cpu, imm, &x);
                for (register, value) in frame.x.iter_mut().zip(answer) {
                    *register = value;
                }
                next
            }
            Trap::Sysreg(access) => match answer_host(access, &self.parts.machine.id) {
                SysregOutcome::Read(value) => {
                    frame.set_reg(access.rt, value);
                    frame.skip_instruction();
                    Next::Resume
                }
                _ => self.host_undefined(cpu, host),
            },
            Trap::Abort(abort) => self.host_abort(cpu, frame, abort, far, hpfar),
            Trap::Wfx { .. } => {
                frame.skip_instruction();
                Next::Resume
            }
            _ => self.host_undefined(cpu, host),
        }
    }

    fn host_undefined(&self, cpu: &CpuToken, host: &mut HostFrame) -> Next {
        self.count(cpu, Counter::SysregDenied, 1);
        let taken = self
            .interrupted(cpu, &host.0)
            .take_undefined(self.pstate_features());
        self.enter_host_exception(cpu, &mut host.0, &taken);
        Next::Resume
    }

    /// An SMC of the host: x0–x3 after it. x4 and up stay as they are.
    fn host_smc(&self, cpu: &mut CpuToken, imm: u16, x: &[u64; 4]) -> ([u64; 4], Next) {
        let status = |value: i64| [value as u64, x[1], x[2], x[3]];
        match classify_host(imm, x) {
            SmcClass::Psci(call) => {
                let (answer, next) = self.host_psci(cpu, call);
                (status(answer), next)
            }
            SmcClass::Pass(call) => {
                let mut registers = [0; 18];
                registers[..4].copy_from_slice(&call);
                self.parts.platform.smc(cpu.id(), &mut registers);
                (
                    [registers[0], registers[1], registers[2], registers[3]],
                    Next::Resume,
                )
            }
            SmcClass::Answer(answer) => (status(answer), Next::Resume),
            SmcClass::Refuse => {
                self.count(cpu, Counter::SmcDenied, 1);
                (status(smccc::NOT_SUPPORTED), Next::Resume)
            }
        }
    }
}
