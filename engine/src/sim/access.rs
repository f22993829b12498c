//! One load, store or fetch of a guest or the host, by the worst translation that its core may use.
//!
//! Invariants: whatever page an access reaches must be its VM's at that moment by the page words, and
//! a value that it loads must not be another's secret; if not, that is written down as a violation
//! at once, whatever the engine does later.

use super::content::{self, HOST, Origin};
use super::hardware::{Inner, Sim};
use super::tables::Descriptor;
use crate::vm::HOST_VMID;
use ownership::{Owner, Pfn, State, VmSlot};
use std::format;
use std::vec::Vec;

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Loads 64 bits.
    Load,
    /// Stores a marked value of the accessor's.
    Store,
    /// Stores this very value.
    StoreRaw(u64),
    /// Fetches an instruction.
    Fetch,
}

/// Why an access ends in an abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Stage 2 has no entry for it.
    Translation {
        /// Level of the entry.
        level: u8,
    },
    /// The entry is there but forbids the access.
    Permission {
        /// Level of the entry.
        level: u8,
    },
    /// The page has a memory error: a synchronous external abort.
    External,
}

/// The party that runs under a VMID.
pub fn party(vmid: u16) -> Owner {
    match vmid.checked_sub(1).and_then(VmSlot::new) {
        Some(slot) => Owner::Vm(slot),
        None => Owner::Host,
    }
}

/// May `who` reach a page in this state? A claimed page is as it was.
pub fn may_reach(who: Owner, state: State) -> bool {
    match state {
        State::HostFixed => who == Owner::Host,
        State::Owned(owner) => owner == who,
        State::Shared {
            owner, borrower, ..
        } => owner == who || borrower == who,
        State::Claimed { from, .. } => may_reach(who, from.state()),
        _ => false,
    }
}

/// May `writer`'s value be found by `who` in a page in this state? `None` for a writer that is no
/// VM which is alive.
fn may_find(who: Owner, state: State, origin: Origin, writer: Option<Owner>) -> bool {
    if !origin.secret || origin.writer == HOST {
        return true;
    }
    let mine = writer == Some(who);
    let shared_by_writer = matches!(state, State::Shared { owner, .. } if Some(owner) == writer);
    mine || shared_by_writer
}

impl Sim {
    /// What a page's word says; `None` if it has none.
    pub fn state(&self, page: u64) -> Option<State> {
        self.pages.state(Pfn::new(page)?)
    }

    /// What the words say of all pages, in order.
    pub fn states(&self) -> Vec<State> {
        let mut states = Vec::with_capacity(self.pages.len());
        let end = self.ram.base() + self.pages.len() as u64;
        let mut page = self.ram.base();
        while let Some((granule, state)) = self.pages.granule(Pfn::from_raw(page)) {
            let next = end.min(granule.base().raw() + granule.size().pages());
            states.resize((next - self.ram.base()) as usize, state);
            page = next;
        }
        states
    }

    /// May the party of `vmid` reach `page` by the page words? Where there is no memory the host may.
    pub fn is_allowed(&self, vmid: u16, page: u64) -> bool {
        match self.state(page) {
            Some(state) => may_reach(party(vmid), state),
            None => vmid == HOST_VMID,
        }
    }

    /// The mark that the party of a VMID writes with now.
    pub(super) fn writer(inner: &Inner, vmid: u16) -> u64 {
        if vmid == HOST_VMID {
            HOST
        } else {
            inner.lives.get(&vmid).map_or(0, |life| life + 2)
        }
    }

    /// The party that writes with a mark now.
    fn party_of_writer(inner: &Inner, writer: u64) -> Option<Owner> {
        if writer == HOST {
            return Some(Owner::Host);
        }
        let vmid = inner.lives.iter().find(|(_, life)| **life + 2 == writer)?.0;
        Some(party(*vmid))
    }

    /// Is `value`, found in a page in `state`, something that `who` must not know?
    pub(super) fn is_leak(inner: &Inner, who: Owner, state: State, value: u64) -> bool {
        let Some(origin) = content::origin(value) else {
            return false;
        };
        !may_find(
            who,
            state,
            origin,
            Self::party_of_writer(inner, origin.writer),
        )
    }

    /// One access of a core under its current VMID; the value loaded.
    pub fn access(&self, cpu: usize, address: u64, want: Want) -> Result<u64, Fault> {
        let mut inner = self.inner();
        let vmid = inner.tlb.current(cpu);
        let (ipa_page, word) = (address >> 12, (address as usize & 0xfff) / 8);
        let page = self.translate(&mut inner, cpu, vmid, ipa_page, want)?;
        let Some(state) = self.state(page) else {
            if vmid != HOST_VMID {
                inner.violation(format!("VMID {vmid} reached {page:#x}, which is no memory"));
            }
            return Ok(0);
        };
        if !may_reach(party(vmid), state) {
            inner.violation(format!(
                "core {cpu} under VMID {vmid}: {want:?} at {ipa_page:#x} reached page {page:#x}, \
                 which is {state:?}"
            ));
        }
        if inner.broken.contains(&page) {
            return Err(Fault::External);
        }
        Ok(match want {
            Want::Load | Want::Fetch => {
                let value = self.ram.load(page, word);
                if Self::is_leak(&inner, party(vmid), state, value) {
                    inner.violation(format!(
                        "VMID {vmid} read {value:#x} in page {page:#x}, which is {state:?}"
                    ));
                }
                value
            }
            Want::Store => {
                let secret = matches!(state, State::Owned(_));
                let nonce = inner.random() as u32;
                let value = content::mark(Self::writer(&inner, vmid), secret, nonce);
                self.ram.store(page, word, value);
                value
            }
            Want::StoreRaw(value) => {
                self.ram.store(page, word, value);
                value
            }
        })
    }

    /// The physical page, by any translation that the core may use.
    fn translate(
        &self,
        inner: &mut Inner,
        cpu: usize,
        vmid: u16,
        ipa_page: u64,
        want: Want,
    ) -> Result<u64, Fault> {
        let allows = |write: bool, execute: bool| match want {
            Want::Load => true,
            Want::Store | Want::StoreRaw(_) => write,
            Want::Fetch => execute,
        };
        let old = inner
            .tlb
            .leftovers(cpu)
            .iter()
            .map(|entry| entry.translation);
        let unseen = inner.walkers.unseen().copied();
        let mut pages: Vec<u64> = old
            .chain(unseen)
            .filter(|entry| entry.vmid == vmid && allows(entry.write, entry.execute))
            .filter_map(|entry| entry.target(ipa_page))
            .collect();
        let mut fault = None;
        match inner.walkers.walk(&self.ram, vmid, ipa_page) {
            Ok((
                Descriptor::Leaf {
                    read,
                    write,
                    execute,
                    ..
                },
                level,
                page,
            )) => {
                if read && allows(write, execute) {
                    pages.push(page);
                } else {
                    fault = Some(Fault::Permission { level });
                }
            }
            Ok((_, level, _)) => fault = Some(Fault::Translation { level }),
            Err(miss) => fault = Some(Fault::Translation { level: miss.level }),
        }
        if pages.is_empty() {
            return Err(fault.unwrap_or(Fault::Translation { level: 0 }));
        }
        let choice = inner.random() as usize % pages.len();
        Ok(pages[choice])
    }
}
