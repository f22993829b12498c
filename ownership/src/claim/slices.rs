//! A 2 MiB granule of a dying VM, zeroed slice by slice under one claim after the other.
//!
//! Between the slices its word says how many pages, from the first on, are zero (`Scrubbing`).
//!
//! Invariants:
//! - that number grows only by a proof for exactly the pages behind it, so each page was zeroed under
//!   some claim after the VM's flush, and none twice;
//! - only the one word of the whole granule says `Scrubbing`: a granule held by the words of its parts
//!   is refused;
//! - the granule goes to the host by the commit of its last slice, or without the page that can't be
//!   zeroed: what was zeroed before that goes home, and the rest stays the VM's, page by page.

use super::RunClaim;
use super::hold::settle_word;
use crate::addr::{Granule, GranuleSize};
use crate::proof::{Flushed, Scrubbed};
use crate::state::transition;
use crate::tree::Run;
use crate::word::{Op, Owner, State, VmSlot, Word};

/// How far a claimed granule is.
struct Slice {
    vm: VmSlot,
    /// Pages that are zero, and were before this claim.
    done: u64,
    /// Pages of it in all.
    pages: u64,
}

impl RunClaim<'_> {
    /// How many pages, from the first on, are zero by what the word said. `None` if it is no claim of
    /// a whole granule of a VM's for VM_RECLAIM.
    pub fn zeroed(&self) -> Option<u64> {
        self.slice().map(|slice| slice.done)
    }

    /// VM_RECLAIM of a whole granule: the pages behind those that were zero are zero too. With the
    /// last of them the granule is the host's.
    pub fn scrub_on(self, scrubbed: Scrubbed) -> Result<(), Self> {
        let Some(Slice { vm, done, pages }) = self.slice() else {
            return Err(self);
        };
        let shown = self.follows(done, &scrubbed, vm);
        let done = done.saturating_add(scrubbed.pages());
        let to = match u16::try_from(done) {
            _ if done == pages => State::Owned(Owner::Host),
            Ok(done) if u64::from(done) < pages => State::Scrubbing { vm, done },
            _ => return Err(self),
        };
        self.commit(Op::Reclaim, Some(to), shown)
    }

    /// VM_RECLAIM of a whole granule of which a page can't be zeroed: that behind `clean`, or with
    /// none of these the one behind those that were zero. It is nobody's ever again, those before it
    /// are the host's, and those behind it the VM's as they were. The VM's regime was flushed.
    pub fn lose_page(self, clean: Option<Scrubbed>, flushed: &Flushed) -> Result<(), Self> {
        let Some(Slice { vm, done, pages }) = self.slice() else {
            return Err(self);
        };
        let of_vm = State::Owned(Owner::Vm(vm));
        let shown = flushed.covers(Owner::Vm(vm))
            && clean
                .as_ref()
                .is_none_or(|clean| self.follows(done, clean, vm));
        let zero = done.saturating_add(clean.map_or(0, |clean| clean.pages()));
        let first = self.hold.run.first;
        let lost = first.checked_add(zero).filter(|_| zero < pages);
        let legal = [State::Owned(Owner::Host), State::Poisoned, of_vm]
            .iter()
            .all(|to| transition(self.from(), Op::Reclaim, *to).is_some());
        let (Some(lost), true, true) = (lost, shown, legal) else {
            return Err(self);
        };
        let granule = Granule::around(GranuleSize::Block2M, first);
        let head = Run { first, pages: zero };
        let keep = Run {
            first,
            pages: zero.saturating_add(1),
        };
        // What its parts' words say meanwhile is about pages: never `Scrubbing`.
        let claimed = Word::claimed(of_vm.into(), Op::Reclaim, self.cpu());
        self.hold.tree.unfold(granule, keep, claimed, of_vm.into());
        for word in self.hold.tree.pages(head) {
            settle_word(word, State::Owned(Owner::Host).into());
        }
        let one = Run {
            first: lost,
            pages: 1,
        };
        for word in self.hold.tree.pages(one) {
            settle_word(word, State::Poisoned.into());
        }
        core::mem::forget(self);
        Ok(())
    }

    /// Does the proof begin where the granule's zeroes end?
    fn follows(&self, done: u64, scrubbed: &Scrubbed, vm: VmSlot) -> bool {
        #[cfg(mutant = "slice-anywhere")]
        let _ = done;
        #[cfg(mutant = "slice-anywhere")]
        let behind = Some(scrubbed.first());
        #[cfg(not(mutant = "slice-anywhere"))]
        let behind = self.hold.run.first.checked_add(done);
        behind.is_some_and(|first| scrubbed.stands_for(first, scrubbed.pages(), Owner::Vm(vm)))
    }

    fn slice(&self) -> Option<Slice> {
        let (vm, done) = match self.from() {
            State::Owned(Owner::Vm(vm)) => (vm, 0),
            State::Scrubbing { vm, done } => (vm, u64::from(done)),
            _ => return None,
        };
        let granule = Granule::around(GranuleSize::Block2M, self.hold.run.first);
        (self.claimed.is_claimed_for(Op::Reclaim) && self.is_whole(granule)).then_some(Slice {
            vm,
            done,
            pages: granule.size().pages(),
        })
    }
}
