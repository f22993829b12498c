//! Moves interrupts into the list registers before a guest's run and out of them after it
//! (IHI0069, "Virtual interrupt handling").
//!
//! Before a run, `fill` takes the most urgent of what is active and of what is pending and
//! enabled. After it, `drain` puts everything back, so that the next `fill` chooses anew. A
//! level-triggered interrupt is never put back as pending: its line says whether it is. So one
//! whose line went low while the guest had not taken it yet is withdrawn by that alone, and one
//! whose line is still high when the guest ends it becomes pending again.
//!
//! When there are more interrupts than list registers, one register goes to the most urgent
//! pending interrupt and the least urgent active ones wait outside. The hardware counts the ends
//! that find no list register; ends come in order of urgency, so each is the end of the most
//! urgent active interrupt outside. Where the guest deactivates by ICC_DIR_EL1 instead, in any
//! order, that register traps, and `deactivate` does it.
//!
//! Only the runner of the vCPU calls anything here but what [`Shared`] offers.

use super::intid::{PrivateId, Spi, places};
use super::lr::{Group, Ich, ListRegister, State, Trigger, hcr};
use super::private::Private;
use super::shortlist::{Candidate, Shortlist};
use super::spi::{SpiInbox, SpiState};

/// What any core reaches of a vCPU's interrupts.
#[derive(Default)]
pub struct Shared<const WORDS: usize> {
    /// INTIDs 0 to 31.
    pub private: Private,
    /// SPIs that the host injects.
    pub spis: SpiInbox<WORDS>,
}

impl<const WORDS: usize> Shared<WORDS> {
    /// The state after reset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Back to the state after reset. The caller alone reaches the vCPU, and what makes it
    /// reachable for others publishes this.
    pub fn reset(&self) {
        self.private.reset();
        self.spis.reset();
    }
}

impl<const WORDS: usize> Shared<WORDS> {
    /// Is there something that no list register has yet? What was told before a doorbell that was seen is
    /// found.
    pub fn has_news(&self) -> bool {
        waiting(self) != 0 || self.spis.has_changes()
    }
}

/// Private interrupts that are pending and enabled.
fn waiting<const WORDS: usize>(shared: &Shared<WORDS>) -> u32 {
    shared.private.pending() & shared.private.enabled()
}

/// What a `fill` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Filled {
    /// Every interrupt that wanted a list register has one.
    All,
    /// Pending interrupts wait for list registers; a maintenance interrupt tells when.
    ListFull,
}

/// What the runner alone holds of a vCPU's interrupts.
#[derive(Clone, Debug)]
pub struct Runner<const WORDS: usize> {
    /// The virtual CPU interface's registers, for the platform to load and store.
    pub ich: Ich,
    spis: SpiState<WORDS>,
    /// PPIs in list registers that were made pending by `GICR_ISPENDR0`, whatever their lines.
    latched: u32,
}

impl<const WORDS: usize> Runner<WORDS> {
    /// The state after reset, on hardware that describes itself with this `ICH_VTR_EL2`.
    pub fn new(vtr: u64) -> Self {
        Self {
            ich: Ich::new(vtr),
            spis: SpiState::new(),
            latched: 0,
        }
    }

    /// The CPU interface back to the state after reset, as when its core is turned on again. The list
    /// registers are empty: `drain` came before. SPIs that are pending or active stay so.
    pub fn restart(&mut self) {
        self.ich.reset();
        #[cfg(mutant = "restart-forget-spis")]
        {
            self.spis = SpiState::new();
        }
        self.latched = 0;
    }

    /// Fills the list registers for a run of the guest. They are empty: `drain` came before.
    #[inline]
    pub fn fill(&mut self, shared: &Shared<WORDS>) -> Filled {
        shared.spis.collect(&mut self.spis);
        // Read once, as other vCPUs may write it: no interrupt is to be in both lists.
        let active_private = shared.private.active();
        if active_private == 0 && waiting(shared) == 0 && self.spis.is_quiet() {
            self.ich.hcr = hcr::EN;
            return Filled::All;
        }
        self.fill_lists(shared, active_private)
    }

    /// The same where there is something to list.
    #[inline(never)]
    fn fill_lists(&mut self, shared: &Shared<WORDS>, active_private: u32) -> Filled {
        let registers = usize::from(self.ich.lr_count);
        let mut active = Shortlist::new(registers);
        let mut pending = Shortlist::new(registers);
        self.for_each_active(shared, active_private, |candidate| active.offer(candidate));
        self.for_each_pending(shared, active_private, |candidate| pending.offer(candidate));

        let wanted = active.len() + pending.len();
        let reserved = if wanted <= registers {
            0
        } else {
            pending.len().min(1)
        };
        let for_active = registers.saturating_sub(reserved);
        let for_pending = registers.saturating_sub(active.len().min(for_active));

        let mut control = hcr::EN;
        if active.left_out || active.len() > for_active {
            control |= hcr::LRENPIE | hcr::TDIR;
        }
        let list_full = pending.left_out || pending.len() > for_pending;
        if list_full {
            // A pending one is in the list, so this does not fire before the guest took it.
            control |= hcr::NPIE;
        }
        self.ich.hcr = control;

        let mut place = 0usize;
        for candidate in active.iter().take(for_active) {
            place = place.wrapping_add(self.list(shared, place, candidate, State::Active));
        }
        for candidate in pending.iter().take(for_pending) {
            place = place.wrapping_add(self.list(shared, place, candidate, State::Pending));
        }
        self.ich.lr_used = place as u8;
        if list_full {
            Filled::ListFull
        } else {
            Filled::All
        }
    }

    /// Empties the list registers after a run of the guest.
    #[inline]
    pub fn drain(&mut self, shared: &Shared<WORDS>) {
        let ends_outside = self.ich.hcr >> hcr::EOI_COUNT_SHIFT & hcr::EOI_COUNT_MAX;
        self.ich.hcr = 0;
        if ends_outside != 0 || self.ich.lr_used != 0 {
            self.drain_lists(shared, ends_outside);
        }
        self.latched = 0;
    }

    /// The same where something was listed, or ended outside the lists.
    #[inline(never)]
    fn drain_lists(&mut self, shared: &Shared<WORDS>, ends_outside: u64) {
        // What is active outside is what `fill` left there, until the registers are put back.
        for _ in 0..ends_outside {
            let mut first = Shortlist::new(1);
            let active_private = shared.private.active();
            self.for_each_active(shared, active_private, |candidate| first.offer(candidate));
            for candidate in first.iter() {
                self.end(shared, u64::from(candidate.intid));
            }
        }
        for place in 0..usize::from(core::mem::take(&mut self.ich.lr_used)) {
            let Some(register) = self.ich.lr.get_mut(place) else {
                break;
            };
            let held = ListRegister::from_raw(core::mem::take(register));
            self.put_back(shared, held);
        }
    }

    /// Whether a guest that waits for an interrupt (WFI) would be woken: whether the hardware
    /// would signal one of the pending interrupts. The list registers are empty.
    pub fn has_deliverable(&mut self, shared: &Shared<WORDS>) -> bool {
        shared.spis.collect(&mut self.spis);
        let mut deliverable = false;
        self.for_each_pending(shared, shared.private.active(), |candidate| {
            deliverable |= self.ich.would_signal(candidate.priority, candidate.group);
        });
        deliverable
    }

    /// Deactivates an interrupt for a write to ICC_DIR_EL1 that trapped. Without effect unless
    /// the guest has split priority drop from deactivation, as on hardware.
    pub fn deactivate(&mut self, shared: &Shared<WORDS>, intid: u64) {
        if self.ich.splits_end() {
            self.end(shared, intid);
        }
    }

    /// SPIs that are pending by an edge and were collected, 64 a word: for those who compare.
    #[cfg(feature = "sim")]
    pub(crate) fn edges(&self) -> [u64; WORDS] {
        self.spis.words.map(|word| word.edges)
    }

    /// Did the guest end a level-triggered SPI that was not told yet?
    pub fn has_ended(&self) -> bool {
        self.spis.has_ended()
    }

    /// A level-triggered SPI that the guest ended, each once.
    pub fn take_ended(&mut self) -> Option<Spi> {
        self.spis.take_ended()
    }

    /// Puts a candidate in a list register, unless it was withdrawn since it was chosen. Gives
    /// the number of registers used.
    fn list(
        &mut self,
        shared: &Shared<WORDS>,
        place: usize,
        candidate: Candidate,
        state: State,
    ) -> usize {
        let intid = u64::from(candidate.intid);
        let state = if let Some(id) = PrivateId::new(intid) {
            self.take_private(shared, id, state)
        } else {
            Spi::new(intid).and_then(|spi| self.take_spi(spi, candidate.trigger, state))
        };
        let Some(state) = state else { return 0 };
        let Candidate {
            intid,
            priority,
            group,
            trigger,
            ..
        } = candidate;
        let Some(register) = self.ich.lr.get_mut(place) else {
            return 0;
        };
        *register = ListRegister::new(intid, priority, group, trigger, state).raw();
        1
    }

    /// Takes a private interrupt that was found pending or active for a list register; gives the
    /// state it has there.
    fn take_private(
        &mut self,
        shared: &Shared<WORDS>,
        id: PrivateId,
        state: State,
    ) -> Option<State> {
        let private = &shared.private;
        let edge = Private::trigger(id) == Trigger::Edge;
        if state == State::Pending {
            let latched = private.take_pending(id);
            if latched && !edge {
                self.latched |= id.bit();
            }
            return (latched || private.is_high(id)).then_some(State::Pending);
        }
        if private.deactivate(id.bit()) == 0 {
            return None;
        }
        let enabled = private.enabled() & id.bit() != 0;
        let again = edge && enabled && private.take_pending(id);
        Some(if again {
            State::PendingActive
        } else {
            State::Active
        })
    }

    /// Takes an SPI that was found pending or active for a list register; gives the state it has
    /// there. A level-triggered one leaves its edges for later.
    fn take_spi(&mut self, spi: Spi, trigger: Trigger, state: State) -> Option<State> {
        let word = self.spis.word(spi)?;
        let again = trigger == Trigger::Edge && word.edges & spi.bit() != 0;
        if again {
            word.edges &= !spi.bit();
        }
        if state == State::Pending {
            return Some(State::Pending);
        }
        word.active &= !spi.bit();
        word.active_by_level &= !spi.bit();
        Some(if again {
            State::PendingActive
        } else {
            State::Active
        })
    }

    /// Takes over the state that the guest left an interrupt in.
    fn put_back(&mut self, shared: &Shared<WORDS>, register: ListRegister) {
        let (state, trigger) = (register.state(), register.trigger());
        if let Some(id) = PrivateId::new(register.intid()) {
            if state.is_active() {
                shared.private.activate(id.bit());
            }
            // Not the register's: its HW form has no room for "tell of its end".
            let remembered = Private::trigger(id) == Trigger::Edge || self.latched & id.bit() != 0;
            if remembered && state.is_pending() {
                shared.private.set_pending(id.bit());
            }
        } else if let Some(spi) = Spi::new(register.intid())
            && let Some(word) = self.spis.word(spi)
        {
            if state.is_active() {
                word.active |= spi.bit();
                if trigger == Trigger::Level {
                    word.active_by_level |= spi.bit();
                }
            }
            if trigger == Trigger::Edge && state.is_pending() {
                word.edges |= spi.bit();
            }
            if trigger == Trigger::Level && state == State::Invalid {
                word.ended |= spi.bit();
            }
        }
    }

    /// Ends an interrupt that is active outside the list registers.
    fn end(&mut self, shared: &Shared<WORDS>, intid: u64) {
        if let Some(id) = PrivateId::new(intid) {
            shared.private.deactivate(id.bit());
        } else if let Some(spi) = Spi::new(intid)
            && let Some(word) = self.spis.word(spi)
        {
            word.ended |= word.active_by_level & spi.bit();
            word.active &= !spi.bit();
            word.active_by_level &= !spi.bit();
        }
    }

    /// Offers every active interrupt, the private ones as given.
    fn for_each_active(
        &self,
        shared: &Shared<WORDS>,
        active_private: u32,
        mut offer: impl FnMut(Candidate),
    ) {
        for place in places(u64::from(active_private)) {
            self.offer_private(shared, place, &mut offer);
        }
        for (place, word) in self.spis.live() {
            let by_level = word.active_by_level | word.lines;
            self.offer_spis(shared, place, word.active, by_level, &mut offer);
        }
    }

    /// Offers every interrupt that is pending, enabled and not active.
    fn for_each_pending(
        &self,
        shared: &Shared<WORDS>,
        active_private: u32,
        mut offer: impl FnMut(Candidate),
    ) {
        for place in places(u64::from(waiting(shared) & !active_private)) {
            self.offer_private(shared, place, &mut offer);
        }
        for (place, word) in self.spis.live() {
            let waiting = (word.edges | word.lines) & !word.active;
            self.offer_spis(shared, place, waiting, word.lines, &mut offer);
        }
    }

    fn offer_private(&self, shared: &Shared<WORDS>, place: u32, offer: &mut impl FnMut(Candidate)) {
        if let Some(id) = PrivateId::new(u64::from(place)) {
            let group = shared.private.group_of(id);
            offer(Candidate {
                intid: id.raw(),
                priority: shared.private.priority(id),
                group,
                trigger: Private::trigger(id),
                blocked: !self.ich.is_enabled(group),
            });
        }
    }

    fn offer_spis(
        &self,
        shared: &Shared<WORDS>,
        word: usize,
        spis: u64,
        by_level: u64,
        offer: &mut impl FnMut(Candidate),
    ) {
        for spi in places(spis).filter_map(|bit| Spi::at(word, bit)) {
            let level = by_level & spi.bit() != 0;
            offer(Candidate {
                intid: spi.raw(),
                priority: shared.spis.priority(spi),
                // The host hands over SPIs of Group 1 only.
                group: Group::One,
                trigger: if level { Trigger::Level } else { Trigger::Edge },
                blocked: !self.ich.is_enabled(Group::One),
            });
        }
    }
}
