//! Starting the other cores: all at once, then waiting for all.
//!
//! A core that does not arrive is reported and left out; it is never waited for without bound.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, MPIDR_EL1, Readable};
use core::arch::asm;

use crate::arrival;
use crate::entry;
use crate::firmware;
use crate::machine::Mpidr;
use crate::record::BootRecord;

/// Seconds without one more arrival after which the rest is given up. Emulated machines with many
/// more cores than the machine under them need the most.
const PATIENCE_SECONDS: u64 = 10;

/// Starts the cores of `records` and waits for those that the firmware let start; returns how many
/// arrived. The others never will: a core that comes too late finds its record abandoned.
pub fn start_all(records: &'static [BootRecord]) -> usize {
    let mut started = 0;
    for record in records {
        clean_to_coherency(record);
        let context = core::ptr::from_ref(record).addr() as u64;
        match firmware::start_core(record.mpidr, entry::secondary_entry(), context) {
            Ok(()) => started += 1,
            Err(error) => crate::println!("bulkhead: core {} not started: {error}", record.mpidr),
        }
    }
    wait(records, started);
    arrival::count(records.iter().map(|record| &record.arrival))
}

/// The affinity of the core that runs this.
pub fn this_mpidr() -> Mpidr {
    Mpidr::from_bits(MPIDR_EL1.get())
}

/// Waits until `started` cores have arrived or none has for [`PATIENCE_SECONDS`].
fn wait(records: &[BootRecord], started: usize) {
    let patience = PATIENCE_SECONDS.saturating_mul(CNTFRQ_EL0.get());
    let mut arrived = 0;
    let mut since = CNTPCT_EL0.get();
    while arrived < started {
        let now = records.iter().filter(|it| it.arrival.has_come()).count();
        if now > arrived {
            arrived = now;
            since = CNTPCT_EL0.get();
        } else if CNTPCT_EL0.get().wrapping_sub(since) > patience {
            break;
        }
        // SAFETY: a hint. Lets an emulator run the cores that are being waited for.
        unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}

/// Makes `record`, and all that was written before, visible to a core whose caches are off.
fn clean_to_coherency(record: &BootRecord) {
    // The smallest line is of 16 bytes (a DminLine of less than four words does not exist); a record is aligned.
    let start = core::ptr::from_ref(record).addr();
    for line in (start..start + size_of::<BootRecord>()).step_by(16) {
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
