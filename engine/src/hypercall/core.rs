//! CPU_RUN's registers.

use super::{Answer, Outcome};
use crate::engine::Engine;
use crate::platform::Platform;
use abi::{ARGUMENT_REGISTERS, CpuRunArgs};
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    #[inline(never)]
    pub(super) fn call_cpu_run(
        &self,
        cpu: &mut CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let exit = self.cpu_run(cpu, CpuRunArgs::from_registers(x).budget);
        if let Some(counters) = self.counters(cpu.id()) {
            counters.add_exit(exit.reason);
        }
        let mut results = [0; 9];
        results[0] = exit.reason.raw();
        results[1] = exit.vcpu.raw();
        results[2..].copy_from_slice(&exit.details);
        Ok(Answer::with(&results))
    }
}
