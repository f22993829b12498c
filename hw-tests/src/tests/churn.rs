//! VMs come and go without end: nothing is lost.
//!
//! Scenario 28: resources not all given back, exhaustion. Scenario 5: tables freed and used again.

use crate::{
    guest::{CODE, DATA, Program},
    outcome::{OrFail, TestResult, check, check_eq, refused},
    puppet,
    random::Random,
    runner::register,
    vm::{TestVm, destroy, insist, shape, take_patterned},
};
use abi::{InfoIndex, Status};
use alloc::vec::Vec;
use el1::{PAGE, call};

register!("churn": many_small_vms, as_many_vms_as_fit, half_built_vms);

/// VMs made one after the other.
const VMS: u64 = 200;

fn free_pages() -> TestResult<u64> {
    call::engine_info(InfoIndex::FreePages).or_fail("ENGINE_INFO")
}

/// A VM that runs a little, takes pages and goes.
fn live_and_die(random: &mut Random) -> TestResult {
    let mut vm = puppet::start(1 + random.below(4) as u16)?;
    let pa = take_patterned(1, PAGE)?;
    let ipa = DATA + random.below(4096) * PAGE;
    vm.donate(pa, ipa, 1)?;
    puppet::store_value(vm.vcpus[0], ipa, random.next())?;
    vm.destroy()
}

fn many_small_vms(random: &mut Random) -> TestResult {
    // The first ones split the host's blocks, which stay split.
    for _ in 0..8 {
        live_and_die(random)?;
    }
    let before = free_pages()?;
    for _ in 0..VMS {
        live_and_die(random)?;
    }
    check_eq!(free_pages()?, before, "free pages of the engine");
    Ok(())
}

fn as_many_vms_as_fit(_: &mut Random) -> TestResult {
    let most = call::engine_info(InfoIndex::MaxVms).or_fail("ENGINE_INFO")?;
    let mut vms = Vec::new();
    // One is the victim in front of which this is played.
    for _ in 1..most {
        vms.push(TestVm::create(1)?);
    }
    let shape = shape(1, 0)?;
    let (gicr, ram) = (crate::guest::GICR, crate::guest::RAM);
    let more = insist(|| call::vm_create(shape, gicr, (ram, PAGE), (0, 0)));
    refused("one VM too many", more, Status::Limit)?;
    let handles: Vec<u64> = vms.iter().map(|vm| vm.handle.raw()).collect();
    for vm in vms {
        vm.destroy()?;
    }
    let again = TestVm::create(1)?;
    check!(!handles.contains(&again.handle.raw()), "a handle came back");
    again.destroy()
}

/// VMs that are destroyed at each stage of their making.
fn half_built_vms(random: &mut Random) -> TestResult {
    for stage in 0..4 {
        let mut vm = TestVm::create(2)?;
        if stage > 0 {
            vm.put_code(Program::Puppet)?;
        }
        if stage > 1 {
            vm.add_vcpu(random.below(1 << 16), CODE)?;
        }
        if stage > 2 {
            vm.start()?;
        }
        let handle = vm.handle;
        vm.destroy()?;
        refused("VM_DESTROY", call::vm_destroy(handle), Status::BadHandle)?;
        check!(destroy(handle).is_err(), "destroyed twice");
    }
    Ok(())
}
