//! INTIDs 0 to 31 of a vCPU under loom: sent by any core, withdrawn by any vCPU of the VM, moved by the
//! core that runs it. Is one lost, or taken twice, and does it bring what its sender wrote?

#![cfg(loom)]

use engine::gic::lr::ListRegister;
use engine::gic::sgi::Scope;
use engine::gic::{PrivateId, Runner, Shared};
use loom_tests::{Arc, explore, spawn};
use sync::{AtomicU64, Ordering};

/// Four list registers, five priority bits.
const VTR: u64 = 4 << 29 | 4 << 26 | 3;

type Inbox = Shared<1>;

fn sgi(intid: u64) -> PrivateId {
    PrivateId::new(intid).expect("an SGI")
}

fn raise(inbox: &Inbox, intid: u64) {
    assert!(inbox.private.raise_sgi(sgi(intid), Scope::BothGroups));
}

/// The guest runs once, and takes and ends all it finds; which they were.
fn play(runner: &mut Runner<1>, inbox: &Inbox) -> Vec<u64> {
    let _ = runner.fill(inbox);
    let lists = runner.ich.lr.iter().filter(|list| **list != 0);
    let taken = lists
        .map(|list| ListRegister::from_raw(*list).intid())
        .collect();
    runner.ich.lr.fill(0);
    runner.drain(inbox);
    taken
}

/// Two vCPUs send an SGI each while the third runs: each comes once.
#[test]
fn each_sgi_comes_once() {
    explore(3, || {
        let inbox = Arc::new(Inbox::new());
        let senders = [1, 2].map(|intid| {
            let inbox = inbox.clone();
            spawn(move || raise(&inbox, intid))
        });
        let mut runner = Runner::new(VTR);
        let mut taken = play(&mut runner, &inbox);
        for sender in senders {
            sender.join().unwrap();
        }
        taken.extend(play(&mut runner, &inbox));
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

/// Whoever takes an SGI finds what its sender wrote before.
#[test]
fn an_sgi_brings_what_was_written() {
    explore(2, || {
        let shared = Arc::new((Inbox::new(), AtomicU64::new(0)));
        let sender = spawn({
            let shared = shared.clone();
            move || {
                // Relaxed: the SGI is to order it.
                shared.1.store(7, Ordering::Relaxed);
                raise(&shared.0, 1);
            }
        });
        let mut runner = Runner::new(VTR);
        if play(&mut runner, &shared.0) == [1] {
            // Relaxed: as above.
            assert_eq!(shared.1.load(Ordering::Relaxed), 7, "the SGI came first");
        }
        sender.join().unwrap();
    });
}

/// A vCPU withdraws one SGI by the frames while another is sent and the runner collects: that other
/// comes once, and the one that is withdrawn at most once.
#[test]
fn withdrawn_beside_sent() {
    explore(3, || {
        let inbox = Arc::new(Inbox::new());
        raise(&inbox, 1);
        let withdrawing = spawn({
            let inbox = inbox.clone();
            move || inbox.private.clear_pending(sgi(1).bit())
        });
        let sending = spawn({
            let inbox = inbox.clone();
            move || raise(&inbox, 2)
        });
        let mut runner = Runner::new(VTR);
        let mut taken = play(&mut runner, &inbox);
        withdrawing.join().unwrap();
        sending.join().unwrap();
        taken.extend(play(&mut runner, &inbox));
        taken.sort_unstable();
        assert!(taken == [2] || taken == [1, 2], "{taken:?}");
    });
}
