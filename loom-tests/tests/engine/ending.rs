//! The end of a VM against what its vCPUs and the host do with it on other cores.

use crate::HOST;
use abi::smccc;
use loom_tests::explore_large_engine;
use loom_tests::guest::GuestStep;
use loom_tests::host::Host;
use loom_tests::world::{Size, World};

/// One vCPU shares a page, another takes it back, and the host ends the VM: the page comes home once,
/// zero, and nobody reaches it otherwise.
#[test]
fn share_against_unshare_against_destroy() {
    explore_large_engine(|| {
        let size = Size {
            cores: 3,
            ..Size::with_vcpus(1, 2)
        };
        let steps = [
            GuestStep::CpuOn(1, 3),
            GuestStep::Hvc(smccc::KVM_MEM_SHARE, World::ipa(0)),
            GuestStep::Stop,
            GuestStep::Hvc(smccc::KVM_MEM_UNSHARE, World::ipa(0)),
        ];
        let (mut host, vm) = Host::with_vm(size);
        host.machine().guests().set_program(World::ipa(0), &steps);
        let vcpus = [0, 1].map(|affinity| host.create_vcpu_at(vm, affinity).expect("a slot"));
        host.map(vm, 0, 0).expect("the host's page");
        assert!(host.guest_store(vm, 0, 7));
        host.allow_both(0);
        host.start(vm).expect("nobody is building");
        host.enqueue(vcpus[0], 0).expect("it is on");
        host.run(0);
        host.enqueue(vcpus[0], 1).expect("it is queued");
        host.enqueue(vcpus[1], 2).expect("it is on");

        let sharing = host.on(1, |core| core.run(0));
        let unsharing = host.on(2, |core| core.run(0));
        host.destroy(vm).expect("it is there");
        sharing.join().unwrap();
        unsharing.join().unwrap();

        assert_eq!(host.reclaim_rest(vm), 1);
        assert_eq!((host.state(0), host.content(0)), (HOST, 0));
        host.check();
    });
}
