//! System registers and instructions by what they belong to: names for the reasons of failures, and
//! encodings (Arm ARM C5, D19).

use crate::code::Sysreg;

/// Registers with their names.
pub type Group = &'static [(&'static str, Sysreg)];

/// Performance monitors.
pub const PMU: Group = &[
    ("PMCR_EL0", Sysreg(3, 3, 9, 12, 0)),
    ("PMCNTENSET_EL0", Sysreg(3, 3, 9, 12, 1)),
    ("PMOVSCLR_EL0", Sysreg(3, 3, 9, 12, 3)),
    ("PMSELR_EL0", Sysreg(3, 3, 9, 12, 5)),
    ("PMCCNTR_EL0", Sysreg(3, 3, 9, 13, 0)),
    ("PMXEVTYPER_EL0", Sysreg(3, 3, 9, 13, 1)),
    ("PMXEVCNTR_EL0", Sysreg(3, 3, 9, 13, 2)),
    ("PMUSERENR_EL0", Sysreg(3, 3, 9, 14, 0)),
    ("PMINTENSET_EL1", Sysreg(3, 0, 9, 14, 1)),
    ("PMEVCNTR0_EL0", Sysreg(3, 3, 14, 8, 0)),
    ("PMEVTYPER0_EL0", Sysreg(3, 3, 14, 12, 0)),
    ("PMCCFILTR_EL0", Sysreg(3, 3, 14, 15, 7)),
];

/// Statistical profiling, which writes memory.
pub const SPE: Group = &[
    ("PMSCR_EL1", Sysreg(3, 0, 9, 9, 0)),
    ("PMSIDR_EL1", Sysreg(3, 0, 9, 9, 7)),
    ("PMBLIMITR_EL1", Sysreg(3, 0, 9, 10, 0)),
    ("PMBPTR_EL1", Sysreg(3, 0, 9, 10, 1)),
];

/// Trace, its filter, and its buffer, which writes memory.
pub const TRACE: Group = &[
    ("TRFCR_EL1", Sysreg(3, 0, 1, 2, 1)),
    ("TRBLIMITR_EL1", Sysreg(3, 0, 9, 11, 0)),
    ("TRBPTR_EL1", Sysreg(3, 0, 9, 11, 1)),
    ("TRCPRGCTLR", Sysreg(2, 1, 0, 1, 0)),
    ("TRCOSLSR", Sysreg(2, 1, 1, 1, 4)),
    ("BRBCR_EL1", Sysreg(2, 1, 9, 0, 0)),
];

/// Memory tags.
pub const MTE: Group = &[
    ("RGSR_EL1", Sysreg(3, 0, 1, 0, 5)),
    ("GCR_EL1", Sysreg(3, 0, 1, 0, 6)),
    ("TFSR_EL1", Sysreg(3, 0, 5, 6, 0)),
    ("TFSRE0_EL1", Sysreg(3, 0, 5, 6, 1)),
];

/// Scalable vectors.
pub const SVE: Group = &[("ZCR_EL1", Sysreg(3, 0, 1, 2, 0))];

/// Scalable matrices.
pub const SME: Group = &[
    ("SMCR_EL1", Sysreg(3, 0, 1, 2, 6)),
    ("SMPRI_EL1", Sysreg(3, 0, 1, 2, 4)),
    ("SVCR", Sysreg(3, 3, 4, 2, 2)),
    ("TPIDR2_EL0", Sysreg(3, 3, 13, 0, 5)),
];

/// Error records.
pub const RAS: Group = &[
    ("ERRIDR_EL1", Sysreg(3, 0, 5, 3, 0)),
    ("ERRSELR_EL1", Sysreg(3, 0, 5, 3, 1)),
    ("ERXCTLR_EL1", Sysreg(3, 0, 5, 4, 1)),
    ("ERXSTATUS_EL1", Sysreg(3, 0, 5, 4, 2)),
    ("ERXADDR_EL1", Sysreg(3, 0, 5, 4, 3)),
    ("ERXMISC0_EL1", Sysreg(3, 0, 5, 5, 0)),
];

/// Activity monitors.
pub const AMU: Group = &[
    ("AMCR_EL0", Sysreg(3, 3, 13, 2, 0)),
    ("AMUSERENR_EL0", Sysreg(3, 3, 13, 2, 3)),
    ("AMCNTENSET0_EL0", Sysreg(3, 3, 13, 2, 5)),
    ("AMEVCNTR00_EL0", Sysreg(3, 3, 13, 4, 0)),
];

/// Limited ordering regions.
pub const LOR: Group = &[
    ("LORSA_EL1", Sysreg(3, 0, 10, 4, 0)),
    ("LOREA_EL1", Sysreg(3, 0, 10, 4, 1)),
    ("LORN_EL1", Sysreg(3, 0, 10, 4, 2)),
    ("LORC_EL1", Sysreg(3, 0, 10, 4, 3)),
];

/// Partitions of memory and caches.
pub const MPAM: Group = &[
    ("MPAM1_EL1", Sysreg(3, 0, 10, 5, 0)),
    ("MPAM0_EL1", Sysreg(3, 0, 10, 5, 1)),
    ("MPAMIDR_EL1", Sysreg(3, 0, 10, 4, 4)),
];

/// Registers that are not switched because they came with newer extensions.
pub const NEWER: Group = &[
    ("SCXTNUM_EL1", Sysreg(3, 0, 13, 0, 7)),
    ("SCXTNUM_EL0", Sysreg(3, 3, 13, 0, 7)),
    ("ACCDATA_EL1", Sysreg(3, 0, 13, 0, 5)),
    ("TCR2_EL1", Sysreg(3, 0, 2, 0, 3)),
    ("SCTLR2_EL1", Sysreg(3, 0, 1, 0, 3)),
    ("PIRE0_EL1", Sysreg(3, 0, 10, 2, 2)),
    ("PIR_EL1", Sysreg(3, 0, 10, 2, 3)),
    ("POR_EL0", Sysreg(3, 3, 10, 2, 4)),
    ("GCSPR_EL1", Sysreg(3, 0, 2, 5, 1)),
];

/// IMPLEMENTATION DEFINED registers, Cortex-A72's L2 control and auxiliary control among them.
pub const IMPLEMENTATION: Group = &[
    ("L2CTLR_EL1", Sysreg(3, 1, 11, 0, 2)),
    ("CPUACTLR_EL1", Sysreg(3, 1, 15, 2, 0)),
    ("CPUECTLR_EL1", Sysreg(3, 1, 15, 2, 1)),
    ("S3_0_C15_C1_4", Sysreg(3, 0, 15, 1, 4)),
    ("S3_3_C15_C0_0", Sysreg(3, 3, 15, 0, 0)),
];

/// EL2's registers, and what would be aliases of EL1's there.
pub const EL2: Group = &[
    ("HCR_EL2", Sysreg(3, 4, 1, 1, 0)),
    ("MDCR_EL2", Sysreg(3, 4, 1, 1, 1)),
    ("CPTR_EL2", Sysreg(3, 4, 1, 1, 2)),
    ("SCTLR_EL2", Sysreg(3, 4, 1, 0, 0)),
    ("TTBR0_EL2", Sysreg(3, 4, 2, 0, 0)),
    ("VTTBR_EL2", Sysreg(3, 4, 2, 1, 0)),
    ("VTCR_EL2", Sysreg(3, 4, 2, 1, 2)),
    ("VBAR_EL2", Sysreg(3, 4, 12, 0, 0)),
    ("TPIDR_EL2", Sysreg(3, 4, 13, 0, 2)),
    ("ELR_EL2", Sysreg(3, 4, 4, 0, 1)),
    ("SPSR_EL2", Sysreg(3, 4, 4, 0, 0)),
    ("SP_EL1", Sysreg(3, 4, 4, 1, 0)),
    ("HPFAR_EL2", Sysreg(3, 4, 6, 0, 4)),
    ("VMPIDR_EL2", Sysreg(3, 4, 0, 0, 5)),
    ("CNTVOFF_EL2", Sysreg(3, 4, 14, 0, 3)),
    ("CNTHCTL_EL2", Sysreg(3, 4, 14, 1, 0)),
    ("CNTHP_CTL_EL2", Sysreg(3, 4, 14, 2, 1)),
    ("ICC_SRE_EL2", Sysreg(3, 4, 12, 9, 5)),
    ("ICH_HCR_EL2", Sysreg(3, 4, 12, 11, 0)),
    ("ICH_LR0_EL2", Sysreg(3, 4, 12, 12, 0)),
    ("SCTLR_EL12", Sysreg(3, 5, 1, 0, 0)),
    ("TTBR0_EL12", Sysreg(3, 5, 2, 0, 0)),
    ("SCR_EL3", Sysreg(3, 6, 1, 1, 0)),
    ("CNTPS_CTL_EL1", Sysreg(3, 7, 14, 2, 1)),
];

/// EL2's instructions: translations of both stages, and invalidations of other VMs' entries.
pub const EL2_INSTRUCTIONS: Group = &[
    ("AT S12E1R", Sysreg(1, 4, 7, 8, 4)),
    ("AT S12E1W", Sysreg(1, 4, 7, 8, 5)),
    ("AT S1E2R", Sysreg(1, 4, 7, 8, 0)),
    ("TLBI IPAS2E1IS", Sysreg(1, 4, 8, 0, 1)),
    ("TLBI VMALLS12E1", Sysreg(1, 4, 8, 7, 6)),
    ("TLBI ALLE1IS", Sysreg(1, 4, 8, 3, 4)),
    ("TLBI ALLE2", Sysreg(1, 4, 8, 7, 0)),
];

/// The EL1 physical timer, which goes on for the host while guests run.
pub const PHYSICAL_TIMER: Group = &[
    ("CNTP_TVAL_EL0", Sysreg(3, 3, 14, 2, 0)),
    ("CNTP_CTL_EL0", Sysreg(3, 3, 14, 2, 1)),
    ("CNTP_CVAL_EL0", Sysreg(3, 3, 14, 2, 2)),
];
