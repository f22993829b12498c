//! Packing and unpacking, exhaustively where that is possible.

extern crate std;
use super::*;
use std::vec::Vec;

fn owners() -> impl Iterator<Item = Owner> + Clone {
    let vms = (0..VmSlot::COUNT).filter_map(VmSlot::new).map(Owner::Vm);
    [Owner::Engine, Owner::Host].into_iter().chain(vms)
}

fn settled() -> Vec<State> {
    let mut all = std::vec![
        State::Reserved,
        State::HostFixed,
        State::Poisoned,
        State::Split
    ];
    all.extend(owners().map(State::Owned));
    for done in 1..512 {
        let vms = owners().filter_map(|owner| match owner {
            Owner::Vm(vm) => Some(vm),
            _ => None,
        });
        all.extend(vms.map(|vm| State::Scrubbing { vm, done }));
    }
    for count in [1, 2, 255, u16::MAX] {
        for owner in owners() {
            all.extend(owners().map(|borrower| State::Shared {
                owner,
                borrower,
                count,
            }));
        }
    }
    all
}

#[test]
fn every_settled_state_survives_packing() {
    for state in settled() {
        assert_eq!(Word::pack(state).state(), state);
    }
}

#[test]
fn every_claim_survives_packing() {
    let some = [
        State::Reserved,
        State::HostFixed,
        State::Poisoned,
        State::Split,
    ];
    let shared = |borrower| State::Shared {
        owner: Owner::Host,
        borrower,
        count: 300,
    };
    let froms = some
        .into_iter()
        .chain(owners().map(State::Owned))
        .chain(owners().map(shared))
        .chain([1, 511].map(|done| State::Scrubbing {
            vm: VmSlot(253),
            done,
        }));
    for from in froms.map(Word::pack) {
        for op in Op::ALL {
            for cpu in [0, 1, 511, u16::MAX] {
                let state = State::Claimed { from, op, cpu };
                assert_eq!(Word::pack(state).state(), state);
            }
        }
    }
}

#[test]
fn every_count_survives_packing() {
    let [owner, borrower] = [Owner::Host, Owner::Vm(VmSlot(9))];
    for count in 1..=u16::MAX {
        let state = State::Shared {
            owner,
            borrower,
            count,
        };
        assert_eq!(Word::pack(state).state(), state);
    }
}

#[test]
fn zero_and_nonsense_are_reserved() {
    assert_eq!(Word::from_raw(0).state(), State::Reserved);
    let scrubbing =
        |party: u64, done: u64| KIND_SCRUBBING | party << OWNER_SHIFT | done << COUNT_SHIFT;
    let owned_by_nobody = KIND_OWNED;
    let owned_by_slot_254 = KIND_OWNED | (3 + 254) << OWNER_SHIFT;
    let shared_zero_times = KIND_SHARED | 1 << OWNER_SHIFT | 2 << BORROWER_SHIFT;
    let owned_and_lent = KIND_OWNED | 2 << OWNER_SHIFT | 3 << BORROWER_SHIFT;
    let claimed_for_nothing = KIND_OWNED | 2 << OWNER_SHIFT | CLAIMED;
    let claimed_from_nonsense = scrubbing(3, 0) | CLAIMED | 1 << OP_SHIFT;
    let settled_with_cpu = KIND_POISONED | 1 << CPU_SHIFT;
    for raw in [
        KIND_SCRUBBING,
        scrubbing(2, 5),
        scrubbing(3, 0),
        scrubbing(3, 512),
        scrubbing(3 + 254, 5),
        owned_by_nobody,
        owned_by_slot_254,
        shared_zero_times,
        owned_and_lent,
        claimed_for_nothing,
        claimed_from_nonsense,
        settled_with_cpu,
        u64::MAX,
    ] {
        assert_eq!(Word::from_raw(raw).state(), State::Reserved, "{raw:#x}");
    }
}

#[test]
fn every_low_pattern_is_a_state_s_own_or_reserved() {
    // All kinds, flags, operations, owners and the low bits of the borrower.
    for raw in 0..1_u64 << 21 {
        let word = Word::from_raw(raw);
        let state = word.state();
        assert!(Word::pack(state) == word || state == State::Reserved);
    }
}

#[test]
fn a_word_is_claimed_by_another_only_if_it_is_claimed() {
    let host = Word::pack(State::Owned(Owner::Host));
    let by = |cpu| Word::claimed(host, Op::VmMap, cpu);
    assert!(by(1).is_claimed_by_other(by(2)) && by(2).is_claimed_by_other(by(1)));
    assert!(!by(2).is_claimed_by_other(by(2)));
    for settled in settled().into_iter().step_by(97).map(Word::pack) {
        assert!(!settled.is_claimed_by_other(by(2)), "{settled:?}");
        assert!(!settled.is_claimed(), "{settled:?}");
        assert!(Word::claimed(settled, Op::Reclaim, 0).is_claimed());
    }
}

#[test]
fn a_slot_has_a_number_and_a_vmid_that_is_not_the_host_s() {
    for raw in 0..VmSlot::COUNT {
        let slot = VmSlot::new(raw).unwrap();
        assert_eq!((slot.raw(), slot.index()), (raw, usize::from(raw)));
        assert_eq!(slot.vmid(), raw + 1);
    }
    assert_eq!(VmSlot::new(VmSlot::COUNT), None);
}
