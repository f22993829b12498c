//! What a host does with vCPUs and with its own cores.
//!
//! Invariant: as in `host`, whose calls go on here.

use crate::cpu;
use crate::host::Host;
use crate::world::World;
use abi::{
    Call, ExitReason, InjectKind, Outcome, Status, VcpuCreateArgs, VcpuDequeueArgs,
    VcpuEnqueueArgs, VcpuHandle, VcpuInjectArgs, VmHandle,
};
use engine::host::Next;
use engine::vcpu::context::{Frame, HostFrame};
use percpu::Residence;

/// The interrupt that the models inject.
const SPI: u64 = 40;
/// The SGI that the engine rings with.
const DOORBELL: u64 = 5;

impl Host {
    /// VCPU_CREATE of the VM's first vCPU.
    pub fn create_vcpu(&mut self, vm: VmHandle) -> Result<VcpuHandle, Status> {
        self.create_vcpu_at(vm, 0)
    }

    /// VCPU_CREATE of the vCPU with this affinity.
    pub fn create_vcpu_at(&mut self, vm: VmHandle, mpidr: u64) -> Result<VcpuHandle, Status> {
        let arguments = VcpuCreateArgs {
            vm,
            mpidr,
            entry: World::ipa(0),
            arg: 0,
        };
        let results = self.call(Call::VcpuCreate, arguments.to_registers())?;
        Ok(VcpuHandle::from_raw(results[0]))
    }

    /// VCPU_ENQUEUE on a core.
    pub fn enqueue(&mut self, vcpu: VcpuHandle, cpu: u64) -> Result<(), Status> {
        let arguments = VcpuEnqueueArgs { vcpu, cpu };
        self.call(Call::VcpuEnqueue, arguments.to_registers())
            .map(drop)
    }

    /// VCPU_DEQUEUE.
    pub fn dequeue(&mut self, vcpu: VcpuHandle) -> Result<(), Status> {
        let arguments = VcpuDequeueArgs { vcpu };
        self.call(Call::VcpuDequeue, arguments.to_registers())
            .map(drop)
    }

    /// VCPU_RESPOND with zeroes.
    pub fn respond(&mut self, vcpu: VcpuHandle) -> Result<(), Status> {
        let outcome = Outcome::Complete.raw();
        self.call(Call::VcpuRespond, [vcpu.raw(), 0, 0, 0, 0, outcome])
            .map(drop)
    }

    /// VCPU_INJECT of an edge.
    pub fn inject(&mut self, vcpu: VcpuHandle) -> Result<(), Status> {
        let arguments = VcpuInjectArgs {
            vcpu,
            intid: SPI,
            kind: InjectKind::Edge.raw(),
            priority: 0,
        };
        self.call(Call::VcpuInject, arguments.to_registers())
            .map(drop)
    }

    /// ENGINE_DOORBELL.
    pub fn set_doorbell(&mut self) {
        self.call(Call::EngineDoorbell, [DOORBELL, 0, 0, 0, 0, 0])
            .expect("an SGI");
    }

    /// Is a core rung?
    pub fn is_rung(&self, core: u16) -> bool {
        self.machine().is_rung(cpu(core))
    }

    /// Did the guest that ran on a core last have to make room for another?
    pub fn takes_turns(&self, core: u16) -> bool {
        self.machine().takes_turns(cpu(core))
    }

    /// CPU_RUN for `budget` ticks, 0: no bound. Why it returned.
    pub fn run(&mut self, budget: u64) -> ExitReason {
        let results = self
            .call(Call::CpuRun, [budget, 0, 0, 0, 0, 0])
            .expect("CPU_RUN always answers");
        ExitReason::from_raw(results[0]).expect("a reason")
    }

    /// `SMC #0` with x0–x3: x0, and what the core does then.
    pub fn smc(&mut self, call: [u64; 4]) -> (i64, Next) {
        let mut frame = HostFrame(Frame::new(0, 0));
        frame.0.x[..4].copy_from_slice(&call);
        // An SMC from EL1, a 32-bit instruction.
        let esr = 0x17 << 26 | 1 << 25;
        self.machine().history().leave_out();
        let next = self.trap(&mut frame, esr, 0, 0);
        (frame.0.x[0] as i64, next)
    }

    /// On a parked core: waits until it is turned on. Where it starts, and with which x0.
    pub fn wait_parked(&self) -> Option<(u64, u64)> {
        let id = self.token.id();
        self.machine().park(id);
        self.engine().host_cores()[id.index()].take_release()
    }

    /// How often guests ran on this core.
    pub fn runs(&self) -> u64 {
        self.machine().runs(self.token.id())
    }

    /// Where a vCPU is by its word.
    pub fn residence(&self, vcpu: VcpuHandle) -> Residence {
        let slot = &self.engine().vcpus()[usize::from(vcpu.slot())];
        slot.residency().now_of(vcpu.generation())
    }
}
