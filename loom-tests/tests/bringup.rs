//! Cores that are started under loom: does whoever counts one see all that it has set up, is one
//! that came too late left out, and is all RAM cleared when that is said?

#![cfg(loom)]

use engine::engine::PageRun;
use engine::host::core::HostCore;
use engine::host::leftovers::Leftovers;
use engine::trap::psci::PowerState;
use loom_tests::{Arc, explore, spawn};
use ownership::Pfn;
use smp_boot::arrival::{Arrival, count};
use sync::{AtomicU64, Ordering};

/// A core and what it tells about itself before it says that it is there.
struct Core {
    arrival: Arrival,
    host: HostCore,
}

impl Core {
    fn new(affinity: u64) -> Self {
        Self {
            arrival: Arrival::default(),
            host: HostCore::new(affinity),
        }
    }

    /// What a started core does; does it go on?
    fn come(&self) -> bool {
        self.host.arrive();
        self.arrival.arrive()
    }
}

/// Two cores come while the first stops waiting: it counts those that go on and no other, and finds
/// what they have set up.
#[test]
fn arrival_against_giving_up() {
    explore(3, || {
        let cores = Arc::new([Core::new(1), Core::new(2)]);
        let coming = [0, 1].map(|index| {
            let cores = cores.clone();
            spawn(move || cores[index].come())
        });
        let counted = count(cores.iter().map(|core| &core.arrival));
        let settled = [0, 1].map(|index| {
            let has_come = cores[index].arrival.has_come();
            if has_come {
                assert_eq!(cores[index].host.power(), PowerState::Off, "counted unseen");
            } else {
                cores[index].host.leave_out();
            }
            has_come
        });
        assert_eq!(settled.iter().filter(|come| **come).count(), counted);
        for (core, has_come) in coming.into_iter().zip(settled) {
            assert_eq!(core.join().unwrap(), has_come, "counted wrongly");
        }
        for (core, has_come) in cores.iter().zip(settled) {
            let answer = core.host.release(1, 2);
            let expected = has_come.then_some(()).ok_or(PowerState::Absent);
            assert_eq!(answer, expected, "CPU_ON of a core that came too late");
        }
    });
}

/// Two cores clear two pieces of RAM and a third looks on: each piece is cleared once, and whoever is told that all
/// are sees it.
#[test]
fn leftovers_against_a_look() {
    const PIECE: u64 = 512;
    explore(3, || {
        let run = PageRun {
            first: Pfn::from_raw(0),
            pages: 2 * PIECE,
        };
        let left = Arc::new(Leftovers::new(&[run], heapless::Vec::new()));
        let times = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let clearing = [0, 1].map(|_| {
            let (left, times) = (left.clone(), times.clone());
            spawn(move || {
                while let Some(piece) = left.take(&[run]) {
                    // Relaxed: told by `finish`.
                    times[(piece.first.raw() / PIECE) as usize].fetch_add(1, Ordering::Relaxed);
                    left.finish();
                }
            })
        });
        let seen = |times: &[AtomicU64; 2]| [0, 1].map(|at| times[at].load(Ordering::Relaxed));
        if left.are_gone() {
            assert_eq!(seen(&times), [1, 1], "said to be cleared");
        }
        for core in clearing {
            core.join().unwrap();
        }
        assert!(left.are_gone());
        assert_eq!(seen(&times), [1, 1]);
    });
}
