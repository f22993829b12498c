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

/// Arm's Cortex-X4, Neoverse V3AE and V3 in MIDR_EL1.PartNum, and the first revision of r0 that
/// changes sizes in place without a TLB conflict abort (earlier ones have erratum 3053180; the list is
/// that of Linux's `has_bbml2_noabort`).
const RESIZES_FROM: [(u64, u64); 3] = [(0xd82, 3), (0xd83, 2), (0xd84, 2)];

/// QEMU's `-cpu max`: Implementer 0 is software's own, PartNum 0x51. Its TLB never holds two entries
/// for one page.
const QEMU_MAX: u64 = 0x000f_0510;

/// May a core that has FEAT_BBM level 2 rely on it? Level 2 alone permits TLB conflict aborts.
pub fn resizes_in_place(midr: u64) -> bool {
    let listed = |part: u64| {
        let mut list = RESIZES_FROM.iter();
        list.any(|(of, first)| *of == part && midr >> 20 & 0xf == 0 && midr & 0xf >= *first)
    };
    midr == QEMU_MAX || arm_part(midr).is_some_and(listed)
}
