//! Pages counted by what their words say.

use crate::word::{Owner, State};

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
        *class += pages;
    }
}
