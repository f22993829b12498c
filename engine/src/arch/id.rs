//! Reading this core's feature-ID registers, all of op0 = 3, op1 = 0, CRn = 0, CRm = 1 to 7 (Arm ARM
//! D19.1.3): those not yet assigned read as zero.

use super::regs::*;
use crate::trap::sysreg::{IdRegisters, SysregId};
use core::arch::asm;

/// Does `$each` with CRm, op2 and the value of each register.
macro_rules! for_each {
    ($each:expr) => {{
        let mut each = $each;
        for_each!(@rows each 1 2 3 4 5 6 7);
    }};
    (@rows $each:ident $($crm:literal)*) => { $( for_each!(@row $each $crm 0 1 2 3 4 5 6 7); )* };
    (@row $each:ident $crm:literal $($op2:literal)*) => { $(
        let value: u64;
        // SAFETY: reads an ID register, which has no side effect.
        unsafe {
            asm!(
                concat!("mrs {}, S3_0_C0_C", $crm, "_", $op2),
                out(reg) value,
                options(nomem, nostack, preserves_flags),
            );
        }
        $each($crm, $op2, value);
    )* };
}

/// The core's own values.
pub fn read_id_registers() -> IdRegisters {
    let mut registers = IdRegisters::new();
    for_each!(|crm, op2, value| registers.set(SysregId::feature(crm, op2), value));
    registers
}

/// Does this core have all that `known` says? Most do to the bit, and no field is looked at then.
pub fn has_id_registers(known: &IdRegisters) -> bool {
    let mut difference = 0;
    for_each!(|crm: usize, op2: usize, value| difference |= known.word(crm, op2) ^ value);
    difference == 0 || would_not_narrow(known)
}

/// Has this core, which is another, no less in any field?
#[cold]
#[inline(never)]
fn would_not_narrow(known: &IdRegisters) -> bool {
    let mut common = *known;
    common.narrow(&read_id_registers());
    common == *known
}

/// MIDR_EL1 of this core.
pub fn midr() -> u64 {
    MIDR_EL1.get()
}
