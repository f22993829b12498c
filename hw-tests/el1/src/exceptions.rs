//! Exception vectors: interrupts go to [`crate::irq`], a probed access back to [`crate::probe`],
//! all else is the end of the run.
//!
//! Invariants: the handler runs on the interrupted stack with all exceptions masked; the frame's
//! layout is [`Frame`], which the assembly fills in order.

use crate::{console, cpu, irq, psci};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use core::{arch::global_asm, panic::PanicInfo};

/// The interrupted context.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    elr: u64,
    spsr: u64,
    padding: u64,
}

const SYNC: u64 = 4;
const IRQ: u64 = 5;

global_asm!(
    r#"
    .macro el1_vector kind
    .balign 0x80
    sub     sp, sp, #{frame}
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       el1_vector_common
    .endm

    .text
    .balign 0x800
    .global el1_vectors
el1_vectors:
    el1_vector 0
    el1_vector 1
    el1_vector 2
    el1_vector 3
    el1_vector 4
    el1_vector 5
    el1_vector 6
    el1_vector 7
    el1_vector 8
    el1_vector 9
    el1_vector 10
    el1_vector 11
    el1_vector 12
    el1_vector 13
    el1_vector 14
    el1_vector 15

el1_vector_common:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, elr_el1
    stp     x30, x2, [sp, #240]
    mrs     x2, spsr_el1
    stp     x2, xzr, [sp, #256]
    mov     x0, sp
    bl      el1_exception
    ldp     x30, x2, [sp, #240]
    msr     elr_el1, x2
    ldr     x2, [sp, #256]
    msr     spsr_el1, x2
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    add     sp, sp, #{frame}
    eret
"#,
    frame = const size_of::<Frame>(),
);

/// Rust's side of every vector.
#[unsafe(no_mangle)]
extern "C" fn el1_exception(frame: &mut Frame, kind: u64) {
    match kind {
        IRQ => irq::dispatch(),
        SYNC => {
            let resume = cpu::this().resume.take();
            if resume == 0 {
                crash_on(frame, kind);
            }
            frame.elr = resume;
            // PSTATE.IL, which an illegal return set: it would fault the way back as well.
            frame.spsr &= !(1 << 20);
            frame.x[0] = ESR_EL1.get();
            frame.x[1] = FAR_EL1.get();
            frame.x[2] = 1;
        }
        _ => crash_on(frame, kind),
    }
}

fn crash_on(frame: &Frame, kind: u64) -> ! {
    crash(format_args!(
        "core {} vector {kind} esr {:#x} far {:#x} elr {:#x} (image + {:#x}) x30 {:#x} spsr {:#x}",
        cpu::this().index,
        ESR_EL1.get(),
        FAR_EL1.get(),
        frame.elr,
        frame.elr.wrapping_sub(crate::entry::image_range().start),
        frame.x[30],
        frame.spsr,
    ))
}

/// Ends the run with one `@crash` line.
pub fn crash(message: core::fmt::Arguments<'_>) -> ! {
    console::print_unlocked(format_args!("\n@crash {message}\n"));
    psci::system_off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crash(format_args!("core {} {info}", cpu::this().index))
}
