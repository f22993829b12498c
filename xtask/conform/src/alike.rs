//! Which states of a small machine are one.
//!
//! Invariants: generations, the places of tables, what the host's map has been asked for, and registers, the program
//! counter and the register and width that an answer is for among them, do not count; of contents it counts which
//! pages hold something. Nor does it count which slot is which VM's or vCPU's: of states that are each other's with the
//! slots' names changed, one is gone through for all.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use engine::sim::Portrait;
use ownership::{Owner, State, VmSlot};

use crate::render::render;
use crate::rig::Rig;

/// What the states have in common that are one.
pub fn key(rig: &Rig) -> u64 {
    let (seen, broken, ram) = (rig.seen(), rig.broken(), &rig.machine.sim().ram);
    let of = |vms, vcpus| hash(&render(&renamed(&seen, vms, vcpus), ram), &broken);
    let names = [(false, true), (true, false), (true, true)];
    let others = names.map(|(vms, vcpus)| of(vms, vcpus));
    others.into_iter().fold(name_of(rig), u64::min)
}

/// The same with each slot for itself: of two looks at one machine, whether it is where it was.
pub fn name_of(rig: &Rig) -> u64 {
    let broken = rig.broken();
    hash(rig.tape().text(), &broken)
}

/// The portrait of a machine in which the first two slots of VMs, or of vCPUs, have each other's place.
fn renamed(seen: &Portrait, vms: bool, vcpus: bool) -> Portrait {
    let other = |slot: u16| if slot < 2 { 1 - slot } else { slot };
    let mut seen = seen.clone();
    if vms && seen.vms.len() > 1 {
        seen.vms.swap(0, 1);
        for state in &mut seen.pages {
            *state = given_to(*state, |vm| VmSlot::new(other(vm.raw())).unwrap_or(vm));
        }
        for vm in seen.tables.values_mut().flatten() {
            *vm = other(*vm);
        }
        for vcpu in &mut seen.vcpus {
            vcpu.vm = other(vcpu.vm);
        }
    }
    if vcpus && seen.vcpus.len() > 1 {
        seen.vcpus.swap(0, 1);
        for vcpu in seen.vms.iter_mut().flat_map(|vm| &mut vm.vcpus) {
            *vcpu = other(*vcpu);
        }
    }
    seen
}

fn given_to(state: State, to: impl Fn(VmSlot) -> VmSlot) -> State {
    let party = |owner| match owner {
        Owner::Vm(vm) => Owner::Vm(to(vm)),
        other => other,
    };
    match state {
        State::Owned(owner) => State::Owned(party(owner)),
        State::Shared {
            owner,
            borrower,
            count,
        } => State::Shared {
            owner: party(owner),
            borrower: party(borrower),
            count,
        },
        State::Scrubbing { vm, done } => State::Scrubbing { vm: to(vm), done },
        other => other,
    }
}

/// Memory errors that nobody has found yet are in no text.
fn hash(text: &str, broken: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    broken.hash(&mut hasher);
    let mut last: Option<(String, u64)> = None;
    let mut holding = None;
    for line in text.lines() {
        let mut fields = line.split(' ');
        match fields.next() {
            Some("p") => {
                let count: u64 = fields.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                let state = fields.next().unwrap_or_default();
                let state = if state.starts_with('E') { "E" } else { state };
                match &mut last {
                    Some((known, sum)) if known == state => *sum += count,
                    _ => {
                        last.hash(&mut hasher);
                        last = Some((state.to_owned(), count));
                    }
                }
            }
            Some("v") => {
                let slot = fields.next();
                let _ = fields.next();
                (slot, fields.collect::<Vec<_>>()).hash(&mut hasher);
            }
            Some("u") => {
                let slot = fields.next();
                let _ = fields.next();
                let place: Vec<_> = fields.by_ref().take(5).map(of_a_kind).collect();
                let _registers = fields.next();
                (slot, place, fields.collect::<Vec<_>>()).hash(&mut hasher);
            }
            Some("c") => {
                let page = fields.next();
                if holding != page {
                    page.hash(&mut hasher);
                    holding = page;
                }
            }
            _ => line.hash(&mut hasher),
        }
    }
    last.hash(&mut hasher);
    hasher.finish()
}

/// A load that waits for its answer is one as good as another.
fn of_a_kind(field: &str) -> &str {
    if field.starts_with('r') { "r" } else { field }
}

#[cfg(test)]
mod tests {
    use abi::Call;
    use engine::sim::{Machine, Portrait};

    use super::{hash, renamed};
    use crate::menu::SHAPE;
    use crate::render::render;
    use crate::worlds::config;

    const STATE: &str = "p 0 8 R 0\np 8 3 E 0\np 11 2 Eh 0\np 13 3 H 1\nc 14 0 7\nv 0 1 B 80000 2 1\n\
                         u 0 1 Q0 0 0 - 0 80000000,1,2 i32:10:160\nu 1 1 P 0 1 r9.8.00 0 4,1\nk I\nd -\n";

    #[test]
    fn what_stands_for_nothing_makes_no_state() {
        let same = [
            ("v 0 1", "v 0 7"),
            ("u 0 1", "u 0 9"),
            ("80000000,1,2", "80000004,5,6"),
            ("p 8 3 E 0\np 11 2 Eh 0", "p 8 1 E 0\np 9 4 Ev1 0"),
            ("H 1", "H 0"),
            ("80000000,1", "!1:80000000,1"),
            ("r9.8.00", "r9.1.10"),
            ("c 14 0 7", "c 14 0 8\nc 14 3 9"),
        ];
        for (from, to) in same {
            assert!(STATE.contains(from), "{from}");
            assert_eq!(
                hash(STATE, &[]),
                hash(&STATE.replace(from, to), &[]),
                "{to}"
            );
        }
    }

    #[test]
    fn all_else_does() {
        let other = [
            ("p 13 3 H", "p 13 3 P"),
            ("B 80000", "R 80000"),
            ("Q0", "Q1"),
            ("- 0 80", "A 0 80"),
            ("c 14 0 7\n", ""),
            ("c 14", "c 15"),
            ("r9.8.00", "W"),
            ("i32:10", "i32:11"),
            ("k I", "k O"),
            ("d -", "d 3"),
        ];
        for (from, to) in other {
            assert!(STATE.contains(from), "{from}");
            assert_ne!(
                hash(STATE, &[]),
                hash(&STATE.replace(from, to), &[]),
                "{to}"
            );
        }
        assert_ne!(hash(STATE, &[]), hash(STATE, &[14]));
    }

    /// What has come of calls, as seen with these slots renamed.
    fn after(calls: &[(Call, &[u64])], vms: bool, vcpus: bool) -> u64 {
        let machine = Machine::new(config());
        for (call, arguments) in calls {
            machine.call(0, *call, arguments).ok();
        }
        let seen = renamed(&Portrait::take(&machine), vms, vcpus);
        hash(&render(&seen, &machine.sim().ram), &[])
    }

    #[test]
    fn slots_are_one_as_good_as_another() {
        let (first, second, ram) = (1 << 16, 1 << 16 | 1, crate::random::RAM);
        let create: (_, &[_]) = (Call::VmCreate, &SHAPE);
        let page = Machine::new(config()).host_page(0);
        let maps = |vm| [vm, page, ram, 1, 7];
        let of_first = [
            create,
            create,
            (Call::VcpuCreate, &[first, 0, ram, 5]),
            (Call::VmMap, &maps(first)),
        ];
        let of_second = [
            create,
            create,
            (Call::VcpuCreate, &[second, 0, ram, 5]),
            (Call::VmMap, &maps(second)),
        ];
        assert_ne!(
            after(&of_first, false, false),
            after(&of_second, false, false)
        );
        assert_eq!(
            after(&of_first, true, false),
            after(&of_second, false, false)
        );
        let vcpu = |vm, affinity| [vm, affinity, ram, 5];
        let in_order: [(_, &[_]); 4] = [
            create,
            create,
            (Call::VcpuCreate, &vcpu(first, 0)),
            (Call::VcpuCreate, &vcpu(second, 1)),
        ];
        let other_order: [(_, &[_]); 4] = [
            create,
            create,
            (Call::VcpuCreate, &vcpu(second, 1)),
            (Call::VcpuCreate, &vcpu(first, 0)),
        ];
        assert_ne!(
            after(&in_order, false, false),
            after(&other_order, false, false)
        );
        assert_eq!(
            after(&in_order, false, true),
            after(&other_order, false, false)
        );
        assert_ne!(
            after(&in_order, true, true),
            after(&other_order, false, false)
        );
    }
}
