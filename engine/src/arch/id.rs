//! Reading this core's feature-ID registers, all of op0 = 3, op1 = 0, CRn = 0, CRm = 1 to 7 (Arm ARM
//! D19.1.3): those not yet assigned read as zero.

use super::regs::*;
use crate::trap::sysreg::{IdRegisters, SysregId};
use core::arch::asm;

/// The core's own values.
pub fn read_id_registers() -> IdRegisters {
    let mut registers = IdRegisters::new();
    macro_rules! read {
        ($($crm:literal)*) => { $( read!(@row $crm 0 1 2 3 4 5 6 7); )* };
        (@row $crm:literal $($op2:literal)*) => { $(
            let value: u64;
            // SAFETY: reads an ID register, which has no side effect.
            unsafe {
                asm!(
                    concat!("mrs {}, S3_0_C0_C", $crm, "_", $op2),
                    out(reg) value,
                    options(nomem, nostack, preserves_flags),
                );
            }
            registers.set(SysregId::feature($crm, $op2), value);
        )* };
    }
    read!(1 2 3 4 5 6 7);
    registers
}

/// MIDR_EL1 of this core.
pub fn midr() -> u64 {
    MIDR_EL1.get()
}
