use super::*;
use crate::trap::syndrome::{Abort, FaultKind, Trap};
use crate::vcpu::context::GuestMachine;

const ALL: PstateFeatures = PstateFeatures {
    pan: true,
    ssbs: true,
    tco: true,
};
const NONE: PstateFeatures = PstateFeatures {
    pan: false,
    ssbs: false,
    tco: false,
};

/// On a fetch.
const FETCH: ExternalAbort = ExternalAbort {
    is_instruction: true,
    is_write: false,
    is_cache_op: false,
    walk_level: None,
};

#[test]
fn vectors_follow_the_interrupted_level_and_stack() {
    let at = |kind, pstate| enter_el1(kind, pstate, 0xffff_8000_0001_0800, 0, NONE).pc;
    let base = 0xffff_8000_0001_0800;
    assert_eq!(at(Kind::Sync, 0x3c4), base);
    assert_eq!(at(Kind::Sync, 0x3c5), base + 0x200);
    assert_eq!(at(Kind::Sync, 0x000), base + 0x400);
    assert_eq!(at(Kind::Sync, 0x010), base + 0x600);
    assert_eq!(at(Kind::Irq, 0x3c5), base + 0x280);
    assert_eq!(at(Kind::Fiq, 0x000), base + 0x500);
    assert_eq!(at(Kind::SError, 0x010), base + 0x780);
    // RES0 bits of VBAR_EL1 don't misplace the vector.
    assert_eq!(enter_el1(Kind::Sync, 0, 0x87ff, 0, NONE).pc, 0x8400);
    let _ = enter_el1(Kind::SError, u64::MAX, u64::MAX, u64::MAX, ALL);
}

#[test]
fn entered_state_is_masked_el1h() {
    // All of N, Z, C, V, TCO, DIT, UAO, PAN, SS, IL, SSBS, BTYPE set, DAIF clear, EL0.
    let busy = 0xf << 28 | 0x3f << 20 | 0b111 << 10;
    let plain = enter_el1(Kind::Sync, busy, 0, SCTLR_SPAN, NONE).pstate;
    assert_eq!(plain, NZCV | DIT | 0x3c5);
    // The host's or a guest's choice of SCTLR_EL1.SPAN and DSSBS counts.
    assert_eq!(
        enter_el1(Kind::Sync, 0, 0, SCTLR_SPAN, ALL).pstate,
        TCO | 0x3c5
    );
    assert_eq!(
        enter_el1(Kind::Sync, 0, 0, 0, ALL).pstate,
        TCO | PAN | 0x3c5
    );
    assert_eq!(
        enter_el1(Kind::Sync, PAN, 0, SCTLR_SPAN, ALL).pstate,
        TCO | PAN | 0x3c5
    );
    let both = enter_el1(Kind::Sync, SSBS, 0, SCTLR_SPAN | SCTLR_DSSBS, ALL).pstate;
    assert_eq!(both, TCO | SSBS | 0x3c5);
    assert_eq!(
        enter_el1(Kind::Sync, SSBS, 0, SCTLR_SPAN, ALL).pstate,
        TCO | 0x3c5
    );
}

#[test]
fn syndromes_match_what_hardware_reports() {
    assert_eq!(undefined_syndrome(), 0x0200_0000);
    let store = ExternalAbort {
        is_instruction: false,
        is_write: true,
        is_cache_op: false,
        walk_level: None,
    };
    // The familiar values of Linux logs: external abort from EL1 and EL0, load and store.
    assert_eq!(store.syndrome(0x3c5), 0x9600_0050);
    assert_eq!(
        ExternalAbort {
            is_write: false,
            ..store
        }
        .syndrome(0x5),
        0x9600_0010
    );
    assert_eq!(store.syndrome(0), 0x9200_0050);
    assert_eq!(store.syndrome(0x10), 0x9200_0050);
    assert_eq!(FETCH.syndrome(0x3c5), 0x8600_0010);
    assert_eq!(FETCH.syndrome(0), 0x8200_0010);
    let on_walk = |level| ExternalAbort {
        walk_level: Some(level),
        ..store
    };
    assert_eq!(on_walk(3).syndrome(0x3c5), 0x9600_0057);
    let fetch = ExternalAbort {
        is_instruction: true,
        is_write: true,
        ..store
    };
    assert_eq!(fetch.syndrome(0), 0x8200_0010);
    // The decoder understands what the encoder says.
    let Trap::Abort(read_back) = Trap::decode(on_walk(2).syndrome(0)) else {
        panic!("not a data abort");
    };
    assert!(read_back.is_write() && read_back.far_valid() && read_back.access().is_none());
    assert_eq!(read_back.kind(), FaultKind::ExternalOnWalk);
    assert_eq!(read_back.level(), Some(2));
    assert_eq!(
        ExternalAbort::to(read_back),
        ExternalAbort {
            is_write: true,
            ..store
        }
    );
    // A stage-2 fault of a stage-1 walk (S1PTW) is one of that walk's; its level -1 cannot be told.
    for (iss, level) in [(0b0110, 2), (0b10_1011, 0)] {
        let abort = Abort::of_data(1 << 7 | 1 << 6 | iss);
        assert_eq!(ExternalAbort::to(abort), on_walk(level));
    }
}

#[test]
fn injection_leaves_general_registers_alone() {
    let machine = GuestMachine {
        midr: 0,
        ich_vtr: 3,
        id: IdRegisters::new(),
    };
    let mut context = Context::new(0x4000_1000, 7, 0, &machine, 0);
    context.frame.pstate = 0x6000_0000;
    context.el1.vbar = 0x8_0000;
    context.el1.far = 0x1111;
    let before = context.frame.x;
    inject_undefined(&mut context, NONE);
    assert_eq!(context.frame.x, before);
    assert_eq!(context.frame.pc, 0x8_0400);
    assert_eq!(context.frame.pstate, 0x6000_03c5);
    assert_eq!(
        (context.el1.elr, context.el1.spsr),
        (0x4000_1000, 0x6000_0000)
    );
    assert_eq!((context.el1.esr, context.el1.far), (0x0200_0000, 0));

    // A second one nests in the handler of the first.
    let abort = ExternalAbort {
        is_write: true,
        ..FETCH
    };
    inject_abort(&mut context, &abort, 0xdead_0000, NONE);
    assert_eq!((context.frame.pc, context.el1.elr), (0x8_0200, 0x8_0400));
    assert_eq!(
        (context.el1.esr, context.el1.far),
        (0x8600_0010, 0xdead_0000)
    );
    assert_eq!(context.frame.x, before);
}

#[test]
fn features_come_from_the_machine() {
    let mut real = IdRegisters::new();
    assert_eq!(PstateFeatures::new(&real), NONE);
    real.set(reg::ID_AA64MMFR1_EL1, 1 << 20);
    real.set(reg::ID_AA64PFR1_EL1, 0x120);
    assert_eq!(PstateFeatures::new(&real), ALL);
}
