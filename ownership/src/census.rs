//! Pages counted by what their words say.

use crate::word::{Owner, SORTS, Sort, State, Word};
use sync::{AtomicU64, Ordering};

/// Pages by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// `Reserved`.
    pub reserved: usize,
    /// `HostFixed`.
    pub host_fixed: usize,
    /// The host's alone.
    pub host: usize,
    /// The engine's.
    pub engine: usize,
    /// A VM's alone; of a dying VM also those of a granule that is zeroed in part.
    pub vm: usize,
    /// Lent by the host to a VM, or shared by a VM with the host.
    pub shared: usize,
    /// Claimed at that moment.
    pub claimed: usize,
    /// `Poisoned`.
    pub poisoned: usize,
}

impl Census {
    /// Adds pages in this state.
    pub(crate) fn add(&mut self, state: State, pages: usize) {
        let class = match state {
            State::Reserved => &mut self.reserved,
            State::HostFixed => &mut self.host_fixed,
            State::Owned(Owner::Host) => &mut self.host,
            State::Owned(Owner::Engine) => &mut self.engine,
            State::Owned(Owner::Vm(_)) | State::Scrubbing { .. } => &mut self.vm,
            State::Shared { .. } => &mut self.shared,
            State::Claimed { .. } | State::Split => &mut self.claimed,
            State::Poisoned => &mut self.poisoned,
        };
        *class = class.saturating_add(pages);
    }

    /// Adds a page for each of these words, whatever they say at the same few instructions: a call is about hundreds,
    /// and is as long as the dearest of them make it.
    pub(crate) fn add_each(&mut self, words: &[AtomicU64]) {
        let [host, engine] =
            [Owner::Host, Owner::Engine].map(|owner| Word::pack(State::Owned(owner)));
        let (mut of_host, mut of_engine) = (0usize, 0usize);
        let mut others = [0usize; SORTS];
        for word in words {
            // Relaxed: a snapshot; that the words are there was seen by who found the first.
            let seen = Word::from_raw(word.load(Ordering::Relaxed));
            if seen == host {
                of_host = of_host.wrapping_add(1);
            } else if seen == engine {
                of_engine = of_engine.wrapping_add(1);
            } else if let Some(sum) = others.get_mut(seen.sort()) {
                *sum = sum.wrapping_add(1);
            }
        }
        self.host = self.host.saturating_add(of_host);
        self.engine = self.engine.saturating_add(of_engine);
        for (sort, sum) in (0..).zip(others) {
            let class = match Sort::numbered(sort) {
                Sort::Reserved => &mut self.reserved,
                Sort::HostFixed => &mut self.host_fixed,
                // The host's and the engine's were counted above.
                Sort::Owned => &mut self.vm,
                Sort::Shared => &mut self.shared,
                Sort::Poisoned => &mut self.poisoned,
                Sort::Changing => &mut self.claimed,
            };
            *class = class.saturating_add(sum);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;
    use crate::word::{Op, VmSlot};
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn words_one_by_one_and_all_at_once_are_the_same() {
        let vms = [0, 1, 253].map(|slot| VmSlot::new(slot).expect("a slot"));
        let mut owners = vec![Owner::Host, Owner::Engine];
        owners.extend(vms.map(Owner::Vm));
        let mut states = vec![
            State::Reserved,
            State::HostFixed,
            State::Poisoned,
            State::Split,
        ];
        states.extend(owners.iter().map(|owner| State::Owned(*owner)));
        for (owner, borrower) in [(owners[0], owners[2]), (owners[3], owners[0])] {
            states.push(State::Shared {
                owner,
                borrower,
                count: 7,
            });
        }
        states.push(State::Scrubbing {
            vm: vms[1],
            done: 5,
        });
        for from in states.clone() {
            if let State::Split = from {
                continue;
            }
            states.extend(Op::ALL.map(|op| State::Claimed {
                from: from.into(),
                op,
                cpu: 190,
            }));
        }
        let mut one_by_one = Census::default();
        let mut words = Vec::new();
        for (times, state) in (1..4).cycle().zip(&states) {
            for _ in 0..times {
                one_by_one.add(*state, 1);
                words.push(AtomicU64::new(Word::pack(*state).raw()));
            }
        }
        let mut at_once = Census::default();
        at_once.add_each(&words);
        assert_eq!(at_once, one_by_one);
        assert!(at_once.claimed > at_once.vm && at_once.vm > at_once.engine);
    }
}
