//! Values of the EL2 registers that say what traps: one set for the host, one for guests.
//!
//! Invariant: the two differ only as the comments say, so that what is hidden from one side by a
//! trap is not reachable through the other. `trap::sysreg` answers these traps; its table of
//! controls and this file say the same. Bits of features that a core lacks are RES0 or, for
//! CPTR_EL2, RES1 there: setting them asks for nothing.

use super::regs::*;

/// HCR_EL2.BSU = inner shareable: a guest's barriers reach all cores it may move to.
const BSU_INNER: u64 = 0b01 << 10;

/// HCR_EL2.TIDCP: IMPLEMENTATION DEFINED registers trap.
const TIDCP: u64 = unless(
    cfg!(mutant = "trap-no-implementation"),
    HCR_EL2::TIDCP::SET.value,
);
/// HCR_EL2.TACR: ACTLR_EL1 traps.
const TACR: u64 = unless(cfg!(mutant = "trap-no-actlr"), HCR_EL2::TACR::SET.value);
/// HCR_EL2.TSW: maintenance by set and way traps.
const TSW: u64 = unless(cfg!(mutant = "trap-no-set-way"), HCR_EL2::TSW::SET.value);
/// HCR_EL2.TID3: feature-ID registers trap.
const TID3: u64 = unless(cfg!(mutant = "trap-no-id"), HCR_EL2::TID3::SET.value);
/// HCR_EL2.TLOR: LORegions trap.
const TLOR: u64 = unless(cfg!(mutant = "trap-no-lor"), HCR_EL2::TLOR::SET.value);
/// HCR_EL2.TERR: error records trap.
const TERR: u64 = unless(cfg!(mutant = "trap-no-ras"), HCR_EL2::TERR::SET.value);
/// HCR_EL2.TEA: synchronous external aborts of guests end a run, like SErrors.
const TEA: u64 = unless(
    cfg!(mutant = "trap-no-external-abort"),
    HCR_EL2::TEA::SET.value,
);
/// HCR_EL2.EnSCXT stays clear: SCXTNUM_ELx traps.
const EN_SCXT: u64 = unless(cfg!(not(mutant = "open-scxtnum")), 1 << 53);

/// HCR_EL2 of both sides. Clear and so denied: ATA (allocation tags are neither switched nor
/// scrubbed), EnSCXT, FIEN, AMVOFFEN, NV, TME; E2H and TGE.
const HCR_COMMON: u64 = HCR_EL2::VM::SET.value
    | HCR_EL2::SWIO::SET.value
    | HCR_EL2::PTW::SET.value
    | HCR_EL2::FB::SET.value
    | BSU_INNER
    | HCR_EL2::RW::SET.value
    | HCR_EL2::TSC::SET.value
    | TIDCP
    | TACR
    | TID3
    | HCR_EL2::TID5::SET.value
    | TLOR
    | EN_SCXT;

/// HCR_EL2 of guests beyond that: physical interrupts and memory errors end a run, WFI is for the run
/// queue, set/way maintenance means nothing to a VM that moves, error records are the machine's.
const HCR_GUEST: u64 = HCR_EL2::IMO::SET.value
    | HCR_EL2::FMO::SET.value
    | HCR_EL2::AMO::SET.value
    | HCR_EL2::TWI::SET.value
    | TSW
    | TEA
    | TERR;

/// MDCR_EL2.TPM and TPMCR: the PMU traps.
const TPM: u64 = unless(
    cfg!(mutant = "trap-no-pmu"),
    MDCR_EL2::TPM::SET.value | MDCR_EL2::TPMCR::SET.value,
);
/// MDCR_EL2.TDA: breakpoints and watchpoints trap.
const TDA: u64 = unless(cfg!(mutant = "trap-no-debug"), MDCR_EL2::TDA::SET.value);
/// MDCR_EL2.TDOSA: the OS locks trap.
const TDOSA: u64 = unless(cfg!(mutant = "trap-no-locks"), MDCR_EL2::TDOSA::SET.value);

/// MDCR_EL2 of both sides: PMU, SPE, trace and their buffers (E2PB = E2TB = 0) belong to EL2, where
/// nothing uses them, and do not count at EL2 (HPMD, HCCD). HPMN is added by [`Controls`].
const MDCR_COMMON: u64 = TPM
    | MDCR_EL2::TPMS::SET.value
    | MDCR_EL2::TTRF::SET.value
    | MDCR_EL2::HPMD::SET.value
    | MDCR_EL2::HCCD::SET.value;

/// MDCR_EL2 of guests beyond that. Debug registers hold the host's values, so they trap. TDE stays
/// clear: a guest's BRK and single steps are its own EL1's.
const MDCR_GUEST: u64 = MDCR_EL2::TDRA::SET.value | TDOSA | TDA | MDCR_EL2::TDCC::SET.value;

/// CPTR_EL2.TZ and TSM: SVE and SME trap.
const CPTR_TZ: u64 = unless(cfg!(mutant = "trap-no-sve"), 1 << 8);
const CPTR_TSM: u64 = unless(cfg!(mutant = "trap-no-sme"), 1 << 12);

/// CPTR_EL2 of the host (Arm ARM, E2H = 0): RES1 bits; TZ and TSM (no SVE, no SME), TTA (trace)
/// and TAM (activity monitors, which would count other VMs) trap.
pub const CPTR_HOST: u64 = 0x22ff | CPTR_TZ | CPTR_TSM | 1 << 20 | 1 << 30;

/// CPTR_EL2.TFP.
const CPTR_TFP: u64 = 1 << 10;

/// CPTR_EL2 of a guest whose FP registers are not loaded.
pub const CPTR_GUEST: u64 = CPTR_HOST | CPTR_TFP;

/// CNTHCTL_EL2 of the host: counter and EL1 physical timer.
pub const CNTHCTL_HOST: u64 = 0b11;

/// CNTHCTL_EL2 of guests: counter alone; the EL1 physical timer is the host's and keeps running.
pub const CNTHCTL_GUEST: u64 = 0b01 | unless(cfg!(not(mutant = "open-timer")), 0b10);

/// ICC_SRE_EL2 of the host: system registers at EL1, no bypass.
pub const ICC_SRE_HOST: u64 = 0b1111;

/// ICC_SRE_EL2 of guests: ICC_SRE_EL1, of which there is one, traps (Enable clear).
pub const ICC_SRE_GUEST: u64 = 0b0111;

/// `bits`, or none of them.
const fn unless(is_without: bool, bits: u64) -> u64 {
    if is_without { 0 } else { bits }
}

/// The registers that depend on what a core has, computed once.
#[derive(Clone, Copy, Debug)]
pub struct Controls {
    /// HCR_EL2 of the host, which takes its own interrupts.
    pub hcr_host: u64,
    /// HCR_EL2 of guests.
    pub hcr_guest: u64,
    /// MDCR_EL2 of the host. HPMN = the number of counters: none is EL2's.
    pub mdcr_host: u64,
    /// MDCR_EL2 of guests.
    pub mdcr_guest: u64,
}

impl Controls {
    /// Those of a core with pointer authentication or not, under stage-2 entries that force write-back or not,
    /// and with so many PMU counters.
    pub fn new(pauth: bool, force_write_back: bool, pmu_counters: u64) -> Self {
        let mut hcr = HCR_COMMON;
        if pauth {
            hcr |= HCR_EL2::API::SET.value | HCR_EL2::APK::SET.value;
        }
        if force_write_back {
            hcr |= HCR_EL2::FWB::SET.value;
        }
        let mdcr = MDCR_COMMON | pmu_counters;
        Self {
            hcr_host: hcr,
            hcr_guest: hcr | HCR_GUEST,
            mdcr_host: mdcr,
            mdcr_guest: mdcr | MDCR_GUEST,
        }
    }
}
