//! What guests and the host are shown on known cores.

use super::*;

/// Cortex-A72 r0p3 (its Technical Reference Manual, 4.3).
pub fn cortex_a72() -> IdRegisters {
    machine(&[
        (reg::ID_AA64PFR0_EL1, 0x0000_2222),
        (reg::ID_AA64DFR0_EL1, 0x1030_5106),
        (reg::ID_AA64ISAR0_EL1, 0x0001_1120),
        (reg::ID_AA64MMFR0_EL1, 0x0000_1124),
    ])
}

/// Neoverse N1 r4p1 (its Technical Reference Manual, B2), with GICv3.
pub fn neoverse_n1() -> IdRegisters {
    machine(&[
        (reg::ID_AA64PFR0_EL1, 0x1100_0000_1111_1112),
        (reg::ID_AA64PFR1_EL1, 0x0000_0000_0000_0020),
        (reg::ID_AA64DFR0_EL1, 0x0000_0001_1030_5408),
        (reg::ID_AA64ISAR0_EL1, 0x0000_1000_1021_1120),
        (reg::ID_AA64ISAR1_EL1, 0x0000_0000_0010_0001),
        (reg::ID_AA64MMFR0_EL1, 0x0000_0000_0010_1125),
        (reg::ID_AA64MMFR1_EL1, 0x0000_0000_1021_2122),
        (reg::ID_AA64MMFR2_EL1, 0x0000_0000_0000_1011),
    ])
}

/// `-cpu max,pauth-impdef=on` of QEMU 10.0, read through its debugger interface, which lacks PFR0.
fn qemu_max() -> IdRegisters {
    machine(&[
        (reg::ID_AA64PFR1_EL1, 0x0000_0010_0100_0121),
        (reg::ID_AA64ZFR0_EL1, 0x0110_1101_0021_0021),
        (reg::ID_AA64SMFR0_EL1, 0x80f1_00fd_0000_0000),
        (reg::ID_AA64DFR0_EL1, 0x1000_0000_1030_560a),
        (reg::ID_AA64ISAR0_EL1, 0x1221_1111_1021_2120),
        (reg::ID_AA64ISAR1_EL1, 0x0111_2111_1021_1502),
        (reg::ID_AA64ISAR2_EL1, 0x0000_0000_0011_0012),
        (reg::ID_AA64MMFR0_EL1, 0x2100_0323_1020_1126),
        (reg::ID_AA64MMFR1_EL1, 0x0110_1120_1031_2122),
        (reg::ID_AA64MMFR2_EL1, 0x1221_0111_1201_1011),
        (reg::ID_AA64MMFR3_EL1, 0x1000_0000_0000_0000),
    ])
}

/// `-cpu neoverse-v1` of QEMU 10.0, read in the same way.
fn neoverse_v1() -> IdRegisters {
    machine(&[
        (reg::ID_AA64PFR1_EL1, 0x0000_0000_0000_0020),
        (reg::ID_AA64ZFR0_EL1, 0x0000_1000_0010_0000),
        (reg::ID_AA64DFR0_EL1, 0x0000_00f0_1030_5509),
        (reg::ID_AA64ISAR0_EL1, 0x1011_1111_1021_2120),
        (reg::ID_AA64ISAR1_EL1, 0x0011_1000_1021_1302),
        (reg::ID_AA64MMFR2_EL1, 0x0220_0111_0210_1011),
    ])
}

#[test]
fn a_guest_on_cortex_a72() {
    let real = cortex_a72();
    // EL2, EL3 and AArch32 go, two breakpoints and watchpoints stay, the PMU goes, 44 bits stay.
    assert_eq!(guest(&real, reg::ID_AA64PFR0_EL1), 0x0000_0011);
    assert_eq!(guest(&real, reg::ID_AA64DFR0_EL1), 0x0000_00f0_0010_1006);
    assert_eq!(guest(&real, reg::ID_AA64ISAR0_EL1), 0x0001_1120);
    assert_eq!(guest(&real, reg::ID_AA64MMFR0_EL1), 0x0000_0124);
    assert_eq!(host(&real, reg::ID_AA64PFR0_EL1), 0x0000_0011);
    assert_eq!(host(&real, reg::ID_AA64DFR0_EL1), 0x1030_5006);
}

#[test]
fn a_guest_on_neoverse_n1() {
    let real = neoverse_n1();
    // RAS goes for guests, VHE, VMIDBits, XNX and LORegions for all.
    assert_eq!(guest(&real, reg::ID_AA64PFR0_EL1), 0x1100_0000_0111_0011);
    assert_eq!(host(&real, reg::ID_AA64PFR0_EL1), 0x1100_0000_1111_0011);
    assert_eq!(guest(&real, reg::ID_AA64PFR1_EL1), 0x20);
    assert_eq!(guest(&real, reg::ID_AA64DFR0_EL1), 0x0000_00f0_0010_1006);
    assert_eq!(host(&real, reg::ID_AA64DFR0_EL1), 0x1030_5008);
    assert_eq!(guest(&real, reg::ID_AA64ISAR0_EL1), 0x0000_1000_1021_1120);
    assert_eq!(guest(&real, reg::ID_AA64ISAR1_EL1), 0x0010_0001);
    assert_eq!(guest(&real, reg::ID_AA64MMFR0_EL1), 0x0010_0125);
    assert_eq!(guest(&real, reg::ID_AA64MMFR1_EL1), 0x0020_2002);
    assert_eq!(guest(&real, reg::ID_AA64MMFR2_EL1), 0x0000_0011);
    assert_eq!(host(&real, reg::ID_AA64MMFR2_EL1), 0x0000_1011);
}

#[test]
fn a_guest_on_qemu_max() {
    let real = qemu_max();
    // NMI, SME and MTE go.
    assert_eq!(guest(&real, reg::ID_AA64PFR1_EL1), 0x21);
    assert_eq!(guest(&real, reg::ID_AA64ZFR0_EL1), 0);
    assert_eq!(guest(&real, reg::ID_AA64SMFR0_EL1), 0);
    assert_eq!(guest(&real, reg::ID_AA64DFR0_EL1), 0x0000_00f0_0010_1006);
    assert_eq!(host(&real, reg::ID_AA64DFR0_EL1), 0x1030_5009);
    // All instructions stay but the memory copies and, for guests, timed waits.
    assert_eq!(guest(&real, reg::ID_AA64ISAR0_EL1), 0x1221_1111_1021_2120);
    assert_eq!(guest(&real, reg::ID_AA64ISAR1_EL1), 0x0111_2111_1021_1502);
    assert_eq!(guest(&real, reg::ID_AA64ISAR2_EL1), 0x0010_0010);
    assert_eq!(host(&real, reg::ID_AA64ISAR2_EL1), 0x0010_0012);
    // 48 bits of address, whatever the granule.
    assert_eq!(guest(&real, reg::ID_AA64MMFR0_EL1), 0x0010_0125);
    assert_eq!(host(&real, reg::ID_AA64MMFR0_EL1), 0x1000_0000_0010_0125);
    assert_eq!(guest(&real, reg::ID_AA64MMFR1_EL1), 0x0000_1020_0030_2002);
    assert_eq!(guest(&real, reg::ID_AA64MMFR2_EL1), 0x1021_0011_1001_0011);
    assert_eq!(guest(&real, reg::ID_AA64MMFR3_EL1), 0);
}

#[test]
fn a_guest_on_neoverse_v1() {
    let real = neoverse_v1();
    assert_eq!(guest(&real, reg::ID_AA64PFR1_EL1), 0x20);
    assert_eq!(guest(&real, reg::ID_AA64ZFR0_EL1), 0);
    assert_eq!(guest(&real, reg::ID_AA64DFR0_EL1), 0x0000_00f0_0010_1006);
    assert_eq!(host(&real, reg::ID_AA64DFR0_EL1), 0x0000_00f0_1030_5009);
    assert_eq!(guest(&real, reg::ID_AA64ISAR1_EL1), 0x0011_1000_1021_1302);
    assert_eq!(guest(&real, reg::ID_AA64MMFR2_EL1), 0x0020_0011_0010_0011);
    assert_eq!(host(&real, reg::ID_AA64MMFR2_EL1), 0x0020_0011_0010_1011);
}
