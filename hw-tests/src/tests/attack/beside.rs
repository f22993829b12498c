//! Attacks beside a guest that is at work: it counts on the second core for as long as the first one attacks, and
//! goes on.

use crate::{
    guest::WINDOW,
    outcome::{OrFail, Stop, TestResult, check},
    puppet, team,
    vm::{destroyed, insist, run},
};
use abi::VcpuHandle;
use alloc::string::String;
use el1::{call, cpu};

/// The second core, or a skip.
pub fn second_core() -> TestResult<u64> {
    match cpu::all().len() {
        1 => Err(Stop::Skip(String::from("one core"))),
        _ => Ok(team::engine_cpu(1)),
    }
}

/// Has the first core do `work`, about that vCPU, while the second plays a guest with `step`, which counts in the
/// first word at [`WINDOW`] for ever.
pub fn beside_a_guest(
    step: [u64; 4],
    work: impl Fn(VcpuHandle) -> TestResult + Send + Sync + 'static,
) -> TestResult {
    let second = second_core()?;
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let (handle, vcpu, counter) = (vm.handle, vm.vcpus[0], vm.lend(WINDOW)?);
    puppet::give(vcpu, step)?;
    insist(|| call::vcpu_enqueue(vcpu, second)).or_fail("VCPU_ENQUEUE")?;
    team::everywhere(move |index| match index {
        0 => {
            // SAFETY: a lent page of the host's.
            let count = || unsafe { (counter as *const u64).read_volatile() };
            check!(team::wait_for(|| count() > 0), "the guest does not run");
            work(vcpu)?;
            let before = count();
            check!(
                team::wait_for(|| count() > before),
                "the guest does not go on"
            );
            destroyed(handle)
        }
        1 => run().map(drop),
        _ => Ok(()),
    })?;
    vm.destroy()
}
