//! What this core has, read from its identification registers.
//!
//! Invariant: the engine's decisions for all cores use the boot core's features, and a core that has
//! less ([`weakest`] of both is not the boot core's) is left out; [`CoreFeatures`] are for this core's
//! own registers only.

use super::controls::Controls;
use super::errata;
use super::regs::*;
use crate::platform::Features;

/// A 4-bit field of an identification register, unsigned.
fn field(register: u64, lsb: u32) -> u64 {
    register >> lsb & 0xf
}

/// What decides how this core's registers are switched.
#[derive(Clone, Copy, Debug)]
pub struct CoreFeatures {
    /// FEAT_PAuth, with any algorithm: there are keys to switch.
    pub pauth: bool,
    /// FEAT_RAS: ESB, DISR_EL1 and VDISR_EL2.
    pub ras: bool,
    /// The control registers for that.
    pub controls: Controls,
    /// `errata::walks_from_el2`.
    pub walks_from_el2: bool,
    /// CTR_EL0.DminLine in bytes.
    pub cache_line: usize,
    /// What `DC ZVA` zeroes, in bytes; `None` if it may not be used.
    pub zva_block: Option<usize>,
}

impl CoreFeatures {
    /// This core's. `machine` is the weakest core's word on what all must do alike.
    pub fn read(machine: &Features) -> Self {
        let isar1 = ID_AA64ISAR1_EL1.get();
        let isar2 = ID_AA64ISAR2_EL1.get();
        let dczid = DCZID_EL0.get();
        // ISAR1.APA, API, GPA, GPI; ISAR2.APA3, GPA3.
        let pauth = [4, 8, 24, 28].iter().any(|&lsb| field(isar1, lsb) != 0)
            || [12, 8].iter().any(|&lsb| field(isar2, lsb) != 0);
        // PMCR_EL0.N.
        let pmu_counters = if has_pmu() {
            PMCR_EL0.get() >> 11 & 0x1f
        } else {
            0
        };
        Self {
            pauth,
            ras: has_ras(),
            // HCR_EL2.FWB must be what the stage-2 entries were written for, on all cores.
            controls: Controls::new(pauth, machine.force_write_back, pmu_counters),
            walks_from_el2: errata::walks_from_el2(MIDR_EL1.get()),
            cache_line: 4 << field(CTR_EL0.get(), 16),
            // DCZID_EL0.DZP forbids it; BS is log2 of the words.
            zva_block: (dczid & 1 << 4 == 0).then(|| 4 << field(dczid, 0)),
        }
    }
}

/// This core's features. Bring-up merges all cores' by [`weakest`].
pub fn detect() -> Features {
    Features {
        tlb_range: field(ID_AA64ISAR0_EL1.get(), 56) >= 2,
        force_write_back: field(ID_AA64MMFR2_EL1.get(), 40) >= 1,
        icache_by_hand: CTR_EL0.get() & 1 << 29 == 0,
        repeat_tlbi: errata::needs_repeated_tlbi(MIDR_EL1.get()),
        resize_in_place: field(ID_AA64MMFR2_EL1.get(), 52) >= 2
            && errata::resizes_in_place(MIDR_EL1.get()),
        pa_bits: pa_bits(),
    }
}

/// What both sets of features allow.
pub fn weakest(a: Features, b: Features) -> Features {
    Features {
        tlb_range: a.tlb_range && b.tlb_range,
        force_write_back: a.force_write_back && b.force_write_back,
        icache_by_hand: a.icache_by_hand || b.icache_by_hand,
        repeat_tlbi: a.repeat_tlbi || b.repeat_tlbi,
        resize_in_place: a.resize_in_place && b.resize_in_place,
        pa_bits: a.pa_bits.min(b.pa_bits),
    }
}

/// ICH_VTR_EL2: the number and shape of this core's list registers, for `gic::Ich::new`.
pub fn list_registers_type() -> u64 {
    ICH_VTR_EL2.get()
}

/// ID_AA64MMFR0_EL1.PARange, at most 48 bits: what 4 KiB tables without FEAT_LPA2 reach.
fn pa_bits() -> u8 {
    match field(ID_AA64MMFR0_EL1.get(), 0) {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// FEAT_PMUv3. 0xf is an IMPLEMENTATION DEFINED monitor without these registers.
pub fn has_pmu() -> bool {
    !matches!(field(ID_AA64DFR0_EL1.get(), 8), 0 | 0xf)
}

/// FEAT_SPE.
pub fn has_profiling() -> bool {
    field(ID_AA64DFR0_EL1.get(), 32) != 0
}

/// FEAT_TRBE.
pub fn has_trace_buffer() -> bool {
    field(ID_AA64DFR0_EL1.get(), 44) != 0
}

/// FEAT_TRF.
pub fn has_trace_filter() -> bool {
    field(ID_AA64DFR0_EL1.get(), 40) != 0
}

/// FEAT_RAS.
pub fn has_ras() -> bool {
    field(ID_AA64PFR0_EL1.get(), 28) != 0
}

/// FEAT_MPAM, of any version.
pub fn has_mpam() -> bool {
    field(ID_AA64PFR0_EL1.get(), 40) != 0 || field(ID_AA64PFR1_EL1.get(), 16) != 0
}

/// FEAT_AMUv1.
pub fn has_activity_monitors() -> bool {
    field(ID_AA64PFR0_EL1.get(), 44) != 0
}

/// FEAT_FGT: 1, and with 2 FEAT_FGT2's registers too.
pub fn fine_grained_traps() -> u64 {
    field(ID_AA64MMFR0_EL1.get(), 56)
}

/// FEAT_HCX.
pub fn has_hcrx() -> bool {
    field(ID_AA64MMFR1_EL1.get(), 40) != 0
}

/// Can stage 1 and stage 2 use 4 KiB pages? TGran4 is 0xf for no; TGran4_2 (bits 43:40) is 0 for
/// "as TGran4", 1 for no.
pub fn has_4k_pages() -> bool {
    let mmfr0 = ID_AA64MMFR0_EL1.get();
    field(mmfr0, 28) != 0xf && field(mmfr0, 40) != 1
}

/// The GIC CPU interface's system registers.
pub fn has_gic_registers() -> bool {
    field(ID_AA64PFR0_EL1.get(), 24) != 0
}
