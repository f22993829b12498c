//! The transition function against a table written from the design, independently of the code:
//! every pair of states under every operation is either listed here or refused.

use crate::state::{
    Needs, is_claimable, lend_once_less, lend_once_more, share, transition, unshare,
};
use crate::word::{Op, Owner, State, VmSlot, Word};

const A: Owner = Owner::Vm(VmSlot::new(0).unwrap());
const B: Owner = Owner::Vm(VmSlot::new(253).unwrap());
const HOST: State = State::Owned(Owner::Host);
const ENGINE: State = State::Owned(Owner::Engine);
const OF_A: State = State::Owned(A);
const OF_B: State = State::Owned(B);

const fn shared(owner: Owner, borrower: Owner, count: u16) -> State {
    State::Shared {
        owner,
        borrower,
        count,
    }
}

const LENT_A1: State = shared(Owner::Host, A, 1);
const LENT_A2: State = shared(Owner::Host, A, 2);
const LENT_A3: State = shared(Owner::Host, A, 3);
const LENT_B1: State = shared(Owner::Host, B, 1);
const LENT_FULL: State = shared(Owner::Host, A, u16::MAX);
const LENT_ALMOST: State = shared(Owner::Host, A, u16::MAX - 1);
const SHARED_A: State = shared(A, Owner::Host, 1);
const SHARED_B: State = shared(B, Owner::Host, 1);

/// States that exist, and some that packing allows and the protocol never makes.
const STATES: [State; 27] = [
    State::Reserved,
    State::HostFixed,
    HOST,
    ENGINE,
    OF_A,
    OF_B,
    LENT_A1,
    LENT_A2,
    LENT_A3,
    LENT_B1,
    LENT_ALMOST,
    LENT_FULL,
    SHARED_A,
    SHARED_B,
    shared(A, Owner::Host, 2),
    shared(A, B, 1),
    shared(Owner::Engine, A, 1),
    shared(Owner::Host, Owner::Host, 1),
    shared(Owner::Host, Owner::Engine, 1),
    half(A, 1),
    half(A, 2),
    half(A, 511),
    half(B, 2),
    State::Poisoned,
    State::Split,
    claimed(HOST),
    claimed(OF_A),
];

const fn half(owner: Owner, done: u16) -> State {
    match owner {
        Owner::Vm(vm) => State::Scrubbing { vm, done },
        _ => State::Reserved,
    }
}

const fn claimed(from: State) -> State {
    State::Claimed {
        from: Word::pack(from),
        op: Op::VmMap,
        cpu: 1,
    }
}

const fn needs(flushed: bool, scrubbed: bool) -> Needs {
    Needs { flushed, scrubbed }
}
const FREE: Needs = needs(false, false);
const FLUSH: Needs = needs(true, false);
const BOTH: Needs = needs(true, true);

/// Every change of state there is among `STATES`, but for poisoning.
const LISTED: &[(State, Op, State, Needs)] = &[
    (State::Reserved, Op::Boot, HOST, FREE),
    (State::Reserved, Op::Boot, ENGINE, FREE),
    (State::Reserved, Op::Boot, State::HostFixed, FREE),
    (HOST, Op::VmMap, OF_A, FLUSH),
    (HOST, Op::VmMap, OF_B, FLUSH),
    (HOST, Op::EngineDonate, ENGINE, FLUSH),
    (ENGINE, Op::EngineReclaim, HOST, BOTH),
    (HOST, Op::Lend, LENT_A1, FREE),
    (HOST, Op::Lend, LENT_B1, FREE),
    (LENT_A1, Op::Lend, LENT_A2, FREE),
    (LENT_A2, Op::Lend, LENT_A3, FREE),
    (LENT_ALMOST, Op::Lend, LENT_FULL, FREE),
    (LENT_A1, Op::Unlend, HOST, FLUSH),
    (LENT_B1, Op::Unlend, HOST, FLUSH),
    (LENT_A2, Op::Unlend, LENT_A1, FLUSH),
    (LENT_A3, Op::Unlend, LENT_A2, FLUSH),
    (LENT_FULL, Op::Unlend, LENT_ALMOST, FLUSH),
    (OF_A, Op::Share, SHARED_A, FREE),
    (OF_B, Op::Share, SHARED_B, FREE),
    (SHARED_A, Op::Unshare, OF_A, FLUSH),
    (SHARED_B, Op::Unshare, OF_B, FLUSH),
    (OF_A, Op::Relinquish, HOST, BOTH),
    (OF_B, Op::Relinquish, HOST, BOTH),
    (OF_A, Op::Reclaim, HOST, BOTH),
    (OF_B, Op::Reclaim, HOST, BOTH),
    (SHARED_A, Op::Reclaim, HOST, BOTH),
    (SHARED_B, Op::Reclaim, HOST, BOTH),
    (LENT_A1, Op::Reclaim, HOST, FLUSH),
    (LENT_B1, Op::Reclaim, HOST, FLUSH),
    (LENT_A2, Op::Reclaim, LENT_A1, FLUSH),
    (LENT_A3, Op::Reclaim, LENT_A2, FLUSH),
    (LENT_FULL, Op::Reclaim, LENT_ALMOST, FLUSH),
    (OF_A, Op::Reclaim, half(A, 1), BOTH),
    (OF_A, Op::Reclaim, half(A, 2), BOTH),
    (OF_A, Op::Reclaim, half(A, 511), BOTH),
    (OF_B, Op::Reclaim, half(B, 2), BOTH),
    (half(A, 1), Op::Reclaim, half(A, 2), BOTH),
    (half(A, 1), Op::Reclaim, half(A, 511), BOTH),
    (half(A, 2), Op::Reclaim, half(A, 511), BOTH),
    (half(A, 1), Op::Reclaim, HOST, BOTH),
    (half(A, 2), Op::Reclaim, HOST, BOTH),
    (half(A, 511), Op::Reclaim, HOST, BOTH),
    (half(B, 2), Op::Reclaim, HOST, BOTH),
    (half(A, 1), Op::Reclaim, OF_A, FREE),
    (half(A, 2), Op::Reclaim, OF_A, FREE),
    (half(A, 511), Op::Reclaim, OF_A, FREE),
    (half(B, 2), Op::Reclaim, OF_B, FREE),
];

/// Errors found by whoever zeroes a page for its next owner.
const FOUND: &[(State, Op)] = &[
    (HOST, Op::EngineDonate),
    (ENGINE, Op::EngineReclaim),
    (OF_A, Op::Relinquish),
    (OF_B, Op::Relinquish),
    (OF_A, Op::Reclaim),
    (OF_B, Op::Reclaim),
    (SHARED_A, Op::Reclaim),
    (SHARED_B, Op::Reclaim),
    (half(A, 1), Op::Reclaim),
    (half(A, 2), Op::Reclaim),
    (half(A, 511), Op::Reclaim),
    (half(B, 2), Op::Reclaim),
];

/// Operations that hold a page still and leave it as it was.
const HELD: &[(State, Op)] = &[
    (HOST, Op::ReadList),
    (HOST, Op::HostFault),
    (State::HostFixed, Op::HostFault),
    (LENT_A1, Op::HostFault),
    (LENT_A2, Op::HostFault),
    (LENT_A3, Op::HostFault),
    (LENT_B1, Op::HostFault),
    (LENT_ALMOST, Op::HostFault),
    (LENT_FULL, Op::HostFault),
    (SHARED_A, Op::HostFault),
    (SHARED_B, Op::HostFault),
];

fn is_settled_page(state: State) -> bool {
    !matches!(
        state,
        State::Claimed { .. } | State::Poisoned | State::Split
    )
}

fn expected_claimable(from: State, op: Op) -> bool {
    match op {
        Op::Boot => false,
        Op::Poison => is_settled_page(from) && !matches!(from, State::Scrubbing { .. }),
        // These lead to counts that are not among `STATES`.
        Op::Unlend | Op::Reclaim if from == LENT_ALMOST => true,
        Op::Lend if from == LENT_A3 || from == LENT_B1 => true,
        _ => {
            LISTED
                .iter()
                .any(|&(start, by, _, _)| start == from && by == op)
                || HELD.contains(&(from, op))
        }
    }
}

fn expected(from: State, op: Op, to: State) -> Option<Needs> {
    if let Some(&(_, _, _, needs)) = LISTED
        .iter()
        .find(|&&(start, by, end, _)| (start, by, end) == (from, op, to))
    {
        return Some(needs);
    }
    let reported = op == Op::Poison && expected_claimable(from, op);
    if (reported || FOUND.contains(&(from, op))) && to == State::Poisoned {
        return Some(FLUSH);
    }
    (from == to && expected_claimable(from, op)).then_some(FREE)
}

#[test]
fn the_function_is_the_table_and_nothing_else() {
    for from in STATES {
        for op in Op::ALL {
            assert_eq!(
                is_claimable(from, op),
                expected_claimable(from, op),
                "{from:?} {op:?}"
            );
            for to in STATES {
                let is = transition(from, op, to);
                assert_eq!(is, expected(from, op, to), "{from:?} {op:?} {to:?}");
            }
        }
    }
}

#[test]
fn nothing_leaves_a_terminal_or_claimed_state() {
    for from in STATES.into_iter().filter(|state| !is_settled_page(*state)) {
        for op in Op::ALL {
            assert!(!is_claimable(from, op));
        }
    }
}

#[test]
fn whoever_loses_a_page_is_flushed_and_whoever_gets_one_unasked_finds_it_scrubbed() {
    let reach = |state, party| match state {
        State::Owned(owner) => owner == party,
        State::Shared {
            owner, borrower, ..
        } => owner == party || borrower == party,
        _ => false,
    };
    for &(from, op, to, needs) in LISTED {
        let parties = [Owner::Engine, Owner::Host, A, B];
        let lost = parties
            .iter()
            .any(|&party| reach(from, party) && !reach(to, party));
        if lost {
            assert!(needs.flushed, "{from:?} {op:?}");
        }
        // I4: the new owner could not read the page before, or was not given it willingly.
        let owned = |state| match state {
            State::Owned(owner) | State::Shared { owner, .. } => Some(owner),
            State::Scrubbing { vm, .. } => Some(Owner::Vm(vm)),
            _ => None,
        };
        let taken = matches!(op, Op::EngineReclaim | Op::Relinquish | Op::Reclaim);
        if taken && owned(from) != owned(to) {
            assert!(needs.scrubbed, "{from:?} {op:?}");
        }
    }
}

/// `Claim::commit_next` counts on it: from every state that the two may be claimed in, with these proofs, and from no
/// other.
#[test]
fn what_follows_is_listed() {
    for from in STATES {
        let shares = share(from).map(|to| (transition(from, Op::Share, to), to));
        let unshares = unshare(from).map(|to| (transition(from, Op::Unshare, to), to));
        assert!(shares.is_none_or(|(needs, to)| needs == Some(Needs::NOTHING) && to != from));
        assert!(unshares.is_none_or(|(needs, to)| needs == Some(Needs::FLUSH) && to != from));
        assert_eq!(shares.is_some(), is_claimable(from, Op::Share), "{from:?}");
        let claimable = is_claimable(from, Op::Unshare);
        assert_eq!(unshares.is_some(), claimable, "{from:?}");
    }
    let needs = transition(State::Owned(Owner::Host), Op::VmMap, State::Owned(A));
    assert_eq!(needs, Some(Needs::FLUSH));
}

#[test]
fn a_loan_is_of_the_host_s_page_to_one_vm() {
    let a = VmSlot::new(0).unwrap();
    for from in STATES {
        let less = lend_once_less(from).map(|to| (transition(from, Op::Unlend, to), to));
        assert_eq!(less.is_some(), is_claimable(from, Op::Unlend), "{from:?}");
        assert!(less.is_none_or(|(needs, to)| needs == Some(Needs::FLUSH) && to != from));
        let more = lend_once_more(from, a);
        let may = from == HOST || matches!(from, LENT_A1 | LENT_A2 | LENT_A3 | LENT_ALMOST);
        assert_eq!(more.is_some(), may, "{from:?}");
        // One leaf more and one less is as before.
        assert!(more.is_none_or(|to| lend_once_less(to) == Some(from)));
    }
}
