//! Where a vCPU is: the one word that decides who may run or change it.
//!
//! ```text
//!            allocate               turn_on
//!   Free ---------------> Starting <--------- Off <-----------------+
//!     ^                    |   |  |            ^                    | turn_off
//!     | free               |   |  +------------+ (drop, turn_off)   |
//!     | (unless Starting   |   | pend                               |
//!     |  or Running)       |   v                enqueue             |
//!   Off, OnPending,        |  OnPending -----------+                |
//!   Parked, Queued         v                       v      take      |
//!                       Parked <------------> Queued(cpu) -----> Running(cpu)
//!                         ^   enqueue, dequeue   ^                 ^   |
//!                         |                      +-----------------|---+ requeue
//!                         +----------------------------------------+
//!                           hold (a parked one is Held meanwhile), and back: park, drop
//! ```
//!
//! Invariants:
//! - `Starting`, `Held` and `Running` are held by one [`RunTicket`] each, which alone may end them; in
//!   every other state nobody reaches the vCPU's content;
//! - slots are type-stable: the word outlives every vCPU in it. It carries the generation of the
//!   slot's present vCPU, so a stale handle fails its compare-exchange;
//! - every method makes one attempt and reports the state that it met;
//! - what a ticket's holder did happens before whatever the next holder does: each ticket ends in a
//!   Release store and begins with an Acquire compare-exchange, and the exchanges in between
//!   (enqueue, dequeue) carry both on.
//!
//! **CPU_ON** (PSCI DEN0022 5.6). A vCPU that is turned on has its entry point to be written before
//! anyone can queue it, and every other caller meanwhile must get ON_PENDING, not ALREADY_ON and
//! then ON_PENDING. Hence `Starting`: the winner leaves `Off` first, writes, then publishes
//! `OnPending`. `Starting` and `OnPending` look alike through PSCI; once `Parked`, `Queued` or
//! `Running`, a vCPU is on until it turns itself off.

use crate::cpu::CpuId;
use bytemuck::{Pod, Zeroable};
use core::marker::PhantomData;
use sync::{Ordering, Typed, unless};

/// Where a vCPU is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Residence {
    /// There is none in the slot, or not the one that the handle meant.
    Free,
    /// Turned off.
    Off,
    /// Being set up or turned on by a CPU.
    Starting(CpuId),
    /// Turned on, and not yet queued for the first time.
    OnPending,
    /// On, and on no queue.
    Parked,
    /// On a CPU's run queue.
    Queued(CpuId),
    /// Running on a CPU, or taken off a queue and held still by it.
    Running(CpuId),
    /// On no queue, and held still by a CPU: it may well stay on none.
    Held(CpuId),
}

/// The word: kind in bits 3:0, CPU in 15:4, generation in 63:16.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(transparent)]
struct Packed(u64);

const CPU_SHIFT: u32 = 4;
const GENERATION_SHIFT: u32 = 16;
const GENERATION_MAX: u64 = u64::MAX >> GENERATION_SHIFT;

impl Packed {
    fn pack(generation: u64, residence: Residence) -> Self {
        let (kind, cpu) = match residence {
            Residence::Free => (0, 0),
            Residence::Off => (1, 0),
            Residence::Starting(cpu) => (2, cpu.raw()),
            Residence::OnPending => (3, 0),
            Residence::Parked => (4, 0),
            Residence::Queued(cpu) => (5, cpu.raw()),
            Residence::Running(cpu) => (6, cpu.raw()),
            Residence::Held(cpu) => (7, cpu.raw()),
        };
        Self(generation << GENERATION_SHIFT | u64::from(cpu) << CPU_SHIFT | kind)
    }

    fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    fn residence(self) -> Residence {
        let cpu = CpuId::new((self.0 >> CPU_SHIFT & 0xfff) as u16);
        match (self.0 & 0xf, cpu) {
            (1, _) => Residence::Off,
            (2, Some(cpu)) => Residence::Starting(cpu),
            (3, _) => Residence::OnPending,
            (4, _) => Residence::Parked,
            (5, Some(cpu)) => Residence::Queued(cpu),
            (6, Some(cpu)) => Residence::Running(cpu),
            (7, Some(cpu)) => Residence::Held(cpu),
            _ => Residence::Free,
        }
    }

    /// Where the vCPU of this generation is; `Free` if the slot has another one.
    fn residence_of(self, generation: u64) -> Residence {
        if cfg!(mutant = "generation-ignored") || self.generation() == generation {
            self.residence()
        } else {
            Residence::Free
        }
    }
}

/// A vCPU slot's residency word.
#[derive(Debug)]
pub struct Residency {
    word: Typed<Packed>,
}

/// What came of an attempt to turn a vCPU on.
#[derive(Debug)]
pub enum TurnOn<'r> {
    /// It was off: write its entry state, then [`RunTicket::pend`].
    Won(RunTicket<'r>),
    /// It is on (PSCI ALREADY_ON).
    AlreadyOn,
    /// Somebody else is turning it on (PSCI ON_PENDING).
    OnPending,
    /// It does not exist any more.
    Gone,
    /// It went on and off again meanwhile: try again.
    Busy,
}

impl Default for Residency {
    fn default() -> Self {
        Self {
            word: Typed::new(Packed::pack(0, Residence::Free)),
        }
    }
}

impl Residency {
    /// The generation of the slot's present or last vCPU, and where it is. A snapshot.
    pub fn now(&self) -> (u64, Residence) {
        // Acquire: pairs with the Release of `RunTicket::settle`, so that what a caller looks up next
        // is no older than the state.
        let look = unless(cfg!(mutant = "residency-now-relaxed"), Ordering::Acquire);
        let seen = self.word.load(look);
        (seen.generation(), seen.residence())
    }

    /// Where the vCPU of this generation is; `Free` if there is none (any more). A snapshot.
    pub fn now_of(&self, generation: u64) -> Residence {
        // Acquire: as in `now`.
        let look = unless(cfg!(mutant = "residency-of-relaxed"), Ordering::Acquire);
        self.word.load(look).residence_of(generation)
    }

    /// Takes a free slot for a new vCPU, held by `cpu` while it is set up. Its generation is the
    /// ticket's. Dropping the ticket frees the slot again.
    pub fn allocate(&self, cpu: CpuId) -> Result<RunTicket<'_>, Residence> {
        let seen = self.look();
        match seen.residence() {
            Residence::Free => {
                let generation = if seen.generation() < GENERATION_MAX {
                    seen.generation() + 1
                } else {
                    1
                };
                let to = Packed::pack(generation, Residence::Starting(cpu));
                self.hold_as(seen, to, Residence::Free)
                    .map_err(Packed::residence)
            }
            elsewhere => Err(elsewhere),
        }
    }

    /// Frees the slot of a vCPU that nobody holds.
    pub fn free(&self, generation: u64) -> Result<(), Residence> {
        let free = |residence| match residence {
            Residence::Off | Residence::OnPending | Residence::Parked | Residence::Queued(_) => {
                Some(Residence::Free)
            }
            _ => None,
        };
        self.advance(generation, free).map(drop)
    }

    /// Begins to turn on a vCPU that is off (PSCI CPU_ON), holding it for `cpu`. Dropping the ticket
    /// leaves it off.
    pub fn turn_on(&self, generation: u64, cpu: CpuId) -> TurnOn<'_> {
        let seen = self.look();
        let met = if seen.residence_of(generation) == Residence::Off {
            #[cfg(not(mutant = "turn-on-without-hold"))]
            let to = Packed::pack(generation, Residence::Starting(cpu));
            #[cfg(mutant = "turn-on-without-hold")]
            let to = {
                _ = cpu;
                Packed::pack(generation, Residence::OnPending)
            };
            match self.hold_as(seen, to, Residence::Off) {
                Ok(ticket) => return TurnOn::Won(ticket),
                Err(met) => met,
            }
        } else {
            seen
        };
        match met.residence_of(generation) {
            Residence::Free => TurnOn::Gone,
            Residence::Off => TurnOn::Busy,
            Residence::Starting(_) | Residence::OnPending => TurnOn::OnPending,
            Residence::Parked
            | Residence::Queued(_)
            | Residence::Running(_)
            | Residence::Held(_) => TurnOn::AlreadyOn,
        }
    }

    /// Puts a vCPU on a CPU's run queue, or moves it there; tells where it was. The caller then
    /// pushes its slot into that CPU's mailbox.
    pub fn enqueue(&self, generation: u64, cpu: CpuId) -> Result<Residence, Residence> {
        self.advance(generation, |residence| match residence {
            Residence::OnPending | Residence::Parked | Residence::Queued(_) => {
                Some(Residence::Queued(cpu))
            }
            _ => None,
        })
    }

    /// Takes a vCPU off the queue it is on; tells where it was. Its bit there goes stale.
    pub fn dequeue(&self, generation: u64) -> Result<Residence, Residence> {
        self.advance(generation, |residence| match residence {
            Residence::Queued(_) => Some(Residence::Parked),
            _ => None,
        })
    }

    /// Takes the vCPU of this slot, whichever it is, to run on `cpu` if it is queued there. Refused,
    /// the slot's bit was stale and is dropped. Dropping the ticket parks the vCPU.
    pub fn take(&self, cpu: CpuId) -> Result<RunTicket<'_>, Residence> {
        let seen = self.look();
        if seen.residence() != Residence::Queued(cpu) {
            return Err(seen.residence());
        }
        let to = Packed::pack(seen.generation(), Residence::Running(cpu));
        self.hold_as(seen, to, Residence::Parked)
            .map_err(Packed::residence)
    }

    /// Holds still a vCPU that is on and not running, to change its content from `cpu`. The caller
    /// ends it with [`RunTicket::give_back`].
    pub fn hold(&self, generation: u64, cpu: CpuId) -> Result<RunTicket<'_>, Residence> {
        let seen = self.look();
        let was = seen.residence_of(generation);
        let held = match was {
            Residence::Parked if cfg!(not(mutant = "hold-as-running")) => Residence::Held(cpu),
            Residence::Parked | Residence::Queued(_) => Residence::Running(cpu),
            elsewhere => return Err(elsewhere),
        };
        self.hold_as(seen, Packed::pack(seen.generation(), held), was)
            .map_err(|met| met.residence_of(generation))
    }

    fn look(&self) -> Packed {
        // Relaxed: an exchange succeeds only on this very value, and acquires; a refusal is a mere
        // report.
        self.word.load(Ordering::Relaxed)
    }

    /// From one state that nobody holds to another; tells which it was.
    fn advance(
        &self,
        generation: u64,
        to: impl FnOnce(Residence) -> Option<Residence>,
    ) -> Result<Residence, Residence> {
        let seen = self.look();
        let was = seen.residence_of(generation);
        let to = Packed::pack(seen.generation(), to(was).ok_or(was)?);
        // AcqRel: pairs with `RunTicket::settle` before and `hold_as` after; passes on what the last
        // holder did, together with what this caller did before. Relaxed on failure: a report.
        #[cfg(not(mutant = "advance-no-compare"))]
        self.word
            .compare_exchange(seen, to, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|met| met.residence_of(generation))?;
        #[cfg(mutant = "advance-no-compare")]
        self.word.store(to, Ordering::Release);
        Ok(was)
    }

    /// From a state that nobody holds to one that the ticket holds.
    fn hold_as(&self, seen: Packed, to: Packed, was: Residence) -> Result<RunTicket<'_>, Packed> {
        // Acquire: pairs with the Release of `RunTicket::settle`: what the last holder did to the
        // content is done. Relaxed on failure: a report.
        #[cfg(not(any(mutant = "hold-relaxed", mutant = "hold-no-compare")))]
        self.word
            .compare_exchange(seen, to, Ordering::Acquire, Ordering::Relaxed)?;
        #[cfg(mutant = "hold-relaxed")]
        self.word
            .compare_exchange(seen, to, Ordering::Relaxed, Ordering::Relaxed)?;
        #[cfg(mutant = "hold-no-compare")]
        {
            _ = seen;
            self.word.store(to, Ordering::Release);
        }
        Ok(RunTicket {
            residency: self,
            was: Packed::pack(to.generation(), was),
            stays_here: PhantomData,
        })
    }
}

/// Exclusive access to a vCPU's content, and the duty to say where the vCPU is next.
#[must_use = "dropping a ticket parks, turns off or frees its vCPU"]
#[derive(Debug)]
pub struct RunTicket<'r> {
    residency: &'r Residency,
    /// Where it was, with the generation that it has now. Packed: a ticket is handed on in registers.
    was: Packed,
    stays_here: PhantomData<*const ()>,
}

impl RunTicket<'_> {
    /// The vCPU's generation.
    pub fn generation(&self) -> u64 {
        self.was.generation()
    }

    /// Is it this residency's ticket?
    pub(crate) fn is_of(&self, residency: &Residency) -> bool {
        core::ptr::eq(self.residency, residency)
    }

    /// Ends the run with the vCPU on `cpu`'s queue. If that is the caller's own, it goes into its
    /// order of play; else the caller pushes it.
    pub fn requeue(self, cpu: CpuId) {
        self.end(Residence::Queued(cpu));
    }

    /// Ends it with the vCPU on no queue.
    pub fn park(self) {
        self.end(Residence::Parked);
    }

    /// Ends it with the vCPU off.
    pub fn turn_off(self) {
        self.end(Residence::Off);
    }

    /// Publishes a vCPU that was set up or turned on: from now on it can be queued.
    pub fn pend(self) {
        self.end(Residence::OnPending);
    }

    /// Puts a held vCPU back where it was, and says where that is: while it was held its CPU may
    /// have found its bit and dropped it as stale, so after `Queued(cpu)` the caller pushes the slot
    /// into that CPU's mailbox again.
    #[must_use = "a vCPU that was queued must be pushed again"]
    pub fn give_back(self) -> Residence {
        let was = self.was.residence();
        self.end(was);
        was
    }

    fn end(self, to: Residence) {
        self.settle(to);
        core::mem::forget(self);
    }

    fn settle(&self, to: Residence) {
        let to = Packed::pack(self.generation(), to);
        // Release: pairs with the Acquire of `hold_as`; publishes the content. A plain store: while
        // a ticket holds the word, nobody else writes it.
        #[cfg(not(mutant = "ticket-relaxed"))]
        self.residency.word.store(to, Ordering::Release);
        #[cfg(mutant = "ticket-relaxed")]
        self.residency.word.store(to, Ordering::Relaxed);
    }
}

impl Drop for RunTicket<'_> {
    fn drop(&mut self) {
        let to = match self.was.residence() {
            Residence::Free => Residence::Free,
            Residence::Off => Residence::Off,
            _ => Residence::Parked,
        };
        self.settle(to);
    }
}

#[cfg(all(test, not(loom)))]
#[path = "residency_tests.rs"]
mod tests;
