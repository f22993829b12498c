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
