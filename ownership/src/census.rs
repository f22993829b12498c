//! Pages counted by what their words say.

use crate::word::{Owner, State, Word};
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
            State::Claimed { .. } | State::Split | State::Merged => &mut self.claimed,
            State::Poisoned => &mut self.poisoned,
        };
        *class = class.saturating_add(pages);
    }

    /// Adds a page for each of these words. Most say one of two things, which are counted before all is looked at: a
    /// call is about hundreds.
    pub(crate) fn add_each(&mut self, words: &[AtomicU64]) {
        let [host, engine] =
            [Owner::Host, Owner::Engine].map(|owner| Word::pack(State::Owned(owner)));
        let (mut of_host, mut of_engine) = (0usize, 0usize);
        for word in words {
            // Relaxed: a snapshot; that the words are there was seen by who found the first.
            let seen = Word::from_raw(word.load(Ordering::Relaxed));
            if seen == host {
                of_host = of_host.wrapping_add(1);
            } else if seen == engine {
                of_engine = of_engine.wrapping_add(1);
            } else {
                self.add(seen.state(), 1);
            }
        }
        self.host = self.host.saturating_add(of_host);
        self.engine = self.engine.saturating_add(of_engine);
    }
}
