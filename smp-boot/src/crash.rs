//! The end of the engine: one line on the console, then power off.
//!
//! The line starts with `@crash `. It is written on the emergency stack of the core's stack block
//! (see [`crate::stack`]), so a stack overflow is reported like any other exception; a crash while
//! one is being reported only powers off. Behind it the engine tells what its cores did last.
//!
//! The other cores run on meanwhile, a few milliseconds or as long as a slow UART takes. To stop them first would
//! take their answers, which a core that holds a lock or spins with interrupts masked does not give, or a look at a
//! flag on every way into the engine. What they do is no more than before: each claim, flush and scrub is made by
//! the core that needs it, and none relies on the core that crashed; what that one held stays BUSY for them.

use core::arch::global_asm;
use core::fmt;
use core::panic::PanicInfo;

use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, MPIDR_EL1, Readable, SPSR_EL2};

use spin::Mutex;

use crate::entry::ImageLayout;
use crate::handover::Engine;
use crate::machine::Mpidr;
use crate::witness::{Part, Witness};
use crate::{console, firmware, stack};

static WITNESS: Witness = Witness::new();

/// What is told behind a crash record.
struct LastWords {
    tell: fn(usize),
    /// Address of the engine's shared state.
    shared: usize,
}

static LAST_WORDS: Mutex<Option<LastWords>> = Mutex::new(None);

/// From now on a crash record ends with what `E` tells of `shared`.
pub fn keep_last_words<E: Engine>(shared: &'static E::Shared) {
    let shared = core::ptr::from_ref(shared).addr();
    // Free: nobody else is here before the first crash, and that ends the machine.
    if let Some(mut words) = LAST_WORDS.try_lock() {
        *words = Some(LastWords {
            tell: tell::<E>,
            shared,
        });
    }
}

fn tell<E: Engine>(shared: usize) {
    // SAFETY: only `keep_last_words::<E>` makes a pair of this function and an address, which is that of an
    // `E::Shared` that lives for ever.
    E::last_words(unsafe { &*(shared as *const E::Shared) });
}

// Any exception taken through these vectors is the engine's end. An engine that takes exceptions
// from EL1 has its own table, whose entries for EL2 branch to `smp_boot_crash_entry` with the
// entry's number in x0.
global_asm!(
    r#"
    .pushsection .text.smp_boot_crash, "ax"
    .balign 2048
    .global smp_boot_crash_vectors
smp_boot_crash_vectors:
    .set    vector, 0
    .rept   16
    .balign 128
    mov     x0, #vector
    b       smp_boot_crash_entry
    .set    vector, vector + 1
    .endr

    .global smp_boot_crash_entry
smp_boot_crash_entry:
    mov     x1, sp
    mov     x2, x30
    sub     x3, x1, #1                  // an empty stack's SP is the next block's start
    and     x3, x3, #~({block} - 1)
    sub     x4, x1, x3
    cmp     x4, #{emergency_bottom}
    b.lo    1f
    cmp     x4, #{emergency_top}
    b.ls    2f                          // already reporting
1:  add     x3, x3, #{emergency_top}
    mov     sp, x3
    b       smp_boot_report_exception
2:  movz    w0, #0x8400, lsl #16        // PSCI SYSTEM_OFF
    movk    w0, #0x0008
    smc     #0
    b       smp_boot_halt
    .popsection
"#,
    block = const stack::BLOCK_BYTES,
    emergency_bottom = const stack::EMERGENCY_BOTTOM,
    emergency_top = const stack::EMERGENCY_TOP,
);

unsafe extern "C" {
    static smp_boot_crash_vectors: u8;
}

/// A vector table in which every entry is a crash.
pub fn vectors() -> u64 {
    (&raw const smp_boot_crash_vectors).addr() as u64
}

/// Reports the exception that was just taken through entry `vector` of the table.
#[unsafe(no_mangle)]
extern "C" fn smp_boot_report_exception(vector: u64, sp: u64, lr: u64) -> ! {
    let base = ImageLayout::get().start;
    end(format_args!(
        "vector={vector} esr={:#x} elr=image+{:#x} far={:#x} spsr={:#x} sp={sp:#x} lr=image+{:#x}",
        ESR_EL2.get(),
        ELR_EL2.get().wrapping_sub(base),
        FAR_EL2.get(),
        SPSR_EL2.get(),
        lr.wrapping_sub(base),
    ))
}

/// Reports a panic: what a `#[panic_handler]` calls. The engine's image has none; others have tests that end so.
pub fn report_panic(info: &PanicInfo<'_>) -> ! {
    end(format_args!("{info}"))
}

/// Writes one crash record and powers off. Only the first core to come here writes.
pub fn end(what: fmt::Arguments<'_>) -> ! {
    let mpidr = MPIDR_EL1.get();
    match WITNESS.part(mpidr) {
        Part::Tell => {}
        Part::PowerOff => firmware::power_off(),
        Part::Halt => firmware::halt(),
    }
    let core = Mpidr::from_bits(mpidr);
    console::write_in_crash(format_args!("\n@crash core={core} {what}\n"));
    if let Some(words) = LAST_WORDS.try_lock().as_deref().and_then(Option::as_ref) {
        (words.tell)(words.shared);
    }
    firmware::power_off()
}
