//! Single instructions, put together at run time: for tests that try many registers.
//!
//! Invariant: code is written, cleaned to where fetches find it, and only then run; a fault ends it and
//! comes back as a value.

use crate::{
    guest::{CALL, WINDOW},
    outcome::{OrFail, TestResult},
    puppet::{self, Reply},
    vm::{TestVm, fill},
};
use core::arch::asm;
use el1::{
    PAGE, pages,
    probe::{self, Fault},
};

/// A system register or system instruction: op0, op1, CRn, CRm, op2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sysreg(pub u32, pub u32, pub u32, pub u32, pub u32);

impl Sysreg {
    const fn operand(self) -> u32 {
        let Self(op0, op1, crn, crm, op2) = self;
        op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
    }

    /// `MRS Xt, self` (Arm ARM C6.2).
    pub const fn mrs(self, t: u32) -> u32 {
        0xd520_0000 | self.operand() | t
    }

    /// `MSR self, Xt`, or `SYS` where op0 is 1.
    pub const fn msr(self, t: u32) -> u32 {
        0xd500_0000 | self.operand() | t
    }
}

/// `RET`.
pub const RET: u32 = 0xd65f_03c0;
/// `ISB`.
pub const ISB: u32 = 0xd503_3fdf;
/// `HVC #1`.
pub const HVC_1: u32 = 0xd400_0022;
/// `SMC #1`.
pub const SMC_1: u32 = 0xd400_0023;

/// `RDVL X0, #1`: SVE.
pub const RDVL: u32 = 0x04bf_5020;
/// `SMSTART`: SME.
pub const SMSTART: u32 = 0xd503_477f;
/// ADR x1 behind the ERET, ELR_EL1 = x1; SPSR_EL1 = EL2h, masked; ERET; NOP.
pub const RETURN_TO_EL2: &[u32] = &[
    0x1000_00a1,
    Sysreg(3, 0, 4, 0, 1).msr(1),
    movz(1, 0x3c9),
    Sysreg(3, 0, 4, 0, 0).msr(1),
    0xd69f_03e0,
    0xd503_201f,
];

/// `MOVZ Xt, #value`.
pub const fn movz(t: u32, value: u16) -> u32 {
    0xd280_0000 | (value as u32) << 5 | t
}

/// `MOVK Xt, #value, LSL #(16 * n)`.
pub const fn movk(t: u32, value: u16, n: u32) -> u32 {
    0xf280_0000 | n << 21 | (value as u32) << 5 | t
}

/// Instructions that set Xt to `value`.
pub const fn load(t: u32, value: u64) -> [u32; 4] {
    [
        movz(t, value as u16),
        movk(t, (value >> 16) as u16, 1),
        movk(t, (value >> 32) as u16, 2),
        movk(t, (value >> 48) as u16, 3),
    ]
}

/// `STR Xt, [Xn], #8`.
pub const fn str_next(t: u32, n: u32) -> u32 {
    0xf800_8400 | n << 5 | t
}

/// CPACR_EL1 with nothing trapped to EL1: FPEN, ZEN and SMEN.
const ALL_OPEN: u64 = 0b11 << 20 | 0b11 << 16 | 0b11 << 24;

/// Writes code where both sides fetch it.
fn write(page: u64, words: &[u32]) {
    let start = page as *mut u32;
    for (index, word) in words.iter().enumerate() {
        // SAFETY: the page is the test's, and holds what its callers put there.
        unsafe { start.add(index).write_volatile(*word) };
    }
    let end = page + 4 * words.len() as u64;
    for line in (page..end).step_by(16) {
        // SAFETY: cleaning and invalidating by address changes no content.
        unsafe { asm!("dc cvac, {0}", "ic ivau, {0}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack)) };
}

/// Runs instructions on this core, at EL1, with FP, SVE and SME open as far as EL1 can; x0 as they left it,
/// or their fault.
///
/// # Safety
/// The instructions use x0 to x17 only and change nothing that this image relies on.
pub unsafe fn run_here(words: &[u32]) -> TestResult<Result<u64, Fault>> {
    let page = pages::take(1, PAGE).or_fail("page for code")?;
    let mut code = alloc::vec::Vec::from(words);
    code.push(RET);
    write(page, &code);
    let saved: u64;
    // SAFETY: what is opened is used by nobody in this image, and closed again below.
    unsafe {
        asm!("mrs {old}, cpacr_el1", "orr {new}, {old}, {open}", "msr cpacr_el1, {new}", "isb",
            old = out(reg) saved, new = out(reg) _, open = in(reg) ALL_OPEN, options(nostack));
    }
    // SAFETY: the code ends in RET; the rest is this function's contract.
    let result = unsafe { probe::fetch(page) };
    // SAFETY: as it was.
    unsafe { asm!("msr cpacr_el1, {}", "isb", in(reg) saved, options(nostack)) };
    // SAFETY: nothing runs there any more.
    unsafe { pages::give(page, 1) };
    Ok(result)
}

/// A page of a guest's into which this image writes code for it.
pub struct GuestCode {
    pa: u64,
}

impl GuestCode {
    /// Where the guest sees it.
    const IPA: u64 = WINDOW + (512 << 10);

    /// Lends a page.
    pub fn lend(vm: &mut TestVm) -> TestResult<Self> {
        let pa = vm.lend(Self::IPA)?;
        fill(pa, 1, 0);
        Ok(Self { pa })
    }

    /// Has the first vCPU, a puppet, run these instructions, with x0 and x1 given.
    pub fn run(&self, vm: &TestVm, words: &[u32], x0: u64, x1: u64) -> TestResult<Reply> {
        const CPACR_EL1: Sysreg = Sysreg(3, 0, 1, 0, 2);
        let mut code = alloc::vec::Vec::from(load(9, ALL_OPEN));
        code.extend([CPACR_EL1.msr(9), ISB]);
        code.extend(words);
        code.push(RET);
        write(self.pa, &code);
        puppet::step(vm.vcpus[0], [CALL, Self::IPA, x0, x1])
    }
}
