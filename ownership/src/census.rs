//! Pages counted by what their words say.

use crate::word::{Kind, Owner, State, Word};

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
    /// Adds pages whose word says this.
    pub(crate) fn add(&mut self, word: Word, pages: usize) {
        let class = match word.kind() {
            Kind::Reserved => &mut self.reserved,
            Kind::HostFixed => &mut self.host_fixed,
            Kind::Owned => match word.state() {
                State::Owned(Owner::Host) => &mut self.host,
                State::Owned(Owner::Engine) => &mut self.engine,
                State::Owned(Owner::Vm(_)) => &mut self.vm,
                _ => &mut self.reserved,
            },
            Kind::Scrubbing => &mut self.vm,
            Kind::Shared => &mut self.shared,
            Kind::Changing => &mut self.claimed,
            Kind::Poisoned => &mut self.poisoned,
        };
        *class = class.wrapping_add(pages);
    }
}
