use super::features::{POLICY, Side, shown};
use super::*;
use crate::trap::syndrome::SysregAccess;
use crate::vcpu::context::El1Regs;
use machines::{cortex_a72, neoverse_n1};

mod machines;

fn machine(values: &[(SysregId, u64)]) -> IdRegisters {
    let mut real = IdRegisters::new();
    for &(register, value) in values {
        real.set(register, value);
    }
    real
}

fn guest(real: &IdRegisters, register: SysregId) -> u64 {
    match guest_read(register, real, &El1Regs::default()) {
        SysregOutcome::Read(value) => value,
        other => panic!("{register:?}: {other:?}"),
    }
}

fn host(real: &IdRegisters, register: SysregId) -> u64 {
    match answer_host(
        SysregAccess {
            register,
            rt: 0,
            is_read: true,
        },
        real,
    ) {
        SysregOutcome::Read(value) => value,
        other => panic!("{register:?}: {other:?}"),
    }
}

#[test]
fn what_everything_at_once_may_show() {
    // A machine with every field at its highest: the ceiling of the policy.
    let mut real = IdRegisters::new();
    for register in IdRegisters::registers() {
        real.set(register, 0x7777_7777_7777_7777);
    }
    assert_eq!(guest(&real, reg::ID_AA64PFR0_EL1), 0x1101_0000_0111_0011);
    assert_eq!(guest(&real, reg::ID_AA64PFR1_EL1), 0x0000_0001_0000_0021);
    assert_eq!(guest(&real, reg::ID_AA64ISAR1_EL1), 0x0111_2211_1131_1552);
    assert_eq!(guest(&real, reg::ID_AA64ISAR2_EL1), 0x0111_0000_1110_5110);
    assert_eq!(guest(&real, reg::ID_AA64MMFR0_EL1), 0x0000_1000_0011_0125);
    for hidden in [
        reg::ID_AA64PFR2_EL1,
        reg::ID_AA64ZFR0_EL1,
        reg::ID_AA64SMFR0_EL1,
        reg::ID_AA64FPFR0_EL1,
        reg::ID_AA64DFR1_EL1,
        reg::ID_AA64MMFR3_EL1,
        reg::ID_AA64MMFR4_EL1,
    ] {
        assert_eq!((guest(&real, hidden), host(&real, hidden)), (0, 0));
    }
    // AArch32's and reserved encodings read as zero.
    for register in IdRegisters::registers() {
        let crm = register.parts().3;
        if crm < 4 || !POLICY.iter().any(|row| row.id == register) {
            assert_eq!((guest(&real, register), host(&real, register)), (0, 0));
        }
    }
}

#[test]
fn absent_features_stay_absent() {
    // Floating point, 4 KiB and 64 KiB granules are absent as -1, which is not "more than 1".
    let real = machine(&[
        (reg::ID_AA64PFR0_EL1, 0x00ff_0011),
        (reg::ID_AA64MMFR0_EL1, 0xff00_0000),
        (reg::ID_AA64DFR0_EL1, 0xf0_0000_0006),
    ]);
    assert_eq!(guest(&real, reg::ID_AA64PFR0_EL1), 0x00ff_0011);
    assert_eq!(guest(&real, reg::ID_AA64MMFR0_EL1), 0xff00_0000);
    assert_eq!(host(&real, reg::ID_AA64DFR0_EL1), 0xf0_0000_0006);
}

#[test]
fn policy_is_well_formed_and_never_shows_more_than_there_is() {
    for (i, row) in POLICY.iter().enumerate() {
        assert!(
            POLICY[i + 1..].iter().all(|other| other.id != row.id),
            "{:?}",
            row.id
        );
        assert!(
            row.fields
                .iter()
                .all(|field| field.lsb < 64 && field.lsb.is_multiple_of(4))
        );
        assert!(
            row.fields.is_sorted_by(|a, b| a.lsb > b.lsb),
            "{:?}",
            row.id
        );
        for field in row.fields {
            for rule in [field.guest, field.host] {
                let (features::Rule::Is(value) | features::Rule::UpTo(value)) = rule;
                assert!(value < 16);
            }
        }
    }
    // Fixed values that may exceed the machine's: AArch64 at EL0 and EL1, which it has; two
    // breakpoints and watchpoints, which every core has; no double lock.
    let fixed = [
        (reg::ID_AA64PFR0_EL1, 0),
        (reg::ID_AA64PFR0_EL1, 4),
        (reg::ID_AA64DFR0_EL1, 12),
        (reg::ID_AA64DFR0_EL1, 20),
        (reg::ID_AA64DFR0_EL1, 36),
    ];
    for register in IdRegisters::registers() {
        for lsb in (0..64)
            .step_by(4)
            .filter(|&lsb| !fixed.contains(&(register, lsb)))
        {
            let order = features::order(register, lsb);
            for value in 0..16 {
                let real = machine(&[(register, value << lsb)]);
                for side in [Side::Guest, Side::Host] {
                    let shows = (shown(side, register, &real) >> lsb & 0xf) as u8;
                    let more = order.weaker(value as u8, shows) != shows;
                    assert!(!more || shows == 0, "{register:?}[{lsb}] {value} {shows}");
                }
            }
        }
    }
}

#[test]
fn narrowing_takes_the_weaker_core_field_by_field() {
    let mut real = neoverse_n1();
    real.narrow(&cortex_a72());
    assert_eq!(real.get(reg::ID_AA64ISAR0_EL1), 0x0001_1120);
    assert_eq!(real.get(reg::ID_AA64MMFR0_EL1), 0x0000_1124);
    // Signed: 0 (present) against -1 (absent) against 1 (half precision).
    let fp = |value: u64| machine(&[(reg::ID_AA64PFR0_EL1, value << 16)]);
    for (a, b, expected) in [(0, 1, 0), (1, 0xf, 0xf), (0xf, 0, 0xf), (1, 1, 1)] {
        let mut narrowed = fp(a);
        narrowed.narrow(&fp(b));
        assert_eq!(narrowed, fp(expected));
    }
    // Speculative SErrors: the core that has them decides.
    let mut quiet = machine(&[(reg::ID_AA64MMFR1_EL1, 0)]);
    quiet.narrow(&machine(&[(reg::ID_AA64MMFR1_EL1, 1 << 24)]));
    assert_eq!(guest(&quiet, reg::ID_AA64MMFR1_EL1), 1 << 24);
    // Idempotent and symmetric.
    let (mut a, mut b) = (neoverse_n1(), cortex_a72());
    a.narrow(&cortex_a72());
    b.narrow(&neoverse_n1());
    assert_eq!(a, b);
    b.narrow(&a);
    assert_eq!(a, b);
}

/// Every encoding of MSR, MRS and SYS.
fn encodings() -> impl Iterator<Item = SysregId> {
    (0..=u16::MAX).map(|word| {
        let field = |lsb: u16, width: u16| (word >> lsb & ((1 << width) - 1)) as u8;
        SysregId::new(
            field(14, 2),
            field(11, 3),
            field(7, 4),
            field(3, 4),
            field(0, 3),
        )
    })
}

#[test]
fn every_encoding_is_answered_and_only_listed_ones_succeed() {
    let real = neoverse_n1();
    let (mut readable, mut writable) = (0, 0);
    for register in encodings() {
        let (op0, op1, crn, crm, op2) = register.parts();
        assert_eq!(SysregId::new(op0, op1, crn, crm, op2), register);
        let mut el1 = El1Regs::default();
        let is_feature = (op0, op1, crn) == (3, 0, 0) && (1..8).contains(&crm);
        let read = guest_read(register, &real, &el1);
        let write = guest_write(register, u64::MAX, &mut el1);
        readable += usize::from(read != SysregOutcome::Undefined && !is_feature);
        writable += usize::from(write != SysregOutcome::Undefined);
        if is_feature {
            assert!(matches!(read, SysregOutcome::Read(_)));
            assert_eq!(write, SysregOutcome::Undefined);
        }
        for is_read in [false, true] {
            let outcome = answer_host(
                SysregAccess {
                    register,
                    rt: 31,
                    is_read,
                },
                &real,
            );
            let expected = is_feature && is_read || register == reg::ACTLR_EL1;
            assert_eq!(outcome != SysregOutcome::Undefined, expected);
        }
    }
    assert_eq!((readable, writable), (27, 28));
}

#[test]
fn hidden_register_groups_are_undefined() {
    let real = neoverse_n1();
    let undefined = |register| {
        let mut el1 = El1Regs::default();
        guest_read(register, &real, &el1) == SysregOutcome::Undefined
            && guest_write(register, 0, &mut el1) == SysregOutcome::Undefined
    };
    for op2 in 0..8 {
        for crm in 0..16 {
            // PMU, its event counters, AMU.
            assert!(crm < 12 || undefined(SysregId::new(3, 3, 9, crm, op2)));
            assert!(crm < 8 || undefined(SysregId::new(3, 3, 14, crm, op2)));
            assert!(undefined(SysregId::new(3, 3, 13, crm, op2)) || crm == 0);
            // RAS, SPE and TRBE, LORegions and MPAM, trace, IMPLEMENTATION DEFINED.
            assert!(undefined(SysregId::new(3, 0, 5, crm, op2)));
            assert!(undefined(SysregId::new(3, 0, 9, crm, op2)));
            assert!(undefined(SysregId::new(3, 0, 10, crm, op2)));
            assert!(undefined(SysregId::new(2, 1, crm, crm, op2)));
            for op1 in 0..8 {
                assert!(undefined(SysregId::new(3, op1, 11, crm, op2)));
                assert!(undefined(SysregId::new(3, op1, 15, crm, op2)));
                // EL2's and EL3's.
                assert!(op1 < 4 || undefined(SysregId::new(3, op1, 1, crm, op2)));
            }
            // The physical timer, EL0's and EL1's view.
            assert!(undefined(SysregId::new(3, 3, 14, 2, op2)));
        }
    }
    for n in 2..16 {
        for op2 in 4..8 {
            assert!(undefined(SysregId::new(2, 0, 0, n, op2)), "breakpoint {n}");
        }
    }
}

#[test]
fn linux_brings_its_debug_monitors_up() {
    let real = neoverse_n1();
    let mut el1 = El1Regs::default();
    let ok = |outcome| assert_eq!(outcome, SysregOutcome::Written);
    // As secondary start-up does: TDCC on, locks open, breakpoints cleared.
    ok(guest_write(reg::MDSCR_EL1, 1 << 12, &mut el1));
    assert_eq!(
        guest_read(reg::MDSCR_EL1, &real, &el1),
        SysregOutcome::Read(1 << 12)
    );
    ok(guest_write(reg::OSDLR_EL1, 0, &mut el1));
    ok(guest_write(reg::OSLAR_EL1, 0, &mut el1));
    assert_eq!(
        guest_read(reg::OSLSR_EL1, &real, &el1),
        SysregOutcome::Read(8)
    );
    let dfr0 = guest(&real, reg::ID_AA64DFR0_EL1);
    for (lsb, registers) in [(12, [4, 5]), (20, [6, 7])] {
        for n in 0..=(dfr0 >> lsb & 0xf) as u8 {
            for op2 in registers {
                ok(guest_write(
                    SysregId::new(2, 0, 0, n, op2),
                    u64::MAX,
                    &mut el1,
                ));
            }
        }
    }
    // What the core loads never arms the host's breakpoints.
    ok(guest_write(reg::MDSCR_EL1, u64::MAX, &mut el1));
    assert_eq!(el1.mdscr, 0x3001);
    assert_eq!(el1.mdscr & 1 << 15, 0);
}

#[test]
fn actions_are_handed_on() {
    let real = IdRegisters::new();
    let mut el1 = El1Regs::default();
    let sent = guest_write(reg::ICC_SGI1R_EL1, 0x100_0001, &mut el1);
    assert_eq!(
        sent,
        SysregOutcome::SendSgi {
            value: 0x100_0001,
            group: SgiGroup::One
        }
    );
    let sent = guest_write(reg::ICC_SGI0R_EL1, 1, &mut el1);
    assert_eq!(
        sent,
        SysregOutcome::SendSgi {
            value: 1,
            group: SgiGroup::Zero
        }
    );
    assert_eq!(
        guest_read(reg::ICC_SGI1R_EL1, &real, &el1),
        SysregOutcome::Undefined
    );
    assert_eq!(
        guest_read(reg::CNTPCT_EL0, &real, &el1),
        SysregOutcome::Counter
    );
    assert_eq!(
        guest_write(reg::CNTPCT_EL0, 0, &mut el1),
        SysregOutcome::Undefined
    );
    assert_eq!(
        guest_read(reg::ICC_SRE_EL1, &real, &el1),
        SysregOutcome::Read(7)
    );
    assert_eq!(
        guest_write(reg::ACTLR_EL1, 5, &mut el1),
        SysregOutcome::Written
    );
}
