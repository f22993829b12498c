//! The host's own system registers, before and after a guest has had the core.
//!
//! Invariants: a [`Snapshot`] reads and changes nothing; [`set_marks`] writes only registers that
//! this image does not use, and turns SIMD on.

use crate::guest::is_canary;
use crate::outcome::{TestResult, check, check_eq};
use alloc::vec::Vec;
use core::arch::asm;

/// Value of a system register by its assembler name.
macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no side effect.
        unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack, nomem)) };
        value
    }};
}

/// Writes a system register by its assembler name.
macro_rules! write {
    ($register:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: this image does not use the register, or not the bits that change.
        unsafe { asm!(concat!("msr ", $register, ", {}"), in(reg) value, options(nostack, nomem)) };
    }};
}

/// Reads a list of registers with their names.
macro_rules! read_all {
    ($($register:literal),+ $(,)?) => { alloc::vec![$(($register, read!($register))),+] };
}

/// Registers with their values.
#[derive(Clone, Debug)]
pub struct Snapshot(Vec<(&'static str, u64)>);

/// Whether the core has pointer authentication (Arm ARM D24.2.71: APA, API, GPA, GPI).
fn has_pointer_authentication() -> bool {
    read!("id_aa64isar1_el1") & 0xff00_0ff0 != 0
}

/// Gives registers that nothing here uses a value of the host's own, and turns SIMD on, as a call
/// with all registers does: a core's first one shall not look like a change made by the engine.
pub fn set_marks(mark: u64) {
    write!("cpacr_el1", read!("cpacr_el1") | 3 << 20);
    write!("tpidr_el0", mark | 1);
    write!("tpidrro_el0", mark | 2);
    write!("contextidr_el1", mark >> 32 | 3);
    write!("par_el1", mark & 0xffff_ffff_f000);
    write!("sp_el0", mark | 0x10);
    write!("amair_el1", 0);
    write!("cntv_cval_el0", mark | 5);
    write!("far_el1", mark | 6);
    if has_pointer_authentication() {
        write!("S3_0_C2_C1_0", mark | 7);
        write!("S3_0_C2_C1_1", mark | 8);
        write!("S3_0_C2_C3_0", mark | 9);
        write!("S3_0_C2_C3_1", mark | 10);
    }
}

impl Snapshot {
    /// This core's registers now.
    pub fn take() -> Self {
        let mut all = read_all![
            "sctlr_el1",
            "cpacr_el1",
            "ttbr0_el1",
            "ttbr1_el1",
            "tcr_el1",
            "mair_el1",
            "amair_el1",
            "vbar_el1",
            "contextidr_el1",
            "esr_el1",
            "far_el1",
            "afsr0_el1",
            "afsr1_el1",
            "par_el1",
            "elr_el1",
            "spsr_el1",
            "sp_el0",
            "tpidr_el0",
            "tpidrro_el0",
            "tpidr_el1",
            "cntkctl_el1",
            "csselr_el1",
            "mdscr_el1",
            "cntv_cval_el0",
            "cntp_cval_el0",
            "daif",
            "S3_0_C4_C6_0",
            "S3_0_C12_C12_3",
            "S3_0_C12_C12_4",
            "S3_0_C12_C12_5",
            "S3_0_C12_C12_7",
            "S3_0_C12_C9_0",
        ];
        // Without ISTATUS, which time changes.
        all.push(("cntv_ctl_el0", read!("cntv_ctl_el0") & 0b11));
        all.push(("cntp_ctl_el0", read!("cntp_ctl_el0") & 0b11));
        if has_pointer_authentication() {
            all.extend(read_all![
                "S3_0_C2_C1_0",
                "S3_0_C2_C1_1",
                "S3_0_C2_C1_2",
                "S3_0_C2_C1_3",
                "S3_0_C2_C2_0",
                "S3_0_C2_C2_1",
                "S3_0_C2_C2_2",
                "S3_0_C2_C2_3",
                "S3_0_C2_C3_0",
                "S3_0_C2_C3_1",
            ]);
        }
        Self(all)
    }

    /// Requires that every register is as it was, and that none holds a guest's canary.
    pub fn check_unchanged(&self) -> TestResult {
        self.check_unchanged_but(&[])
    }

    /// The same without these registers.
    pub fn check_unchanged_but(&self, excepted: &[&str]) -> TestResult {
        let after = Self::take();
        let pairs = self.0.iter().zip(&after.0);
        for ((name, before), (_, after)) in pairs.filter(|pair| !excepted.contains(&pair.0.0)) {
            check!(!is_canary(*after), "{name} holds the canary {after:#x}");
            check_eq!(*after, *before, "{name}");
        }
        // The two counters are one again: CNTVOFF_EL2 is the host's.
        let (physical, virtual_count) = (read!("cntpct_el0"), read!("cntvct_el0"));
        check!(
            virtual_count.wrapping_sub(physical) < 1 << 32,
            "virtual count {virtual_count:#x}, physical {physical:#x}"
        );
        Ok(())
    }
}
