//! What needs several cores, or counts of more than instructions: told by windows for the plugin of
//! `cargo xtask bench --cores`.
//!
//! Each test prints, for each core and in the order of that core's windows, how many of them are of which case.
//! Invariant: a window holds one operation's work on that core and none of another's.

use crate::{
    guest::{CALL, DATA, Gadget, Program, TURNS, WINDOW},
    measure,
    outcome::{OrFail, Stop, TestResult, check_eq, complete},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{ALL, TestVm, fill, insist, take_patterned},
};
use abi::{Call, Status, VmMapArgs, psci};
use alloc::{string::String, sync::Arc, vec::Vec};
use el1::{
    PAGE,
    call::{self, Batch},
    cpu, pages, println,
};
use spin::mutex::SpinMutex;

register!("bench_several": guest_ipi, donate_4k_each, broadcasts_list);

/// The windows that follow on this core: so many, of this case, together about so many things.
fn tell(case: &str, core: usize, windows: u64, things: u64) {
    println!(
        "@cores {{\"case\":\"{case}\",\"core\":{core},\"windows\":{windows},\"things\":{things}}}"
    );
}

/// An SGI from a vCPU to another one, which runs on another core.
fn guest_ipi(_: &mut Random) -> TestResult {
    if cpu::all().len() < 2 {
        return Err(Stop::Skip(String::from("one core")));
    }
    let mut vm = puppet::start(2)?;
    vm.put_gadgets()?;
    vm.lend(WINDOW)?;
    let entry = Program::Puppet.entry();
    puppet::hvc(vm.vcpus[0], [psci::CPU_ON_64, 1, entry, 0])?;
    let vm = Arc::new(vm);
    let job = vm.clone();
    team::everywhere(move |core| {
        match core {
            0 => {
                let step = [CALL, Gadget::SendSgis.ipa(), 1 << 1, WINDOW];
                puppet::step(job.vcpus[0], step)?;
            }
            1 => {
                job.enqueue(1)?;
                puppet::collect(job.vcpus[1])?;
                puppet::step(job.vcpus[1], [CALL, Gadget::TakeSgis.ipa(), WINDOW, 0])?;
            }
            _ => {}
        }
        Ok(())
    })?;
    tell("guest_ipi_sender", 0, TURNS, TURNS);
    tell("guest_ipi_receiver", 1, TURNS, TURNS);
    match Arc::into_inner(vm) {
        Some(vm) => vm.destroy(),
        None => Err(Stop::Fail("the VM is still in use".into())),
    }
}

/// Pages that each core gives.
const EACH: u64 = 16;

/// Each core gives single pages of its own to a VM of its own, all at once; how many calls that took.
fn give_own(core: usize) -> TestResult<u64> {
    let mut vm = TestVm::create(1)?;
    // Of a 2 MiB that nobody else has: cores share no page of page words.
    let pa = take_patterned(EACH + 1, 2 << 20)?;
    vm.donate(pa, DATA, 1)?;
    vm.own(pa + PAGE, EACH);
    let mut calls = 0;
    for index in 1..=EACH {
        let arguments = VmMapArgs {
            vm: vm.handle,
            pa: pa + index * PAGE,
            ipa: DATA + index * PAGE,
            n: 1,
            attrs: ALL.bits(),
        }
        .to_registers();
        let done = insist(|| {
            calls += 1;
            measure::call(Call::VmMap, &arguments).1
        });
        check_eq!(done, Ok([1, 0]), "VM_MAP on core {core}");
    }
    vm.destroy()?;
    Ok(calls)
}

fn donate_4k_each(_: &mut Random) -> TestResult {
    let all: Arc<SpinMutex<Vec<(usize, u64)>>> = Arc::default();
    let job = all.clone();
    team::everywhere(move |core| {
        let calls = give_own(core)?;
        job.lock().push((core, calls));
        Ok(())
    })?;
    for (core, calls) in all.lock().iter() {
        tell("donate_4k_each", *core, *calls, EACH);
    }
    Ok(())
}

/// Pages of a list or run, fewer than those for which the whole VM is flushed.
const FEW: u64 = 16;

/// VM_MAP_LIST of every other page from `pa` on, to places from `ipa` on.
fn give_list(vm: &TestVm, list: u64, pa: u64, ipa: u64) -> Result<Batch, Status> {
    for index in 0..FEW {
        let entry = list + index * 16;
        // SAFETY: the page is the caller's; a list entry is two words (abi: VM_MAP_LIST).
        unsafe {
            (entry as *mut u64).write_volatile(pa + 2 * index * PAGE);
            ((entry + 8) as *mut u64).write_volatile((ipa + index * PAGE) | ALL.bits());
        }
    }
    measure::begin_window();
    let done = call::vm_map_list(vm.handle, list, FEW);
    measure::end_window();
    done
}

/// Broadcast TLBIs of pages that leave the host: scattered, in one run, and not touched since they came home.
fn broadcasts_list(_: &mut Random) -> TestResult {
    let list = pages::take(1, PAGE).or_fail("a page for the list")?;
    let pa = take_patterned(3 * FEW + 1, 2 << 20)?;
    let run = pa + 2 * FEW * PAGE;
    for case in ["touched", "untouched"] {
        let vm = TestVm::create(1)?;
        // The guest's tables, and the host's where it is in a block.
        let first = insist(|| call::vm_map(vm.handle, run + FEW * PAGE, DATA, 1, ALL));
        complete("VM_MAP", first, 1)?;
        complete("VM_MAP_LIST", give_list(&vm, list, pa, DATA + PAGE), FEW)?;
        let ipa = DATA + (1 + FEW) * PAGE;
        measure::begin_window();
        let done = call::vm_map(vm.handle, run, ipa, FEW, ALL);
        measure::end_window();
        complete("VM_MAP", done, FEW)?;
        match case {
            "touched" => {
                tell("broadcasts_scattered", 0, 1, FEW);
                tell("broadcasts_run", 0, 1, FEW);
            }
            _ => {
                tell("broadcasts_untouched", 0, 2, 2 * FEW);
            }
        }
        // The pages come home, and nobody looks at them.
        vm.destroy()?;
    }
    fill(pa, 3 * FEW + 1, 0);
    // SAFETY: taken above, home again, and unused.
    unsafe {
        pages::give(pa, 3 * FEW + 1);
        pages::give(list, 1);
    }
    Ok(())
}
