//! A thousand VMs created and destroyed by all cores: one after the other, and as many at once as there can be.
//!
//! Scenario 28: resources not all given back, exhaustion.

use crate::{
    guest::{CODE, DATA, GICR, Program, RAM},
    outcome::{OrFail, TestResult, check_eq, refused},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{TestVm, insist, shape, take_patterned},
};
use abi::{InfoIndex, Status};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{PAGE, call, cpu};
use spin::mutex::SpinMutex;

register!("thousand": one_after_the_other, as_many_at_once_as_can_be);

/// VMs.
const VMS: u64 = 1000;

/// A VM that is started and never runs.
fn come_and_go() -> TestResult {
    let mut vm = TestVm::create(1)?;
    vm.put_code(Program::Puppet)?;
    vm.add_vcpu(0, CODE)?;
    vm.start()?;
    vm.destroy()
}

fn one_after_the_other(_: &mut Random) -> TestResult {
    // The first on each core splits the host's blocks, which stay split.
    team::everywhere(|_| come_and_go())?;
    let free = || call::engine_info(InfoIndex::FreePages).or_fail("ENGINE_INFO");
    let before = free()?;
    let begun = Arc::new(AtomicU64::new(0));
    team::everywhere(move |_| {
        // Relaxed: a number for each.
        while begun.fetch_add(1, Ordering::Relaxed) < VMS {
            come_and_go()?;
        }
        Ok(())
    })?;
    check_eq!(free()?, before, "free pages of the engine");
    Ok(())
}

/// VMs alive, by the core that made them, each with what its guest stored.
type Alive = Vec<SpinMutex<Vec<(TestVm, u64)>>>;

/// Creates VMs until `left` is used up; the guest of each stores a number of its own.
fn fill(alive: &Alive, core: usize, left: &AtomicU64) -> TestResult {
    let take = |left: u64| left.checked_sub(1);
    // Relaxed: a number for each.
    while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        let mut vm = puppet::start(1)?;
        let pa = take_patterned(1, PAGE)?;
        vm.donate(pa, DATA, 1)?;
        puppet::store_value(vm.vcpus[0], DATA, number)?;
        alive[core].lock().push((vm, number));
    }
    Ok(())
}

/// Each guest still has its number; then they go.
fn empty(alive: &Alive, core: usize) -> TestResult {
    let vms = core::mem::take(&mut *alive[core].lock());
    for (vm, number) in vms {
        let stored = puppet::load_value(vm.vcpus[0], DATA)?;
        check_eq!(stored, number, "what a guest finds");
        vm.destroy()?;
    }
    Ok(())
}

fn as_many_at_once_as_can_be(_: &mut Random) -> TestResult {
    let most = call::engine_info(InfoIndex::MaxVms).or_fail("ENGINE_INFO")?;
    let shape = shape(1, 0)?;
    let cores = cpu::all().len();
    let alive: Arc<Alive> = Arc::new((0..cores).map(|_| SpinMutex::default()).collect());
    for _ in 0..VMS.div_ceil(most) {
        let (made, left) = (alive.clone(), AtomicU64::new(most));
        team::everywhere(move |core| fill(&made, core, &left))?;
        let count: usize = alive.iter().map(|vms| vms.lock().len()).sum();
        check_eq!(count as u64, most, "VMs at once");
        let more = insist(|| call::vm_create(shape, GICR, (RAM, PAGE), (0, 0)));
        refused("one VM too many", more, Status::Limit)?;
        let made = alive.clone();
        team::everywhere(move |core| empty(&made, core))?;
    }
    Ok(())
}
