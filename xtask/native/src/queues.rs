//! A vCPU woken on a core's queue, played there, and parked: by the project's residency words and mailboxes; and
//! which vCPU on which core.
//!
//! The first 64 vCPUs are all cores', the others one core's each.
//!
//! Invariant: after an operation its vCPU is parked, or queued where its queue's core will find it.

use crate::MAX_CORES;
use crate::random::Random;
use crate::subject::{Outcome, Subject, Workload};
use percpu::{CpuId, CpuToken, Mailbox, Order, Padded, Residency, RunQueues};

/// vCPUs that all cores wake.
const SHARED: u16 = 64;
/// vCPUs in all.
pub const VCPUS: u16 = SHARED + MAX_CORES;

/// A vCPU, the core on whose queue it is put, and whether who did that takes it home to play it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    /// The vCPU.
    pub vcpu: u16,
    /// The core.
    pub on: u16,
    /// Is it moved to the waker's own queue at once, as work is stolen?
    pub then_home: bool,
}

/// Which vCPUs on which queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queues {
    /// The core's own vCPU on its own queue.
    Own,
    /// The same, but every tenth time one of 64 that all cores wake, on anybody's queue.
    TenthShared,
    /// The core's own vCPU on core 0's queue, and home from there.
    OneQueue,
}

impl Queues {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Own, Self::TenthShared, Self::OneQueue];
}

impl Workload for Queues {
    type Target = Wake;

    fn name(self) -> &'static str {
        match self {
            Self::Own => "own-queue",
            Self::TenthShared => "tenth-shared",
            Self::OneQueue => "one-queue",
        }
    }

    fn next(self, core: u16, cores: u16, random: &mut Random) -> Wake {
        let own = Wake {
            vcpu: SHARED + core,
            on: core,
            then_home: false,
        };
        match self {
            Self::TenthShared if random.below(10) == 0 => Wake {
                vcpu: random.below(u64::from(SHARED)) as u16,
                on: random.below(u64::from(cores)) as u16,
                ..own
            },
            Self::Own | Self::TenthShared => own,
            Self::OneQueue => Wake {
                on: 0,
                then_home: true,
                ..own
            },
        }
    }
}

/// The project's queues, and vCPUs that are on.
#[derive(Debug)]
pub struct Mailboxes {
    queues: RunQueues<Box<[Mailbox]>>,
    /// With their generations.
    vcpus: Box<[(Padded<Residency>, u64)]>,
}

impl Default for Mailboxes {
    fn default() -> Self {
        let vcpu = || {
            let residency = Padded::new(Residency::default());
            let ticket = residency.allocate(id(0)).expect("a slot is free at first");
            let generation = ticket.generation();
            ticket.park();
            (residency, generation)
        };
        Self {
            queues: RunQueues::new((0..MAX_CORES).map(|_| Mailbox::default()).collect()),
            vcpus: (0..VCPUS).map(|_| vcpu()).collect(),
        }
    }
}

fn id(core: u16) -> CpuId {
    CpuId::new(core).expect("there are so many")
}

/// What a core has to itself.
#[derive(Debug)]
pub struct Core {
    token: CpuToken,
    order: Order,
}

impl Mailboxes {
    /// Queues a vCPU that nobody plays, as VCPU_ENQUEUE does.
    fn wake(&self, vcpu: u16, on: u16) -> Outcome {
        let (residency, generation) = &self.vcpus[usize::from(vcpu)];
        if residency.enqueue(*generation, id(on)).is_err() {
            return Outcome::Refused;
        }
        let rung = self.queues.push(id(on), vcpu);
        assert!(rung.is_some(), "there is such a queue, and such a slot");
        Outcome::Done
    }

    /// Plays all that is on the core's queue, as CPU_RUN does with vCPUs that wait at once.
    fn run(&self, core: &mut Core) {
        let Core { token, order } = core;
        self.queues.leave_idle(token);
        self.queues.drain(token, percpu::MAX_VCPUS, |slot| {
            order.push_back(slot);
        });
        while let Some(slot) = order.pop_front() {
            // A bit may be stale: the vCPU went elsewhere.
            if let Ok(ticket) = self.vcpus[usize::from(slot)].0.take(token.id()) {
                ticket.park();
            }
        }
    }
}

impl Subject for Mailboxes {
    type Core = Core;
    type Target = Wake;

    fn core(&self, number: u16) -> Core {
        // SAFETY: the thread plays this core, one at a time of each, and no area is reached by the token.
        let token = unsafe { CpuToken::new(id(number)) };
        Core {
            token,
            order: Order::default(),
        }
    }

    fn operate(&self, core: &mut Core, on: Wake) -> Outcome {
        let outcome = self.wake(on.vcpu, on.on);
        let home = core.token.id().raw();
        if outcome == Outcome::Done && on.then_home && on.on != home {
            // Refused, it is being played where it was.
            let _ = self.wake(on.vcpu, home);
        }
        self.run(core);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percpu::Residence;

    fn residence(queues: &Mailboxes, vcpu: u16) -> Residence {
        queues.vcpus[usize::from(vcpu)].0.now().1
    }

    #[test]
    fn what_is_woken_is_played_at_home() {
        let queues = Mailboxes::default();
        for workload in [Queues::Own, Queues::OneQueue] {
            let mut core = queues.core(3);
            let on = workload.next(3, 8, &mut Random::of_core(3));
            assert_eq!(queues.operate(&mut core, on), Outcome::Done);
            assert_eq!(residence(&queues, on.vcpu), Residence::Parked);
        }
    }

    #[test]
    fn what_is_woken_elsewhere_waits_there_and_what_is_played_is_refused() {
        let queues = Mailboxes::default();
        let on = Wake {
            vcpu: 1,
            on: 2,
            then_home: false,
        };
        assert_eq!(queues.operate(&mut queues.core(0), on), Outcome::Done);
        assert_eq!(residence(&queues, 1), Residence::Queued(id(2)));
        let ticket = queues.vcpus[1].0.take(id(2)).unwrap();
        assert_eq!(queues.operate(&mut queues.core(0), on), Outcome::Refused);
        ticket.park();
    }
}
