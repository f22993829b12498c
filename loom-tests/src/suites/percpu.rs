//! Pins, vCPU residency and run queues under loom: is a vCPU ever on two cores, or on none?
//!
//! Numbers in comments are those of docs/scenarios.md.

use crate::{Arc, cpu, explore, spawn, token};
use loom::cell::UnsafeCell;
use percpu::{
    CpuToken, MAX_VCPUS, Mailbox, Padded, Pins, Residence, Resident, RunQueues, RunTicket, TurnOn,
    Wake,
};
use sync::{AtomicBool, AtomicU64, Ordering};

suite! {
    /// Makes the models of [`suites::percpu`](mod@crate::suites::percpu) tests of the crate that calls it.
    percpu_suite: percpu {
        a_pinned_vm_is_not_taken_apart,
        a_vcpu_is_never_on_two_cores_and_never_lost,
        what_is_handed_over_is_found,
        what_is_left_for_later_is_found,
        no_wake_up_is_lost,
        a_vcpu_that_runs_is_not_moved,
        cpu_on_against_cpu_on,
        cpu_on_against_cpu_off,
        a_stale_handle_does_not_reach_the_slot_s_next_vcpu,
        a_held_vcpu_is_not_lost,
        #[should_panic(expected = "a vCPU was lost")]
        a_held_vcpu_is_lost_if_not_pushed_again,
    }
}

/// The slots of the vCPUs in these models; they share one word of a mailbox.
const V: u16 = 0;
const W: u16 = 1;

/// Two cores, their mailboxes, and two vCPUs whose content counts how often they ran.
struct Cores {
    queues: RunQueues<Vec<Mailbox<1>>, 1>,
    vcpus: [Resident<u64>; 2],
    bell: AtomicBool,
}

/// The generation of each slot's first vCPU.
const FIRST: u64 = 1;

impl Cores {
    /// Both vCPUs as `set_up` leaves them.
    fn new(set_up: impl Fn(RunTicket<'_>)) -> Arc<Self> {
        let cores = Self {
            queues: RunQueues::new((0..2).map(|_| Mailbox::default()).collect()),
            vcpus: [Resident::new(0), Resident::new(0)],
            bell: AtomicBool::new(false),
        };
        for vcpu in &cores.vcpus {
            set_up(vcpu.residency().allocate(cpu(0)).expect("a fresh slot"));
        }
        Arc::new(cores)
    }

    fn vcpu(&self, slot: u16) -> &Resident<u64> {
        &self.vcpus[usize::from(slot)]
    }

    fn state(&self, slot: u16) -> Residence {
        self.vcpu(slot).residency().now().1
    }

    fn push(&self, to: u16, slot: u16) {
        if self.queues.push(cpu(to), slot).expect("in range") == Wake::Ring {
            // Relaxed: an interrupt; the model looks at it after everyone has ended.
            self.bell.store(true, Ordering::Relaxed);
        }
    }

    /// VCPU_ENQUEUE.
    fn enqueue(&self, slot: u16, to: u16) -> bool {
        let moved = self.vcpu(slot).residency().enqueue(FIRST, cpu(to)).is_ok();
        if moved {
            self.push(to, slot);
        }
        moved
    }

    /// One look into the mailbox and one run of each vCPU that is there for this core; how many ran.
    fn play(&self, token: &CpuToken) -> usize {
        let mut ran = 0;
        self.queues.drain(token, MAX_VCPUS, |slot| {
            if let Ok(mut ticket) = self.vcpu(slot).residency().take(token.id()) {
                self.run(slot, &mut ticket);
                ran += 1;
                ticket.park();
            }
        });
        ran
    }

    fn run(&self, slot: u16, ticket: &mut RunTicket<'_>) {
        self.vcpu(slot)
            .with(ticket, |runs| *runs += 1)
            .expect("its own ticket");
    }

    fn runs(&self, slot: u16) -> u64 {
        let mut ticket = self
            .vcpu(slot)
            .residency()
            .hold(FIRST, cpu(0))
            .expect("at rest");
        self.vcpu(slot)
            .with(&mut ticket, |runs| *runs)
            .expect("its own ticket")
    }
}

/// A call pins a VM and uses it; the destroyer takes it apart once nobody has it pinned (9, 18).
pub fn a_pinned_vm_is_not_taken_apart() {
    const KEY: u64 = 1;
    struct Vm {
        dying: AtomicBool,
        content: UnsafeCell<u64>,
    }
    // SAFETY: the content is touched under a pin or after nobody has one; loom checks.
    unsafe impl Sync for Vm {}
    // SAFETY: nothing in it belongs to a thread.
    unsafe impl Send for Vm {}
    explore(2, || {
        let vm = Arc::new(Vm {
            dying: AtomicBool::new(false),
            content: UnsafeCell::new(1),
        });
        let slots: Vec<_> = (0..2).map(|_| Padded::new(AtomicU64::new(0))).collect();
        let pins = Arc::new(Pins::new(slots));
        let call = spawn({
            let (vm, pins) = (vm.clone(), pins.clone());
            move || {
                let token = token(1);
                let pin = pins.pin(&token, KEY).expect("the first of this CPU");
                // Relaxed: the pin's fence orders it.
                if !vm.dying.load(Ordering::Relaxed) {
                    // SAFETY: pinned, and not dying after that; loom checks.
                    assert_eq!(vm.content.with_mut(|content| unsafe { *content }), 1);
                }
                drop(pin);
            }
        });
        // Relaxed: the fence in `holders` orders it.
        vm.dying.store(true, Ordering::Relaxed);
        if pins.holders(KEY).0 == 0 {
            // SAFETY: dying, and nobody pinned after that; loom checks.
            vm.content.with_mut(|content| unsafe { *content = 0 });
        }
        call.join().unwrap();
    });
}

/// A queued vCPU is moved to another core while both cores look for work.
pub fn a_vcpu_is_never_on_two_cores_and_never_lost() {
    explore(3, || {
        let cores = Cores::new(|ticket| ticket.park());
        assert!(cores.enqueue(V, 0));
        let zero = spawn({
            let cores = cores.clone();
            move || cores.play(&token(0))
        });
        let one = spawn({
            let cores = cores.clone();
            move || cores.play(&token(1))
        });
        let moved = cores.enqueue(V, 1);
        let ran = zero.join().unwrap() + one.join().unwrap();
        let later = cores.play(&token(0)) + cores.play(&token(1));
        assert_eq!(
            cores.state(V),
            Residence::Parked,
            "queued, and no core finds it"
        );
        // It may have run here, been parked, and been queued again there.
        assert!((1..=1 + usize::from(moved)).contains(&(ran + later)));
        assert_eq!(cores.runs(V), (ran + later) as u64);
    });
}

/// Two vCPUs are handed to a core while it empties its mailbox: none is dropped as stale.
pub fn what_is_handed_over_is_found() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.park());
        let host = spawn({
            let cores = cores.clone();
            move || {
                assert!(cores.enqueue(V, 0));
                assert!(cores.enqueue(W, 0));
            }
        });
        let ran = cores.play(&token(0));
        host.join().unwrap();
        assert_eq!(ran + cores.play(&token(0)), 2, "a vCPU was lost");
    });
}

/// A vCPU is handed to a core that takes nothing more now: what it saw and left, and what it did not see, is there
/// when it takes again, and until then it does not sleep.
pub fn what_is_left_for_later_is_found() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.park());
        assert!(cores.enqueue(W, 0));
        let host = spawn({
            let cores = cores.clone();
            move || assert!(cores.enqueue(V, 0))
        });
        let token = token(0);
        let is_more = cores
            .queues
            .drain(&token, 0, |_| panic!("more than it asked for"));
        assert!(is_more && !cores.queues.go_idle(&token));
        host.join().unwrap();
        assert_eq!(cores.play(&token), 2, "a vCPU was lost");
    });
}

/// A core runs out of work and sleeps while it is handed a vCPU: it finds it or is rung.
pub fn no_wake_up_is_lost() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.park());
        let host = spawn({
            let cores = cores.clone();
            move || assert!(cores.enqueue(V, 0))
        });
        let token = token(0);
        let mut ran = cores.play(&token);
        let asleep = ran == 0 && cores.queues.go_idle(&token);
        if ran == 0 && !asleep {
            ran = cores.play(&token);
        }
        host.join().unwrap();
        // Relaxed: everyone has ended.
        let rung = cores.bell.load(Ordering::Relaxed);
        assert!(ran == 1 || (asleep && rung), "it sleeps, and nobody rang");
    });
}

/// A core has taken a vCPU and puts it back on its own queue, while the host moves it away: the
/// host is refused, or the vCPU is where the host wanted it.
pub fn a_vcpu_that_runs_is_not_moved() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.requeue(cpu(0)));
        let running = spawn({
            let cores = cores.clone();
            move || {
                let Ok(mut ticket) = cores.vcpu(V).residency().take(cpu(0)) else {
                    return;
                };
                cores.run(V, &mut ticket);
                ticket.requeue(cpu(0));
            }
        });
        let moved = cores.enqueue(V, 1);
        running.join().unwrap();
        let home = Residence::Queued(cpu(u16::from(moved)));
        assert_eq!(cores.state(V), home);
        assert_eq!(cores.play(&token(1)), usize::from(moved));
    });
}

/// Two vCPUs of a VM turn on a third at once, while the host queues it and a core runs it: one
/// caller succeeds, and nobody runs it before its entry point is written (9, 26).
pub fn cpu_on_against_cpu_on() {
    explore(3, || {
        let cores = Cores::new(|ticket| ticket.turn_off());
        let turn_on =
            |cores: &Cores, from| match cores.vcpu(V).residency().turn_on(FIRST, cpu(from)) {
                TurnOn::Won(mut ticket) => {
                    cores
                        .vcpu(V)
                        .with(&mut ticket, |entry| *entry += 100)
                        .expect("its own ticket");
                    ticket.pend();
                    true
                }
                TurnOn::OnPending => false,
                TurnOn::AlreadyOn => {
                    let after = cores.state(V);
                    let pending = matches!(after, Residence::Starting(_) | Residence::OnPending);
                    assert!(!pending, "on, then pending");
                    false
                }
                TurnOn::Gone | TurnOn::Busy => panic!("it exists, and nobody turns it off"),
            };
        let second = spawn({
            let cores = cores.clone();
            move || turn_on(&cores, 1)
        });
        let host = spawn({
            let cores = cores.clone();
            move || {
                if cores.enqueue(V, 0) {
                    cores.play(&token(0))
                } else {
                    0
                }
            }
        });
        let first = turn_on(&cores, 0);
        assert!(
            first != second.join().unwrap(),
            "both turned it on, or none"
        );
        let ran = host.join().unwrap();
        if ran == 1 {
            assert_eq!(
                cores.runs(V),
                101,
                "it ran before its entry point was written"
            );
        } else {
            assert_eq!(cores.state(V), Residence::OnPending);
        }
    });
}

/// A running vCPU turns itself off while another turns it on: on only after it was off.
pub fn cpu_on_against_cpu_off() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.requeue(cpu(0)));
        let itself = spawn({
            let cores = cores.clone();
            move || {
                let mut ticket = cores.vcpu(V).residency().take(cpu(0)).expect("queued here");
                cores.run(V, &mut ticket);
                ticket.turn_off();
            }
        });
        let won = match cores.vcpu(V).residency().turn_on(FIRST, cpu(1)) {
            TurnOn::Won(mut ticket) => {
                cores.run(V, &mut ticket);
                ticket.pend();
                true
            }
            TurnOn::AlreadyOn => false,
            _ => panic!("it was on, or is off"),
        };
        itself.join().unwrap();
        assert_eq!(
            cores.state(V),
            if won {
                Residence::OnPending
            } else {
                Residence::Off
            }
        );
    });
}

/// A vCPU is destroyed and its slot used again while someone still has its handle: the new vCPU is
/// left alone (28).
pub fn a_stale_handle_does_not_reach_the_slot_s_next_vcpu() {
    explore(2, || {
        let cores = Cores::new(|ticket| ticket.park());
        let holder = spawn({
            let cores = cores.clone();
            move || cores.enqueue(V, 1)
        });
        let residency = cores.vcpu(V).residency();
        if residency.free(FIRST).is_ok() {
            let next = residency.allocate(cpu(0)).expect("just freed");
            assert_ne!(next.generation(), FIRST);
            next.park();
            holder.join().unwrap();
            assert_eq!(
                cores.state(V),
                Residence::Parked,
                "queued by a stale handle"
            );
        } else {
            assert!(
                holder.join().unwrap(),
                "only the holder's success makes `free` miss"
            );
        }
    });
}

/// What VCPU_RESPOND does after it has held a queued vCPU.
#[derive(Clone, Copy)]
enum GiveBack {
    PushAgain,
    Nothing,
}

fn respond_against_take(give_back: GiveBack) {
    explore(2, move || {
        let cores = Cores::new(|ticket| ticket.park());
        assert!(cores.enqueue(V, 0));
        let core = spawn({
            let cores = cores.clone();
            move || cores.play(&token(0))
        });
        if let Ok(mut ticket) = cores.vcpu(V).residency().hold(FIRST, cpu(1)) {
            cores
                .vcpu(V)
                .with(&mut ticket, |_| {})
                .expect("its own ticket");
            if let (Residence::Queued(home), GiveBack::PushAgain) = (ticket.give_back(), give_back)
            {
                cores.push(home.raw(), V);
            }
        }
        let ran = core.join().unwrap();
        assert_eq!(ran + cores.play(&token(0)), 1, "a vCPU was lost");
    });
}

/// The host answers a queued vCPU's exit while its core is about to run it.
pub fn a_held_vcpu_is_not_lost() {
    respond_against_take(GiveBack::PushAgain);
}

/// The twin: its core dropped the bit while it was held, and nobody pushes it again.
pub fn a_held_vcpu_is_lost_if_not_pushed_again() {
    respond_against_take(GiveBack::Nothing);
}
