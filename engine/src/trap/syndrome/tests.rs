use super::*;
use crate::trap::sysreg::reg;

/// ESR_EL2 of `class` with `iss`, IL set.
fn esr(class: u8, iss: u32) -> u64 {
    u64::from(class) << 26 | 1 << 25 | u64::from(iss)
}

#[test]
fn every_class_and_status_decodes() {
    // All classes against all ISS values with one or two bits set, and all status codes.
    for class in 0..64u8 {
        for a in 0..25 {
            for b in 0..25 {
                let word = esr(class, 1 << a | 1 << b);
                let trap = Trap::decode(word);
                // ISS2, bits 55:32, changes nothing that is decoded.
                assert_eq!(trap, Trap::decode(word | 0xff_ffff << 32));
                if let Trap::Abort(abort) = trap {
                    let _ = abort.ipa(u64::MAX, u64::MAX);
                }
            }
        }
    }
    for code in 0..=u64::from(u8::MAX) {
        let (abort, same) = (Abort::of_data(code), Abort::of_data(code & 0x3f));
        assert!(abort.level().is_none_or(|level| (-2..=3).contains(&level)));
        assert_eq!((abort.kind(), abort.level()), (same.kind(), same.level()));
    }
}

#[test]
fn assigned_status_codes_are_all_known() {
    let reserved =
        (0..64u8).filter(|&code| Abort::of_data(code.into()).kind() == FaultKind::Reserved);
    // The codes that Arm ARM D19.2.37 leaves unassigned, and the unused levels of parity errors.
    let expected: [u8; 17] = [
        0b01_1001, 0b01_1010, 0b10_0000, 0b10_1101, 0b10_1110, 0b10_1111, 0b11_0010, 0b11_0011,
        0b11_0110, 0b11_0111, 0b11_1000, 0b11_1001, 0b11_1010, 0b11_1011, 0b11_1100, 0b11_1101,
        0b11_1110,
    ];
    assert!(reserved.eq(expected.into_iter().chain([0b11_1111])));
}

/// Status codes from `first` on, of levels `levels`, are of this kind.
fn levels(kind: FaultKind, first: u64, levels: core::ops::RangeInclusive<i8>) {
    for (code, level) in (first..).zip(levels) {
        let abort = Abort::of_data(code);
        assert_eq!(
            (abort.kind(), abort.level()),
            (kind, Some(level)),
            "{code:#b}"
        );
    }
}

#[test]
fn each_status_code_has_the_kind_and_level_of_arm_s_table() {
    // Arm ARM D19.2.37, DFSC: kinds with a level, in the order of their codes.
    levels(FaultKind::AddressSize, 0b00_0000, 0..=3);
    levels(FaultKind::Translation, 0b00_0100, 0..=3);
    levels(FaultKind::AccessFlag, 0b00_1000, 0..=3);
    levels(FaultKind::Permission, 0b00_1100, 0..=3);
    levels(FaultKind::ExternalOnWalk, 0b01_0010, -2..=3);
    levels(FaultKind::ParityOnWalk, 0b01_1011, -1..=3);
    levels(FaultKind::GranuleProtection, 0b10_0010, -2..=3);
    levels(FaultKind::AddressSize, 0b10_1001, -1..=-1);
    levels(FaultKind::Translation, 0b10_1010, -2..=-1);
    levels(FaultKind::AddressSize, 0b10_1100, -2..=-2);
    for (code, kind) in [
        (0b01_0000, FaultKind::External),
        (0b01_0001, FaultKind::TagCheck),
        (0b01_1000, FaultKind::Parity),
        (0b10_0001, FaultKind::Alignment),
        (0b10_1000, FaultKind::GranuleProtection),
        (0b11_0000, FaultKind::TlbConflict),
        (0b11_0001, FaultKind::UnsupportedUpdate),
        (0b11_0100, FaultKind::Lockdown),
        (0b11_0101, FaultKind::UnsupportedExclusive),
    ] {
        let abort = Abort::of_data(code);
        assert_eq!((abort.kind(), abort.level()), (kind, None), "{code:#b}");
    }
}

#[test]
fn each_class_is_what_arm_assigns_it_to() {
    for (class, trap) in [
        (0x00, Trap::Unknown),
        (0x07, Trap::FpAccess),
        (0x09, Trap::PauthAccess),
        (0x0e, Trap::Illegal),
        (0x19, Trap::Sve),
        (0x1d, Trap::Sme),
        (0x20, Trap::Abort(Abort::of_fetch(0))),
        (0x24, Trap::Abort(Abort::of_data(0))),
    ] {
        assert_eq!(Trap::decode(esr(class, 0)), trap, "{class:#x}");
    }
    let aarch32 = [0x03, 0x04, 0x05, 0x06, 0x08, 0x0c, 0x11, 0x12, 0x13];
    let known = [
        0x00, 0x01, 0x07, 0x09, 0x0e, 0x16, 0x17, 0x18, 0x19, 0x1d, 0x20, 0x24,
    ];
    for class in 0..64u8 {
        let wanted = match class {
            0x30.. => Trap::Debug(class),
            _ if aarch32.contains(&class) => Trap::Aarch32(class),
            _ if known.contains(&class) => continue,
            _ => Trap::Other(class),
        };
        assert_eq!(Trap::decode(esr(class, 0)), wanted, "{class:#x}");
    }
}

#[test]
fn calls_and_waits() {
    assert_eq!(Trap::decode(0x5a00_0000), Trap::Hvc { imm: 0 });
    assert_eq!(Trap::decode(0x5e00_1234), Trap::Smc { imm: 0x1234 });
    // As QEMU reports WFI and WFE: CV set, COND 0b1110.
    assert_eq!(
        Trap::decode(0x07e0_0000),
        Trap::Wfx {
            is_wfe: false,
            is_timed: false
        }
    );
    assert_eq!(
        Trap::decode(0x07e0_0001),
        Trap::Wfx {
            is_wfe: true,
            is_timed: false
        }
    );
    assert_eq!(
        Trap::decode(0x07e0_0002),
        Trap::Wfx {
            is_wfe: false,
            is_timed: true
        }
    );
    assert_eq!(Trap::decode(0x1fe0_0000), Trap::FpAccess);
    assert_eq!(Trap::decode(esr(0x3c, 0)), Trap::Debug(0x3c));
    assert_eq!(Trap::decode(esr(0x11, 0)), Trap::Aarch32(0x11));
    assert_eq!(Trap::decode(esr(0x25, 0)), Trap::Other(0x25));
}

#[test]
fn system_register_fields() {
    // MRS x3, ID_AA64PFR0_EL1: op0 3, op1 0, CRn 0, CRm 4, op2 0.
    let read = Trap::decode(esr(0x18, 3 << 20 | 3 << 5 | 4 << 1 | 1));
    let expected = SysregAccess {
        register: reg::ID_AA64PFR0_EL1,
        rt: 3,
        is_read: true,
    };
    assert_eq!(read, Trap::Sysreg(expected));
    // MSR ICC_SGI1R_EL1, x31: op0 3, op1 0, CRn 12, CRm 11, op2 5.
    let write = Trap::decode(esr(0x18, 3 << 20 | 5 << 17 | 12 << 10 | 31 << 5 | 11 << 1));
    let expected = SysregAccess {
        register: reg::ICC_SGI1R_EL1,
        rt: 31,
        is_read: false,
    };
    assert_eq!(write, Trap::Sysreg(expected));
}

#[test]
fn mmio_store_of_a_byte() {
    // STRB w1 to UART: ISV, SAS 0, SRT 1, WnR, translation fault level 3.
    let Trap::Abort(abort) = Trap::decode(esr(0x24, 1 << 24 | 1 << 16 | 1 << 6 | 0b111)) else {
        panic!("not a data abort");
    };
    assert!(abort.is_write() && !abort.on_walk() && !abort.is_cache_op() && abort.far_valid());
    let status = (abort.kind(), abort.level(), abort.is_fetch());
    assert_eq!(status, (FaultKind::Translation, Some(3), false));
    let access = abort.access().unwrap();
    assert_eq!((access.bytes(), access.rt()), (1, 1));
    assert_eq!(access.narrow(0x1234), 0x34);
    let at = abort.ipa(0x0900_0000 >> 8, 0xffff_8000_1234_5018).unwrap();
    assert_eq!(at.exact(), Some(0x0900_0018));
}

#[test]
fn each_bit_of_an_abort_is_one_thing() {
    type Ask = fn(Abort) -> bool;
    let bits: [(u32, Ask); 4] = [
        (6, Abort::is_write),
        (7, Abort::on_walk),
        (8, Abort::is_cache_op),
        (24, |abort| abort.access().is_some()),
    ];
    for (index, ask) in bits {
        for other in 0..25 {
            let abort = Abort::of_data(1 << other);
            assert_eq!(ask(abort), other == index, "{index} {other}");
        }
    }
    for other in 0..25 {
        assert_eq!(Abort::of_data(1 << other).far_valid(), other != 10);
        assert!(!Abort::of_data(1 << other).is_fetch());
    }
    // What stands above the syndrome in ESR_EL2 makes no fetch of a load.
    assert!(!Abort::of_data(u64::MAX).is_fetch() && Abort::of_fetch(0).is_fetch());
}

#[test]
fn fields_of_an_access_do_not_overlap() {
    for (size, bytes) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        for rt in 0..32 {
            let access = Abort::of_data(1 << 24 | size << 22 | rt << 16).access();
            let access = access.unwrap();
            assert_eq!((access.bytes(), u64::from(access.rt())), (bytes, rt));
        }
    }
}

#[test]
fn loads_extend_as_the_instruction_says() {
    let access = |bytes: u64, sign_extend, is_64bit| {
        let size = u64::from(bytes.trailing_zeros());
        let iss = 1 << 24 | size << 22 | u64::from(sign_extend) << 21 | u64::from(is_64bit) << 15;
        Abort::of_data(iss).access().unwrap()
    };
    assert_eq!(access(1, true, false).extend(0x180), 0xffff_ff80);
    assert_eq!(access(1, true, true).extend(0x80), 0xffff_ffff_ffff_ff80);
    assert_eq!(access(2, false, true).extend(0xdead_beef), 0xbeef);
    assert_eq!(
        access(4, true, true).extend(0x8000_0000),
        0xffff_ffff_8000_0000
    );
    assert_eq!(access(8, false, true).extend(u64::MAX), u64::MAX);
    assert_eq!(access(8, true, true).narrow(u64::MAX), u64::MAX);
    assert_eq!(access(2, true, true).narrow(0xdead_beef), 0xbeef);
}

#[test]
fn addresses_are_told_only_where_the_hardware_tells_them() {
    let abort = |iss| Abort::of_data(iss);
    // A walk's fault: the page is known, the entry in it is not.
    let walk = abort(1 << 7 | 0b1100).ipa(0x12_3450, 0xfff).unwrap();
    assert_eq!(
        walk,
        FaultAddress {
            page: 0x1234_5000,
            offset: None
        }
    );
    assert_eq!(walk.exact(), None);
    // A permission fault outside a walk leaves HPFAR_EL2 UNKNOWN.
    assert_eq!(abort(0b1101).ipa(0x12_3450, 0), None);
    assert_eq!(abort(0b01_0000).ipa(0x12_3450, 0), None);
    // An address that is too wide, and a clear access flag, are told as a missing entry is.
    for code in [0b00_0011, 0b00_1011, 0b00_0111] {
        let told = FaultAddress {
            page: 0x1234_5000,
            offset: Some(0xabc),
        };
        assert_eq!(abort(code).ipa(0x12_3450, 0x9abc), Some(told));
        // FnV: FAR_EL2 holds nothing.
        let page_alone = FaultAddress {
            offset: None,
            ..told
        };
        let unsure = abort(1 << 10 | code).ipa(0x12_3450, 0x9abc);
        assert_eq!(unsure, Some(page_alone));
    }
    // The non-secure bit of HPFAR_EL2 is no address bit.
    assert_eq!(abort(0b0110).ipa(1 << 63 | 0x10, 0).unwrap().page, 0x1000);
    assert_eq!(
        abort(0b0110).ipa(0xfff_ffff_fff0, 0).unwrap().page,
        0xf_ffff_ffff_f000
    );
}

#[test]
fn instruction_aborts_are_never_stores() {
    for iss in [1 << 6, 1 << 24, 1 << 8] {
        let Trap::Abort(abort) = Trap::decode(esr(0x20, iss)) else {
            panic!("class 0x20")
        };
        assert!(abort.is_fetch() && !abort.is_write() && !abort.is_cache_op());
        assert!(abort.access().is_none());
    }
}
