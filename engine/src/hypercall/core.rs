//! CPU_RUN's registers.

use super::{Answer, Outcome};
use crate::engine::Engine;
use crate::platform::Platform;
use crate::vcpu::run::RunExit;
use abi::{ARGUMENT_REGISTERS, CpuRunArgs};
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    #[inline(never)]
    pub(super) fn call_cpu_run(
        &self,
        cpu: &mut CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let mut exit = RunExit::new();
        self.cpu_run(cpu, CpuRunArgs::from_registers(x).budget, &mut exit);
        if let Some(counters) = self.counters(cpu.id()) {
            counters.add_exit(exit.reason);
        }
        let [d0, d1, d2, d3, d4, d5, d6] = exit.details;
        let (reason, vcpu) = (exit.reason.raw(), exit.vcpu.raw());
        Ok(Answer::of([reason, vcpu, d0, d1, d2, d3, d4, d5, d6]))
    }
}
