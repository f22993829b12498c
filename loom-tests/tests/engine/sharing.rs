//! The guest's calls about its own pages, against the host's accesses and the end of the VM.

use crate::{A, HOST};
use abi::{ExitReason, Status, VcpuHandle, VmHandle, smccc};
use loom_tests::explore_engine;
use loom_tests::guest::GuestStep;
use loom_tests::host::{Access, Host};
use loom_tests::world::World;

/// What the guest has written.
const CONTENT: u64 = 7;

/// A call of the guest's that the host answers.
const FOR_HOST: u64 = 0xc600_0080;

/// A guest whose page 0 is at address 0, and whose vCPU, on core 1's queue, makes these calls about
/// it.
fn guest(calls: &[u64]) -> (Host, VmHandle) {
    let (mut host, vm, vcpu) = caller(calls);
    host.enqueue(vcpu, 1).expect("it is parked");
    (host, vm)
}

fn caller(calls: &[u64]) -> (Host, VmHandle, VcpuHandle) {
    let steps: Vec<_> = calls
        .iter()
        .map(|function| GuestStep::Hvc(*function, World::ipa(0)))
        .collect();
    Host::with_guest(2, &steps, |host, vm| {
        host.map(vm, 0, 0).expect("the host's page");
        assert!(host.guest_store(vm, 0, CONTENT));
    })
}

/// The same guest, which has shared the page and is about to take it back. Its answer is that of
/// [`UNSHARED`].
fn sharing_guest() -> (Host, VmHandle) {
    let (mut host, vm, vcpu) = caller(&[smccc::KVM_MEM_SHARE, FOR_HOST, smccc::KVM_MEM_UNSHARE]);
    host.allow_both(0);
    host.enqueue(vcpu, 1).expect("it is parked");
    let shared = host.beside(move |other| {
        let exit = other.run(0);
        other.respond(vcpu).expect("it waits for that");
        exit
    });
    assert_eq!(shared.join().unwrap(), ExitReason::Call);
    assert_eq!(host.machine().guests().answer(0), Some(smccc::SUCCESS));
    (host, vm)
}

/// The step in which [`sharing_guest`] takes its page back.
const UNSHARED: usize = 2;

/// The guest shares a page while the host loads from it: the host is refused or sees what is there,
/// and afterwards it sees it.
#[test]
fn share_against_a_load_of_the_host() {
    explore_engine(2, || {
        let (mut host, _) = guest(&[smccc::KVM_MEM_SHARE]);
        host.allow_both(0);

        let sharing = host.beside(|other| other.run(0));
        let loaded = host.access(0, None);
        let exit = sharing.join().unwrap();

        assert!(
            matches!(loaded, Access::Denied | Access::Tried)
                || loaded == Access::Done(vec![CONTENT]),
            "{loaded:?}"
        );
        // The guest has nothing more to do.
        assert_eq!(exit, ExitReason::HostInterrupt);
        assert_eq!(host.machine().guests().answer(0), Some(smccc::SUCCESS));
        assert_eq!(host.access(0, None), Access::Done(vec![CONTENT]));
        host.check();
    });
}

/// The guest takes a shared page back while the host stores to it: the store lands before
/// MEM_UNSHARE returns, or never.
#[test]
fn unshare_against_a_store_of_the_host() {
    explore_engine(2, || {
        let (mut host, _) = sharing_guest();

        let unshare = |other: &mut Host| (other.run(0), other.content(0));
        let unsharing = host.beside(unshare);
        let stored = host.store(0, 8);
        let (_, mut kept) = unsharing.join().unwrap();
        if host.machine().guests().answer(UNSHARED).is_none() {
            // The page was busy until the host's timer fired. Nobody is in the way now.
            (_, kept) = host.beside(unshare).join().unwrap();
        }

        assert_eq!(
            host.machine().guests().answer(UNSHARED),
            Some(smccc::SUCCESS)
        );
        assert_eq!(host.state(0), A);
        assert_eq!(kept, host.content(0), "a store landed in a private page");
        assert!(stored || kept == CONTENT);
        assert_eq!(host.access(0, None), Access::Denied);
        host.check();
    });
}

/// The guest shares a page while its VM is destroyed and brought home: the page comes home, clean.
#[test]
fn share_against_reclaim() {
    against_reclaim(|| guest(&[smccc::KVM_MEM_SHARE]));
}

/// The same with a page that the host has mapped and the guest takes back.
#[test]
fn unshare_against_reclaim() {
    against_reclaim(|| {
        let (mut host, a) = sharing_guest();
        assert_eq!(host.access(0, None), Access::Done(vec![CONTENT]));
        (host, a)
    });
}

/// The same with a page that the guest gives back itself: it comes home once.
#[test]
fn relinquish_against_reclaim() {
    against_reclaim(|| guest(&[smccc::KVM_MEM_RELINQUISH]));
}

fn against_reclaim(caller: fn() -> (Host, VmHandle)) {
    explore_engine(2, move || {
        let (mut host, a) = caller();
        host.allow_both(0);
        let calling = host.beside(|other| other.run(0));
        host.destroy(a).expect("it is there");
        // Busy while the other core is inside.
        let reclaimed = host.reclaim(a, 1);
        let exit = calling.join().unwrap();

        let early = reclaimed.map_or(0, |(pages, _)| pages);
        let home = early + host.reclaim_rest(a);
        let gone = u64::from(exit == ExitReason::PageRelinquished);
        assert_eq!(home + gone, 1, "{reclaimed:?} {exit:?}");
        assert_eq!((host.state(0), host.content(0)), (HOST, 0));
        host.check();
    });
}

/// The guest gives a page back while the host maps another in its place: only after no core has the
/// old one any more.
#[test]
fn relinquish_against_map_there() {
    explore_engine(2, || {
        let (mut host, a) = guest(&[smccc::KVM_MEM_RELINQUISH]);

        let leaving = host.beside(|other| other.run(0));
        let mapped = host.map(a, 1, 0);
        let exit = leaving.join().unwrap();

        assert_eq!(exit, ExitReason::PageRelinquished);
        assert!(
            matches!(mapped, Ok(()) | Err(Status::Busy | Status::AlreadyMapped)),
            "{mapped:?}"
        );
        assert_eq!((host.state(0), host.content(0)), (HOST, 0));
        assert_eq!(host.state(1), if mapped.is_ok() { A } else { HOST });
        host.check();
    });
}
