//! The short ways: calls that need less than the whole of EL1's registers, answered from the vectors.
//!
//! | who calls | what | how |
//! | --- | --- | --- |
//! | host | one of the engine's calls | x0–x17, which SMCCC gives the call, to Rust and back |
//! | host | `ENGINE_INFO` below `FreePages` | the same with its one argument, one result and no event in the ring |
//! | host | a 64-bit function that nobody knows | here |
//! | host by SMC, guest by HVC | `PSCI_VERSION` | here |
//!
//! Everything else, and every immediate but 0, takes the long way, by `Engine::hypercall` or `arch_leave`. It
//! would answer the calls above alike: the simulated machine and the models have no other, and the hardware tests
//! ask for the same answers. What the short ways leave out: no event, and no look at an area that rested.
//!
//! Invariants: what EL1 had in registers that a call's answer does not name is in them afterwards
//! (SMCCC, DEN0028 2.6 and 3.1): x18 and up always, x4–x17 too where the engine does not know the call.
//! Meanwhile ELR_EL2 and SPSR_EL2 are on the stack: CPU_RUN uses both for guests. The engine's code has no
//! other registers (no FP), and none of EL1's is left on its stack when a run of the host ends here, but in
//! words that the next use writes over and that no address outside EL2 reaches.

use super::enter::RECORD_CALLS;
use super::metal::Metal;
use crate::engine::Engine;
use crate::hypercall::QUICK_INFOS;
use crate::stats::Counters;
use crate::vcpu::context::Frame;
use abi::{CALL_BASE, Call, Status, psci, smccc};
use core::arch::global_asm;
use percpu::CpuToken;

/// Whose calls a core answers while the host runs on it: the engine's, with the core's own token.
pub struct HostCalls {
    engine: &'static Engine<Metal>,
    counters: Option<&'static Counters>,
    cpu: CpuToken,
}

impl HostCalls {
    /// The calls of the host on the core that `cpu` stands for.
    pub fn new(engine: &'static Engine<Metal>, cpu: CpuToken) -> Self {
        Self {
            engine,
            counters: engine.counters(cpu.id()),
            cpu,
        }
    }

    /// For the exits that are none of these calls.
    pub const fn cpu(&mut self) -> &mut CpuToken {
        &mut self.cpu
    }
}

/// A call with x0–x17 in `x`, answered there.
extern "C" fn host_call(calls: &mut HostCalls, x: &mut [u64; 18]) {
    calls.engine.hypercall(&mut calls.cpu, 0, x);
    calls.engine.platform().check_is_hosts();
}

/// x0 and x1 of ENGINE_INFO's answer; the others are zero.
#[repr(C)]
struct Told {
    status: u64,
    value: u64,
}

extern "C" fn host_info(calls: &HostCalls, index: u64) -> Told {
    let (status, value) = calls.engine.quick_info(&calls.cpu, index);
    if let Some(counters) = calls.counters {
        counters.add_call(Call::EngineInfo, status != Status::Success);
    }
    Told {
        status: status.raw() as u64,
        value,
    }
}

/// ESR_EL2 of `HVC #0` and `SMC #0` in AArch64: EC, IL, no ISS (Arm ARM D24.2.40).
const ESR_HVC_0: u32 = 0x16 << 26 | 1 << 25;
const ESR_SMC_0: u32 = 0x17 << 26 | 1 << 25;
/// Function numbers that are the engine's own, from `CALL_BASE` on.
const OWN_NUMBERS: u64 = 0x100;
/// SMCCC: the bit of a function identifier that says it is of the 64-bit convention.
const IS_64_BIT: u64 = 30;

/// What `mov` with a shift, and then `sub`, can make of `CALL_BASE`.
const BASE_HIGH: u64 = CALL_BASE >> 16;
const BASE_LOW: u64 = CALL_BASE & 0xffff;
/// x0–x17, x18 and x30, ELR_EL2 and SPSR_EL2.
const CALL_FRAME: u64 = (18 + 2 + 2) * 8;

// The immediates of the instructions below.
const _: () = {
    assert!(BASE_LOW < 1 << 12 && OWN_NUMBERS < 1 << 12);
    assert!(smccc::NOT_SUPPORTED == -1);
    // ENGINE_INFO is number 0, and the functions of SMCCC that the engine answers are of 32 bits.
    assert!(Call::EngineInfo.number() == 0);
    assert!(smccc::VERSION >> IS_64_BIT & 1 == 0);
    assert!(smccc::VENDOR_HYP_CALL_UID >> IS_64_BIT & 1 == 0);
};

global_asm!(
    r#"
    .pushsection .text.arch_calls, "ax"

    // [sp]: the record of arch_enter.
    .global arch_host_sync
    .type arch_host_sync, %function
arch_host_sync:
    stp     x2, x3, [sp, #-16]!
    mrs     x2, esr_el2
    mov     w3, #{hvc}
    cmp     x2, x3
    b.ne    1f
    mov     w3, #({base_high} << 16)
    sub     w3, w0, w3
    sub     w3, w3, #{base_low}
    cmp     w3, #{own}
    b.lo    arch_host_call
    tbz     w0, #{is_64_bit}, 2f
    mov     x0, #-1
    "#,
    #[cfg(mutant = "unknown-clears")]
    "mov     x4, #0",
    r#"
    ldp     x2, x3, [sp], #16
    b       arch_return
1:
    mov     w3, #{smc}
    cmp     x2, x3
    b.ne    2f
    mov     w3, #{psci_version}
    cmp     w0, w3
    b.ne    2f
    // As `Frame::skip_instruction`.
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    add     x2, x2, #4
    bic     x3, x3, #{step}
    bic     x3, x3, #{branch_type}
    msr     elr_el2, x2
    msr     spsr_el2, x3
    mov     w0, #{version_low}
    movk    w0, #{version_high}, lsl #16
    ldp     x2, x3, [sp], #16
    b       arch_return
2:
    ldp     x2, x3, [sp], #16
    b       arch_leave_sync
    .size arch_host_sync, . - arch_host_sync

    // w3: the call's number; [sp]: x2 and x3, then the record.
    .type arch_host_call, %function
arch_host_call:
    cbz     w3, 4f
3:
    ldp     x2, x3, [sp], #16
    stp     x0, x1, [sp, #-{frame}]!
    stp     x2, x3, [sp, #2 * 8]
    stp     x4, x5, [sp, #4 * 8]
    stp     x6, x7, [sp, #6 * 8]
    stp     x8, x9, [sp, #8 * 8]
    stp     x10, x11, [sp, #10 * 8]
    stp     x12, x13, [sp, #12 * 8]
    stp     x14, x15, [sp, #14 * 8]
    stp     x16, x17, [sp, #16 * 8]
    stp     x18, x30, [sp, #18 * 8]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [sp, #20 * 8]
    mov     x1, sp
    ldr     x0, [sp, #{frame} + {calls}]
    bl      {host_call}
    ldp     x2, x3, [sp, #20 * 8]
    "#,
    #[cfg(not(mutant = "call-keep-elr"))]
    "msr     elr_el2, x2",
    #[cfg(not(mutant = "call-keep-spsr"))]
    "msr     spsr_el2, x3",
    r#"
    ldp     x18, x30, [sp, #18 * 8]
    ldp     x2, x3, [sp, #2 * 8]
    ldp     x4, x5, [sp, #4 * 8]
    ldp     x6, x7, [sp, #6 * 8]
    ldp     x8, x9, [sp, #8 * 8]
    ldp     x10, x11, [sp, #10 * 8]
    ldp     x12, x13, [sp, #12 * 8]
    ldp     x14, x15, [sp, #14 * 8]
    ldp     x16, x17, [sp, #16 * 8]
    ldp     x0, x1, [sp], #{frame}
    b       arch_return
4:
    cmp     x1, #{quick_infos}
    b.hs    3b
    // x2 and x3 are results.
    stp     x18, x30, [sp]
    ldr     x0, [sp, #16 + {calls}]
    bl      {host_info}
    ldp     x18, x30, [sp], #16
    "#,
    #[cfg(not(mutant = "info-keep-results"))]
    ".irp number, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17
    mov     x\\number, #0
    .endr",
    r#"
    b       arch_return
    .size arch_host_call, . - arch_host_call

    // [sp]: the record of arch_enter.
    .global arch_guest_sync
    .type arch_guest_sync, %function
arch_guest_sync:
    stp     x2, x3, [sp, #-16]!
    mrs     x2, esr_el2
    mov     w3, #{hvc}
    cmp     x2, x3
    b.ne    2b
    mov     w3, #{psci_version}
    cmp     w0, w3
    b.ne    2b
    mov     w0, #{version_low}
    movk    w0, #{version_high}, lsl #16
    ldp     x2, x3, [sp], #16
    b       arch_return
    .size arch_guest_sync, . - arch_guest_sync
    .popsection
    "#,
    hvc = const ESR_HVC_0,
    smc = const ESR_SMC_0,
    base_high = const BASE_HIGH,
    base_low = const BASE_LOW,
    own = const OWN_NUMBERS,
    is_64_bit = const IS_64_BIT,
    quick_infos = const QUICK_INFOS,
    step = const Frame::STEP,
    branch_type = const Frame::BRANCH_TYPE,
    psci_version = const psci::VERSION,
    version_low = const psci::VERSION_1_1 & 0xffff,
    version_high = const psci::VERSION_1_1 >> 16,
    frame = const CALL_FRAME,
    calls = const RECORD_CALLS,
    host_call = sym host_call,
    host_info = sym host_info,
);
