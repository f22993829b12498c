//! Which cores need which workaround, by MIDR_EL1.
//!
//! Invariant: a core that no list names gets every workaround that costs only time.

/// Arm Ltd. in MIDR_EL1.Implementer.
const ARM: u64 = 0x41;

/// Arm's Cortex-A57 and Cortex-A72 in MIDR_EL1.PartNum.
const CORTEX_A57: u64 = 0xd07;
const CORTEX_A72: u64 = 0xd08;

/// Arm's cores that precede those of which CVE-2025-10263 is known (Cortex-A76 and Neoverse N1 are
/// the oldest; Linux keeps the list under ARM64_ERRATUM_4118414): Cortex-A35, A53, A55, A57, A72,
/// A73, A75.
const COMPLETES_TLBI: [u64; 7] = [0xd04, 0xd03, 0xd05, CORTEX_A57, CORTEX_A72, 0xd09, 0xd0a];

/// Arm's part number, if the core is Arm's.
const fn arm_part(midr: u64) -> Option<u64> {
    if midr >> 24 & 0xff == ARM {
        Some(midr >> 4 & 0xfff)
    } else {
        None
    }
}

/// Must a broadcast TLBI and its DSB be repeated (CVE-2025-10263)? Yes unless the core is known
/// not to need it.
pub fn needs_repeated_tlbi(midr: u64) -> bool {
    arm_part(midr).is_none_or(|part| !COMPLETES_TLBI.contains(&part))
}

/// May the core walk the EL1&0 regime's tables while at EL2, with whatever mix of VTTBR_EL2 and EL1
/// registers is there (Cortex-A57 erratum 1319537, Cortex-A72 erratum 1319367)?
pub fn walks_from_el2(midr: u64) -> bool {
    matches!(arm_part(midr), Some(CORTEX_A57 | CORTEX_A72))
}
