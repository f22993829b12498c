//! The residency word on one thread: every transition from every state.

use super::*;

const ZERO: CpuId = CpuId::new(0).unwrap();
const ONE: CpuId = CpuId::new(1).unwrap();
const LAST: CpuId = CpuId::new(511).unwrap();

/// A slot whose vCPU, of the generation returned, was brought to `residence`.
fn slot_at(residence: Residence) -> (Residency, u64) {
    let slot = Residency::default();
    let ticket = slot.allocate(ZERO).unwrap();
    let generation = ticket.generation();
    match residence {
        Residence::Free => drop(ticket),
        Residence::Off => ticket.turn_off(),
        Residence::Starting(_) => core::mem::forget(ticket),
        Residence::OnPending => ticket.pend(),
        Residence::Parked => ticket.park(),
        Residence::Queued(cpu) => ticket.requeue(cpu),
        Residence::Running(cpu) => {
            ticket.requeue(cpu);
            core::mem::forget(slot.take(cpu).unwrap());
        }
        Residence::Held(cpu) => {
            ticket.park();
            core::mem::forget(slot.hold(generation, cpu).unwrap());
        }
    }
    assert_eq!(slot.now(), (generation, residence));
    (slot, generation)
}

const ALL: [Residence; 10] = [
    Residence::Free,
    Residence::Off,
    Residence::Starting(ZERO),
    Residence::OnPending,
    Residence::Parked,
    Residence::Queued(ONE),
    Residence::Queued(LAST),
    Residence::Running(ONE),
    Residence::Running(LAST),
    Residence::Held(ONE),
];

#[test]
fn every_word_survives_packing() {
    for generation in [0, 1, GENERATION_MAX] {
        for residence in ALL {
            let packed = Packed::pack(generation, residence);
            assert_eq!(
                (packed.generation(), packed.residence()),
                (generation, residence)
            );
        }
    }
    assert_eq!(Packed(8).residence(), Residence::Free);
    assert_eq!(Packed(5 | 512 << CPU_SHIFT).residence(), Residence::Free);
}

#[test]
fn each_transition_begins_where_it_may() {
    for from in ALL {
        let queued = matches!(from, Residence::Queued(_));
        let running = matches!(from, Residence::Running(_) | Residence::Held(_));
        let held = running || matches!(from, Residence::Starting(_));
        let on = queued || matches!(from, Residence::Parked);
        let gone = from == Residence::Free;

        let (slot, generation) = slot_at(from);
        assert_eq!(slot.allocate(ONE).is_ok(), gone);

        let (slot, _) = slot_at(from);
        assert_eq!(
            slot.free(generation),
            if held || gone { Err(from) } else { Ok(()) }
        );

        let (slot, _) = slot_at(from);
        let may = on || from == Residence::OnPending;
        assert_eq!(
            slot.enqueue(generation, ZERO),
            if may { Ok(from) } else { Err(from) }
        );
        assert_eq!(slot.now().1 == Residence::Queued(ZERO), may);

        let (slot, _) = slot_at(from);
        assert_eq!(
            slot.dequeue(generation),
            if queued { Ok(from) } else { Err(from) }
        );

        let (slot, _) = slot_at(from);
        assert_eq!(slot.hold(generation, ZERO).is_ok(), on);

        let (slot, _) = slot_at(from);
        assert_eq!(slot.take(LAST).is_ok(), from == Residence::Queued(LAST));
    }
}

#[test]
fn turning_on_answers_as_psci_says() {
    for from in ALL {
        let (slot, generation) = slot_at(from);
        let answer = slot.turn_on(generation, ONE);
        let right = match from {
            Residence::Free => matches!(answer, TurnOn::Gone),
            Residence::Off => matches!(answer, TurnOn::Won(_)),
            Residence::Starting(_) | Residence::OnPending => {
                matches!(answer, TurnOn::OnPending)
            }
            _ => matches!(answer, TurnOn::AlreadyOn),
        };
        assert!(right, "{from:?} {answer:?}");
        drop(answer);
        assert_eq!(slot.now().1, from);
    }
}

#[test]
fn a_stale_handle_finds_nothing() {
    for from in ALL {
        let (slot, generation) = slot_at(from);
        let stale = generation - 1;
        assert_eq!(slot.now_of(stale), Residence::Free);
        assert_eq!(slot.enqueue(stale, ZERO), Err(Residence::Free));
        assert_eq!(slot.dequeue(stale), Err(Residence::Free));
        assert_eq!(slot.free(stale), Err(Residence::Free));
        assert!(matches!(slot.hold(stale, ZERO), Err(Residence::Free)));
        assert!(matches!(slot.turn_on(stale, ZERO), TurnOn::Gone));
        assert_eq!(slot.now(), (generation, from));
    }
}

#[test]
fn the_next_vcpu_of_a_slot_has_another_generation() {
    let (slot, first) = slot_at(Residence::Off);
    slot.free(first).unwrap();
    let ticket = slot.allocate(ZERO).unwrap();
    let second = ticket.generation();
    assert_eq!(second, first + 1);
    ticket.turn_off();
    assert_eq!(slot.now(), (second, Residence::Off));
    assert_eq!(slot.now_of(first), Residence::Free);
}

#[test]
fn a_dropped_ticket_loses_no_vcpu() {
    let (slot, generation) = slot_at(Residence::Queued(ONE));
    drop(slot.take(ONE).unwrap());
    assert_eq!(slot.now().1, Residence::Parked);
    slot.enqueue(generation, ONE).unwrap();
    drop(slot.hold(generation, ZERO).unwrap());
    assert_eq!(slot.now().1, Residence::Parked);
    slot.enqueue(generation, ONE).unwrap();
    assert_eq!(
        slot.hold(generation, ZERO).unwrap().give_back(),
        Residence::Queued(ONE)
    );
    assert_eq!(slot.now().1, Residence::Queued(ONE));
}

#[test]
fn a_slot_s_generation_is_never_zero() {
    let slot = Residency {
        word: Typed::new(Packed::pack(GENERATION_MAX, Residence::Free)),
    };
    assert_eq!(slot.allocate(ZERO).unwrap().generation(), 1);
}
