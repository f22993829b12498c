//! Which cores need which workaround, by MIDR_EL1.
//!
//! Invariant: a core that no list names gets every workaround that costs only time, but for that of walks from EL2, which
//! each change of regimes would pay for: it is for the cores that are known to need it.

/// Arm Ltd. in MIDR_EL1.Implementer.
const ARM: u64 = 0x41;

/// Parts of Arm's in MIDR_EL1.PartNum.
const CORTEX_A53: u64 = 0xd03;
const CORTEX_A55: u64 = 0xd05;
const CORTEX_A57: u64 = 0xd07;
const CORTEX_A72: u64 = 0xd08;
const CORTEX_A76: u64 = 0xd0b;
const NEOVERSE_N1: u64 = 0xd0c;

/// Arm's cores that precede those of which CVE-2025-10263 is known (Cortex-A76 and Neoverse N1 are
/// the oldest; Linux keeps the list under ARM64_ERRATUM_4118414): Cortex-A35, A53, A57, A72, A73, A75. Not
/// Cortex-A55, whose erratum 2441007 lets a store land after its page was unmapped, and asks for the same.
const COMPLETES_TLBI: [u64; 6] = [0xd04, CORTEX_A53, CORTEX_A57, CORTEX_A72, 0xd09, 0xd0a];

/// Arm's part number, if the core is Arm's.
const fn arm_part(midr: u64) -> Option<u64> {
    if midr >> 24 & 0xff == ARM {
        Some(midr >> 4 & 0xfff)
    } else {
        None
    }
}

/// MIDR_EL1.Variant: 3 of r3p1.
#[cfg(not(mutant = "walks-of-two-cores"))]
const fn variant(midr: u64) -> u64 {
    midr >> 20 & 0xf
}

/// Must a broadcast TLBI and its DSB be repeated (CVE-2025-10263)? Yes unless the core is known
/// not to need it.
pub fn needs_repeated_tlbi(midr: u64) -> bool {
    arm_part(midr).is_none_or(|part| !COMPLETES_TLBI.contains(&part))
}

/// May the core walk the EL1&0 regime's tables while at EL2, with whatever mix of VTTBR_EL2 and EL1
/// registers is there? An AT that is only speculated does: Cortex-A53 erratum 1530924, A55 1530923, A57 1319537, A72
/// 1319367 in all revisions, Cortex-A76 and Neoverse N1 1165522 before r3p0.
pub fn walks_from_el2(midr: u64) -> bool {
    match arm_part(midr) {
        Some(CORTEX_A57 | CORTEX_A72) => true,
        #[cfg(not(mutant = "walks-of-two-cores"))]
        Some(CORTEX_A53 | CORTEX_A55) => true,
        #[cfg(not(mutant = "walks-of-two-cores"))]
        Some(CORTEX_A76 | NEOVERSE_N1) => variant(midr) < 3,
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// MIDR_EL1 of a part of Arm's.
    const fn midr(part: u64) -> u64 {
        ARM << 24 | 0xf << 16 | part << 4
    }

    #[test]
    fn who_is_on_no_list_repeats() {
        for part in COMPLETES_TLBI {
            assert!(!needs_repeated_tlbi(midr(part)));
            // The same number of another maker's is another core.
            assert!(needs_repeated_tlbi(midr(part) ^ 1 << 24));
        }
        // Cortex-A55 and A510 by errata of their own; Neoverse N1, N2, V1; one that nobody knows.
        for part in [0xd05, 0xd46, 0xd0c, 0xd49, 0xd40, 0xfff] {
            assert!(needs_repeated_tlbi(midr(part)), "{part:#x}");
        }
    }

    #[test]
    fn walks_are_stopped_where_they_go_on_at_el2() {
        let walking = [0xd03, 0xd05, 0xd07, 0xd08].map(midr);
        assert_eq!(walking.map(walks_from_el2), [true; 4]);
        for part in [0xd0b, 0xd0c] {
            let of = |variant: u64| walks_from_el2(midr(part) | variant << 20);
            assert_eq!([0, 1, 2, 3, 4].map(of), [true, true, true, false, false]);
        }
        // Cortex-A73, A75, A77; Neoverse V1, N2; another maker's part of the same number; QEMU's own.
        let others = [0xd09, 0xd0a, 0xd0d, 0xd40, 0xd49].map(midr);
        assert!(!others.iter().any(|core| walks_from_el2(*core)));
        assert!(!walks_from_el2(midr(0xd05) ^ 1 << 24) && !walks_from_el2(QEMU_MAX));
    }

    #[test]
    fn sizes_change_in_place_from_a_revision_on() {
        let v3 = |variant: u64, revision: u64| midr(0xd84) | variant << 20 | revision;
        assert!(resizes_in_place(v3(0, 2)) && resizes_in_place(QEMU_MAX));
        for other in [v3(0, 1), v3(1, 2), midr(0xd0c), QEMU_MAX + 0x10] {
            assert!(!resizes_in_place(other), "{other:#x}");
        }
    }
}
