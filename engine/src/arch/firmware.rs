//! SMC to the firmware with all registers that SMCCC 1.2 defines.

use core::arch::asm;

/// Calls the firmware: `x` is x0–x17 in and out (SMCCC 1.2, 2.6: the rest is preserved).
pub fn smc(x: &mut [u64; 18]) {
    // SAFETY: the caller has checked the call against the allow-list; by SMCCC the firmware changes
    // no register beyond x0–x17. Not `nomem`: some calls act on memory.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") x[0],
            inout("x1") x[1],
            inout("x2") x[2],
            inout("x3") x[3],
            inout("x4") x[4],
            inout("x5") x[5],
            inout("x6") x[6],
            inout("x7") x[7],
            inout("x8") x[8],
            inout("x9") x[9],
            inout("x10") x[10],
            inout("x11") x[11],
            inout("x12") x[12],
            inout("x13") x[13],
            inout("x14") x[14],
            inout("x15") x[15],
            inout("x16") x[16],
            inout("x17") x[17],
            options(nostack),
        );
    }
}
