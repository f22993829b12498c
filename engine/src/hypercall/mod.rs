//! The host's calls: from registers to one operation and back.
//!
//! `Registers in -> Call -> argument checks that need no shared state -> the operation -> Answer`.
//! Invariants: every register value is untrusted until its check; an answer of the engine's own
//! calls zeroes every result register it does not use, so that nothing of the engine's is left in
//! them; unknown and standard calls leave x4–x17 as they were (SMCCC 1.2, DEN0028 2.6).

mod arguments;
mod core;
mod info;
mod memory;
mod vcpu;
mod vm;

#[cfg(target_os = "none")]
pub(crate) use info::QUICK_INFOS;

use crate::engine::Engine;
use crate::memory::Batch;
use crate::memory::reclaim::Reclaimed;
use crate::platform::Platform;
use crate::trace::Event;
use abi::{ARGUMENT_REGISTERS, Call, RESULT_REGISTERS, Status, smccc};
use percpu::CpuToken;

/// Results that a call has at most, but for ENGINE_RECLAIM.
const RESULTS: usize = 9;
/// Those beyond: ENGINE_RECLAIM's.
type Beyond = [u64; RESULT_REGISTERS - RESULTS];
const _: () = {
    let mut index = 0;
    while index < Call::ALL.len() {
        let call = Call::ALL[index];
        assert!(call.results() <= RESULTS || call.number() == Call::EngineReclaim.number());
        index += 1;
    }
};

/// What a call returns: x0, then x1 and up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    status: Status,
    results: [u64; RESULTS],
}

impl Answer {
    /// Done, with nothing to tell.
    const DONE: Self = Self {
        status: Status::Success,
        results: [0; RESULTS],
    };

    /// Done, with all these results.
    const fn of(results: [u64; RESULTS]) -> Self {
        Self {
            status: Status::Success,
            results,
        }
    }

    /// Done, with these results.
    fn with(values: &[u64]) -> Self {
        let mut results = [0; RESULTS];
        for (register, value) in results.iter_mut().zip(values) {
            *register = *value;
        }
        Self::of(results)
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self {
            status,
            ..Self::DONE
        }
    }
}

impl From<Batch> for Answer {
    /// A batch that did nothing is refused with its reason; one that did something succeeded.
    fn from(batch: Batch) -> Self {
        if batch.done == 0 {
            return batch.reason.into();
        }
        Self::of([batch.done, batch.reason.raw() as u64, 0, 0, 0, 0, 0, 0, 0])
    }
}

impl From<Reclaimed> for Answer {
    fn from(reclaimed: Reclaimed) -> Self {
        let finished = u64::from(reclaimed.finished);
        Self::of([reclaimed.pages, finished, 0, 0, 0, 0, 0, 0, 0])
    }
}

/// May the call take a bite of work: then nothing else is done on its occasion.
const fn does_much(call: Call) -> bool {
    matches!(
        call,
        Call::EngineDonate
            | Call::EngineReclaim
            | Call::VmCreate
            | Call::VmMap
            | Call::VmMapList
            | Call::VmLend
            | Call::VmUnlend
            | Call::VmReclaim
            | Call::VcpuCreate
            | Call::PagePoison
            | Call::PageCensus
    )
}

/// What a call answers that ended so. Inlined: a short result is never made a long one on the way.
#[inline(always)]
fn answer<T: Into<Answer>>(outcome: Result<T, Status>) -> Answer {
    match outcome {
        Ok(done) => done.into(),
        Err(status) => status.into(),
    }
}

/// The result of an operation that may be refused.
type Outcome = Result<Answer, Status>;

impl<P: Platform> Engine<P> {
    /// Answers `HVC #imm` of the host with x0–x17 in `x`.
    pub fn hypercall(&self, cpu: &mut CpuToken, imm: u16, x: &mut [u64; 18]) {
        // DEN0028 2.9: other immediates are reserved; x0 is 32 bits of function identifier.
        let function = x[0] & 0xffff_ffff;
        let call = if imm == 0 || cfg!(mutant = "call-any-immediate") {
            Call::from_function_id(function)
        } else {
            None
        };
        let Some(call) = call else {
            self.standard_call(imm, function, x);
            return;
        };
        let [first, registers @ ..] = x;
        let Some((registers, beyond)) = registers.split_first_chunk_mut::<RESULTS>() else {
            return;
        };
        let (Some(arguments), Some(beyond)) = (registers.first_chunk(), beyond.first_chunk_mut())
        else {
            return;
        };
        // No arguments are there (SMCCC's x10 to x17); a call that says more than others says it there.
        #[cfg(not(mutant = "call-keep-results"))]
        {
            *beyond = Beyond::default();
        }
        let answer = self.dispatch(cpu, call, arguments, beyond);
        *first = answer.status.raw() as u64;
        #[cfg(not(mutant = "call-keep-results"))]
        {
            *registers = answer.results;
        }
        #[cfg(mutant = "call-keep-results")]
        for (register, result) in registers
            .iter_mut()
            .zip(answer.results)
            .take(call.results())
        {
            *register = result;
        }
        if let Some(counters) = self.counters(cpu.id()) {
            counters.add_call(call, answer.status != Status::Success);
        }
        let status = answer.status.raw() as u64 & 0xffff;
        self.trace(cpu, Event::Call, call.number() << 32 | status);
        if !does_much(call) {
            self.join_rested(cpu);
        }
    }

    /// SMCCC discovery towards the host; everything else is not supported.
    fn standard_call(&self, imm: u16, function: u64, x: &mut [u64; 18]) {
        match (imm, function) {
            (0, smccc::VERSION) => x[0] = smccc::VERSION_1_2,
            (0, smccc::VENDOR_HYP_CALL_UID) => {
                for (register, word) in x.iter_mut().zip(abi::CALL_UID) {
                    *register = u64::from(word);
                }
            }
            _ => {
                #[cfg(mutant = "unknown-clears")]
                x.fill(0);
                x[0] = smccc::NOT_SUPPORTED as u64;
            }
        }
    }

    fn dispatch(
        &self,
        cpu: &mut CpuToken,
        call: Call,
        x: &[u64; ARGUMENT_REGISTERS],
        beyond: &mut Beyond,
    ) -> Answer {
        match call {
            Call::EngineInfo => answer(self.call_engine_info(cpu, x)),
            Call::EngineDoorbell => answer(self.call_engine_doorbell(x)),
            Call::EngineDonate => answer(self.call_engine_donate(cpu, x)),
            Call::EngineReclaim => answer(self.call_engine_reclaim(cpu, x, beyond)),
            Call::VmCreate => answer(self.call_vm_create(cpu, x)),
            Call::VmMap => answer(self.call_vm_map(cpu, x)),
            Call::VmMapList => answer(self.call_vm_map_list(cpu, x)),
            Call::VmLend => answer(self.call_vm_lend(cpu, x)),
            Call::VmUnlend => answer(self.call_vm_unlend(cpu, x)),
            Call::VmStart => answer(self.call_vm_start(cpu, x)),
            Call::VmDestroy => answer(self.call_vm_destroy(cpu, x)),
            Call::VmReclaim => answer(self.call_vm_reclaim(cpu, x)),
            Call::VcpuCreate => answer(self.call_vcpu_create(cpu, x)),
            Call::VcpuEnqueue => answer(self.call_vcpu_enqueue(cpu, x)),
            Call::VcpuDequeue => answer(self.call_vcpu_dequeue(cpu, x)),
            Call::CpuRun => answer(self.call_cpu_run(cpu, x)),
            Call::VcpuRespond => answer(self.call_vcpu_respond(cpu, x)),
            Call::VcpuInject => answer(self.call_vcpu_inject(cpu, x)),
            Call::PageInfo => answer(self.call_page_info(x)),
            Call::PagePoison => answer(self.call_page_poison(cpu, x)),
            Call::PageCensus => answer(self.call_page_census(x)),
            Call::TraceRead => answer(self.call_trace_read(x)),
            Call::StatsRead => answer(self.call_stats_read(x)),
        }
    }
}
