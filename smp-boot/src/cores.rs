//! Starting the other cores: all at once, then waiting for all.
//!
//! A core that does not arrive is reported and left out; it is never waited for without bound.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, CNTVCT_EL0, MPIDR_EL1, Readable};
use core::arch::asm;

use crate::arrival;
use crate::entry;
use crate::firmware;
use crate::machine::Mpidr;
use crate::record::BootRecord;

/// Seconds without one more arrival after which the rest is given up. Emulated machines with many
/// more cores than the machine under them need the most.
const PATIENCE_SECONDS: u64 = 10;
/// ID_AA64ISAR2_EL1.WFxT, bits 3:0, of a core that has WFIT.
const WFXT: u64 = 2;
/// The shortest nap, as a part of a second. A core comes within microseconds, an emulated one in many milliseconds.
const SHORTEST_NAP: u64 = 100_000;
/// And any nap as a part of the wait before it.
const NAP: u64 = 16;

/// Starts the cores of `records` and waits for those that the firmware let start; returns how many
/// arrived. The others never will: a core that comes too late finds its record abandoned.
pub fn start_all(records: &'static [BootRecord]) -> usize {
    for record in records {
        clean_to_coherency(record);
        let context = core::ptr::from_ref(record).addr() as u64;
        let started = firmware::start_core(record.mpidr, entry::secondary_entry(), context);
        if let Err(error) = started {
            record.arrival.give_up();
            crate::println!("bulkhead: core {} not started: {error}", record.mpidr);
        }
    }
    wait(records);
    arrival::count(records.iter().map(|record| &record.arrival))
}

/// The affinity of the core that runs this.
pub fn this_mpidr() -> Mpidr {
    Mpidr::from_bits(MPIDR_EL1.get())
}

/// Waits for one core after the other until none is awaited or for [`PATIENCE_SECONDS`] none has come.
fn wait(records: &[BootRecord]) {
    let patience = PATIENCE_SECONDS.saturating_mul(CNTFRQ_EL0.get());
    let can_sleep = isar2() & 0xf >= WFXT;
    let mut come = 0;
    let begun = CNTPCT_EL0.get();
    let mut since = begun;
    for record in records {
        while record.arrival.is_awaited() {
            let time = CNTPCT_EL0.get();
            if time.wrapping_sub(since) > patience {
                // Others may have come while this one has not.
                let have_come = records.iter().map(|it| usize::from(it.arrival.has_come()));
                let now = have_come.fold(0, usize::saturating_add);
                if now == come {
                    return;
                }
                come = now;
                since = time;
            }
            pause(can_sleep, time.wrapping_sub(begun));
        }
    }
}

/// ID_AA64ISAR2_EL1, which assemblers of older architectures know by its encoding only.
fn isar2() -> u64 {
    let value: u64;
    // SAFETY: reads an ID register, which has no side effect.
    unsafe {
        asm!("mrs {}, S3_0_C0_C6_2", out(reg) value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Lets time pass after so long a wait, asleep where the core has WFIT.
fn pause(can_sleep: bool, waited: u64) {
    if can_sleep {
        let nap = (waited / NAP).max(CNTFRQ_EL0.get() / SHORTEST_NAP);
        let until = CNTVCT_EL0.get().wrapping_add(nap);
        // SAFETY: WFIT X0: waits for an interrupt, masked or not, or for the time; changes no state.
        unsafe {
            asm!(".inst 0xd5031020", in("x0") until, options(nomem, nostack, preserves_flags));
        }
    } else {
        // SAFETY: a hint. Lets an emulator run the cores that are being waited for.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}

/// Makes `record`, and all that was written before, visible to a core whose caches are off.
fn clean_to_coherency(record: &BootRecord) {
    // The smallest line is of 16 bytes (a DminLine of less than four words does not exist); a record is aligned.
    let start = core::ptr::from_ref(record).addr();
    for offset in (0..size_of::<BootRecord>()).step_by(16) {
        // Does not wrap: the record lies in memory.
        let line = start.wrapping_add(offset);
        // SAFETY: cleaning by VA changes no content; the record is mapped.
        #[cfg(not(mutant = "record-no-clean"))]
        unsafe {
            asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags))
        };
    }
    // SAFETY: a barrier. SY: the core may not be coherent with us yet.
    #[cfg(not(mutant = "record-no-dsb"))]
    unsafe {
        asm!("dsb sy", options(nostack, preserves_flags))
    };
}
