//! The virtual CPU interface: a guest's list registers and controls, in and out (IHI0069 12.4).
//!
//! Invariants: every list and active-priority register that the core has is written on each load,
//! so none keeps another vCPU's value; ICH_HCR_EL2 is zero whenever no guest runs, so no virtual
//! or maintenance interrupt is signalled then.

use super::regs::*;
use crate::gic::Ich;

/// Reads or writes the first `count` of a bank of registers, named once here.
macro_rules! banks {
    ($($read:ident, $write:ident of $n:literal: $($index:literal $register:ident),*;)*) => {$(
        fn $read(values: &mut [u64; $n], count: usize) {
            $(
                if count <= $index {
                    return;
                }
                values[$index] = $register.get();
            )*
        }

        fn $write(values: &[u64; $n], count: usize) {
            $(
                if count <= $index {
                    return;
                }
                $register.set(values[$index]);
            )*
        }
    )*};
}

banks! {
    read_list, write_list of 16:
        0 ICH_LR0_EL2, 1 ICH_LR1_EL2, 2 ICH_LR2_EL2, 3 ICH_LR3_EL2,
        4 ICH_LR4_EL2, 5 ICH_LR5_EL2, 6 ICH_LR6_EL2, 7 ICH_LR7_EL2,
        8 ICH_LR8_EL2, 9 ICH_LR9_EL2, 10 ICH_LR10_EL2, 11 ICH_LR11_EL2,
        12 ICH_LR12_EL2, 13 ICH_LR13_EL2, 14 ICH_LR14_EL2, 15 ICH_LR15_EL2;
    read_ap0, write_ap0 of 4:
        0 ICH_AP0R0_EL2, 1 ICH_AP0R1_EL2, 2 ICH_AP0R2_EL2, 3 ICH_AP0R3_EL2;
    read_ap1, write_ap1 of 4:
        0 ICH_AP1R0_EL2, 1 ICH_AP1R1_EL2, 2 ICH_AP1R2_EL2, 3 ICH_AP1R3_EL2;
}

/// Loads a guest's virtual CPU interface; in force with the next context synchronisation.
pub fn load(ich: &Ich) {
    let priorities = ich.active_priority_registers();
    #[cfg(not(mutant = "vgic-keep-control"))]
    ICH_VMCR_EL2.set(ich.vmcr);
    write_ap0(&ich.ap0r, priorities);
    #[cfg(not(mutant = "vgic-keep-active"))]
    write_ap1(&ich.ap1r, priorities);
    write_list(&ich.lr, usize::from(ich.lr_count));
    ICH_HCR_EL2.set(ich.hcr);
}

/// Reads it back and turns the interface off.
pub fn save(ich: &mut Ich) {
    let priorities = ich.active_priority_registers();
    ich.hcr = ICH_HCR_EL2.get();
    ICH_HCR_EL2.set(0);
    ich.vmcr = ICH_VMCR_EL2.get();
    read_ap0(&mut ich.ap0r, priorities);
    read_ap1(&mut ich.ap1r, priorities);
    // The guest can't put anything into the others.
    read_list(&mut ich.lr, usize::from(ich.lr_used));
}
