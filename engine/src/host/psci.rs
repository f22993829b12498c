//! PSCI of the host (Arm DEN0022), trapped from SMC: its cores are parked at EL2 and released, the
//! firmware sees none of it but the end of the machine.

use super::trap::Next;
use crate::engine::Engine;
use crate::platform::Platform;
use crate::trap::psci::{CpuOn, PsciCall, affinity_info, already, check_suspend, features};
use crate::vcpu::pick::LOOKS;
use abi::psci;
use percpu::{CpuToken, MAX_VCPUS};

impl<P: Platform> Engine<P> {
    /// Answers a PSCI call: x0, and what the core does next.
    pub(super) fn host_psci(&self, cpu: &mut CpuToken, call: PsciCall) -> (i64, Next) {
        match call {
            PsciCall::Version => (psci::VERSION_1_1 as i64, Next::Resume),
            PsciCall::Features { function } => (features(function), Next::Resume),
            PsciCall::MigrateInfoType => (psci::MIGRATION_NOT_REQUIRED, Next::Resume),
            PsciCall::AffinityInfo { target, level } => {
                let cores = self.parts.host_cores.iter();
                let states = cores.map(|core| (core.mpidr(), core.power()));
                (affinity_info(target, level, states), Next::Resume)
            }
            PsciCall::CpuOn(call) => (
                self.host_cpu_on(cpu, &call).err().unwrap_or(psci::SUCCESS),
                Next::Resume,
            ),
            PsciCall::CpuOff => {
                if self.has_queued(cpu) && cfg!(not(mutant = "off-with-queue")) {
                    return (psci::DENIED, Next::Resume);
                }
                if let Some(core) = self.parts.host_cores.get(cpu.id().index())
                    && !cfg!(mutant = "cpu-off-stays-on")
                {
                    core.turn_off();
                }
                (psci::SUCCESS, Next::Park)
            }
            // Standby returns at once: the host's own WFI does not trap and does it better.
            // Power-down is downgraded to it (DEN0022 5.4.4).
            PsciCall::CpuSuspend {
                power_state,
                entry,
                context,
            } => {
                let checked = check_suspend(power_state, entry, context, |_| true);
                let refused = checked
                    .err()
                    .filter(|_| cfg!(not(mutant = "suspend-unchecked")));
                (refused.unwrap_or(psci::SUCCESS), Next::Resume)
            }
            PsciCall::SystemOff => (psci::SUCCESS, Next::SystemOff),
            PsciCall::SystemReset => (psci::SUCCESS, Next::SystemReset),
        }
    }

    fn host_cpu_on(&self, cpu: &CpuToken, call: &CpuOn) -> Result<(), i64> {
        let find = |affinity: u64| {
            let cores = self.parts.host_cores.iter();
            (0..self.parts.host_cores.len())
                .zip(cores)
                .find(|(_, core)| core.mpidr() == affinity)
        };
        // Where the host may not fetch, its first fetch faults: any address is as good as another.
        let (index, core) = call.check(find, |_| true)?;
        core.release(call.entry, call.context).or_else(already)?;
        if let Some(target) = self.cpu(index as u64) {
            self.parts.platform.release_core(cpu.id(), target);
        }
        Ok(())
    }

    /// Has this core vCPUs queued? CPU_OFF would strand them. As long as the core has many: it is the host's last call
    /// here.
    fn has_queued(&self, cpu: &mut CpuToken) -> bool {
        // As many turns as empty a full mailbox.
        for _ in 0..MAX_VCPUS / LOOKS {
            if !self.take_in(cpu) {
                break;
            }
        }
        let id = cpu.id();
        self.parts
            .cores
            .get(cpu, |core| {
                let turns = core.order.len();
                let mut queued = false;
                for _ in 0..turns {
                    let Some(slot) = core.order.pop_front() else {
                        break;
                    };
                    let Some(vcpu) = self.parts.vcpus.get(usize::from(slot)) else {
                        continue;
                    };
                    if vcpu.residency().now().1 == percpu::Residence::Queued(id) {
                        core.order.push_back(slot);
                        queued = true;
                    }
                }
                queued
            })
            .unwrap_or(false)
    }
}
