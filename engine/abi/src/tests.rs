//! The packing is its own inverse, and each number means one thing.

use crate::*;

#[test]
fn calls_are_found_by_their_identifiers() {
    for call in Call::ALL {
        assert_eq!(Call::from_function_id(call.function_id()), Some(call));
        assert!(call.results() <= RESULT_REGISTERS);
        assert!(!call.name().is_empty());
    }
    assert_eq!(call::VM_MAP, 0xC600_0109);
    assert_eq!(Call::VmMap.number(), 9);
    assert_eq!(
        Call::EngineReclaim.results(),
        1 + limit::ENGINE_RECLAIM_PAGES
    );
    for id in [
        0,
        CALL_BASE - 1,
        CALL_BASE + 0x7F,
        1 << 32 | call::VM_MAP,
        u64::MAX,
    ] {
        assert_eq!(Call::from_function_id(id), None);
    }
}

#[test]
fn statuses_survive_a_register() {
    for status in Status::ALL {
        assert_eq!(Status::from_raw(status.raw()), Some(status));
    }
    assert_eq!(Status::from_raw(0), Some(Status::Success));
    assert_eq!(Status::from_raw(1), None);
    assert_eq!(Status::from_raw(i64::MIN), None);
}

#[test]
fn enumerations_survive_a_register() {
    macro_rules! check {
        ($($table:ident),*) => {$(
            for value in $table::ALL {
                assert_eq!($table::from_raw(value.raw()), Some(value), "{}", value.name());
            }
            assert_eq!($table::from_raw(u64::MAX), None);
        )*};
    }
    check!(
        InfoIndex, ExitReason, FaultKind, Outcome, InjectKind, PageClass, Counter
    );
}

#[test]
fn handles_keep_slot_and_generation() {
    for (slot, generation) in [(0, 1), (7, 0xABCD), (u16::MAX, (1 << 48) - 1)] {
        let handle = VmHandle::new(slot, generation);
        assert_eq!((handle.slot(), handle.generation()), (slot, generation));
        assert_eq!(VmHandle::from_raw(handle.raw()), handle);
        assert_ne!(handle, VmHandle::NONE);
        assert_eq!(VcpuHandle::new(slot, generation).raw(), handle.raw());
    }
    assert_eq!(VmHandle::new(3, 1 << 48 | 5).generation(), 5);
}

#[test]
fn rights_without_meaning_are_refused() {
    for bits in 0..=MapAttrs::MASK {
        assert_eq!(MapAttrs::from_bits(bits).map(MapAttrs::bits), Some(bits));
    }
    assert_eq!(MapAttrs::from_bits(MapAttrs::MASK + 1), None);
    let both = MapAttrs::READ.union(MapAttrs::WRITE);
    assert!(both.contains(MapAttrs::READ) && !both.contains(MapAttrs::EXECUTE));
}

#[test]
fn arguments_stand_in_the_listed_order() {
    let vm = VmHandle::new(4, 9);
    let args = VmMapArgs {
        vm,
        pa: 0x4000_0000,
        ipa: 0x8000_0000,
        n: 3,
        attrs: 7,
    };
    assert_eq!(
        args.to_registers(),
        [vm.raw(), 0x4000_0000, 0x8000_0000, 3, 7, 0]
    );
    assert_eq!(VmMapArgs::from_registers(&args.to_registers()), args);
    assert_eq!(VmMapArgs::CALL, Call::VmMap);
}

#[test]
fn every_argument_struct_is_its_own_inverse() {
    macro_rules! check {
        ($($args:ident),*) => {$(
            let registers = [11, 22, 33, 44, 55, 66];
            let args = $args::from_registers(&registers);
            let packed = args.to_registers();
            for (had, got) in registers.iter().zip(packed) {
                assert!(got == 0 || got == *had);
            }
            assert_ne!(packed[0], 0);
            assert_eq!($args::from_registers(&packed), args);
        )*};
    }
    check!(
        EngineInfoArgs,
        EngineDoorbellArgs,
        EngineDonateArgs,
        EngineReclaimArgs,
        VmCreateArgs,
        VmMapArgs,
        VmMapListArgs,
        VmLendArgs,
        VmUnlendArgs,
        VmStartArgs,
        VmDestroyArgs,
        VmReclaimArgs,
        VcpuCreateArgs,
        VcpuEnqueueArgs,
        VcpuDequeueArgs,
        CpuRunArgs,
        VcpuRespondArgs,
        VcpuInjectArgs,
        PageInfoArgs,
        PagePoisonArgs,
        PageCensusArgs,
        TraceReadArgs,
        StatsReadArgs
    );
}

#[test]
fn a_shape_survives_a_register() {
    let shape = VmShape {
        vcpus: 8,
        ipa_bits: 40,
        lendable: 0b10,
    };
    assert_eq!(shape.raw(), 0b10 << 32 | 40 << 16 | 8);
    assert_eq!(VmShape::from_raw(shape.raw()), Some(shape));
    assert_eq!(VmShape::from_raw(1 << 34), None);
}

#[test]
fn no_two_counters_share_an_index() {
    let mut last = None;
    let indices = Counter::ALL.iter().map(|counter| counter.raw());
    let indices = indices.chain(
        Call::ALL
            .iter()
            .flat_map(|&call| [stats::calls(call), stats::errors(call)]),
    );
    for index in indices.chain(ExitReason::ALL.iter().map(|&reason| stats::exits(reason))) {
        assert!(last < Some(index));
        last = Some(index);
    }
}

#[test]
fn standard_calls_don_t_meet_ours() {
    for id in [
        smccc::KVM_MEM_RELINQUISH,
        smccc::VENDOR_HYP_CALL_UID,
        psci::CPU_ON_64,
    ] {
        assert_eq!(Call::from_function_id(id), None);
    }
    assert_eq!(smccc::owner(CALL_BASE), smccc::owner(smccc::KVM_FEATURES));
    assert_eq!(
        CALL_BASE & (smccc::FAST | smccc::SMC64),
        smccc::FAST | smccc::SMC64
    );
}
