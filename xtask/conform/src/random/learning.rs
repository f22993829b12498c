//! What the host learns from answers, and does next because of them.

use abi::{Call, ExitReason, Status, psci};

use super::{PAGE, World};
use crate::deed::{Deed, call_of};
use crate::rig::Came;

impl World {
    /// Remembers what came of a deed.
    pub fn learn(&mut self, deed: &Deed, came: &Came) {
        match (deed, came) {
            (Deed::Hvc { imm, x, cpu }, Some(told)) if told[0] == Status::Success.raw() as u64 => {
                if let Some(call) = call_of(*imm, x[0]) {
                    self.learn_call(*cpu, call, x, told);
                }
            }
            (Deed::Smc { cpu, x }, Some(told)) if told[0] == 0 => match x[0] {
                psci::CPU_OFF => {}
                psci::CPU_ON_64 => self.off.push(x[1] as usize),
                _ => _ = cpu,
            },
            _ => {}
        }
    }

    fn learn_call(&mut self, cpu: usize, call: Call, asked: &[u64; 7], told: &[u64; 18]) {
        let vm = asked[1];
        match call {
            Call::VmCreate => {
                self.vms.push(told[1]);
                self.live.push(told[1]);
                self.raise(told[1]);
            }
            Call::VcpuCreate => {
                self.vcpus.push(told[1]);
                self.vm_of.insert(told[1], vm);
            }
            Call::VmStart => {
                let cpu = self.random.below(self.config.cpus as u64);
                self.plan
                    .push(Deed::call(cpu as usize, Call::CpuRun, &[5_000]));
                let script = self.script_of((vm & 0xffff) as u16, 0);
                self.plan.push(script);
                for vcpu in self.vcpus.iter().rev().take(2) {
                    self.plan
                        .push(Deed::call(0, Call::VcpuEnqueue, &[*vcpu, cpu]));
                }
            }
            Call::VmDestroy => {
                self.live.retain(|live| *live != vm);
                if !self.dying.contains(&vm) {
                    self.dying.push(vm);
                }
            }
            Call::VmReclaim if told[2] == 1 => self.dying.retain(|dying| *dying != vm),
            Call::PagePoison => self.poisoned += 1,
            Call::CpuRun => match ExitReason::from_raw(told[1]) {
                Some(ExitReason::RamFault) => {
                    self.faults.push(told[3]);
                    if let (Some(vm), false) =
                        (self.vm_of.get(&told[2]).copied(), self.random.one_in(4))
                    {
                        let page = self.first_page + self.random.below(self.host_pages()) * PAGE;
                        let call = self.random.pick(&[Call::VmMap, Call::VmMap, Call::VmLend]);
                        self.plan.push(Deed::call(cpu, Call::CpuRun, &[5_000]));
                        self.plan
                            .push(Deed::call(cpu, call, &[vm, page, told[3], 1, 7]));
                    }
                }
                Some(ExitReason::VcpuOn) => {
                    let cpu = self.random.below(self.config.cpus as u64);
                    self.plan
                        .push(Deed::call(0, Call::VcpuEnqueue, &[told[3], cpu]));
                    let script = self.vm_of.get(&told[2]).map(|vm| (vm & 0xffff) as u16);
                    if let Some(vm) = script {
                        let script = self.script_of(vm, 1);
                        self.plan.push(script);
                    }
                }
                Some(ExitReason::MmioRead | ExitReason::Call | ExitReason::MmioWrite) => {
                    let outcome = self.random.pick(&[0, 0, 0, 1]);
                    let respond = [told[2], self.random.next(), 78, 79, 80, outcome];
                    self.plan.push(Deed::call(cpu, Call::CpuRun, &[5_000]));
                    if self.random.one_in(2) {
                        self.plan.push(Deed::call(cpu, Call::VcpuRespond, &respond));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}
