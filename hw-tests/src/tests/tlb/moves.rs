//! A vCPU that goes from core to core, and comes back, finds what is there now, not what it found there before.
//!
//! At each stop its page may be another one; it is read by its own address and through the guest's tables.
//! Two vCPUs of one VM with tables of their own and the same ASID take turns on a core.
//! QEMU drops a core's translations at each change of VMID, hence between any two runs: what TLBs keep meanwhile
//! waits for real hardware.

use crate::{
    guest::{MAILBOX, PAGING, Program, WINDOW},
    outcome::{self, TestResult, check, check_eq, complete},
    paging::{self, ALIAS},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{ALL, TestVm, fill, insist},
};
use abi::{VcpuHandle, psci};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering};
use el1::{PAGE, call, cpu};

register!("tlb::moves": from_core_to_core, two_vcpus_on_a_core);

/// Stops on the way.
const STOPS: usize = 48;
/// The host's pages that take turns.
const PAGES: usize = 3;
/// [`AtomicUsize`] of a way that was given up.
const GIVEN_UP: usize = usize::MAX;

/// What the host's page number `index` holds.
const fn content(index: usize) -> u64 {
    0x1357_0000 + index as u64
}

/// One stop: the core, and the page that the guest has from then on.
#[derive(Clone, Copy, Debug)]
struct Stop {
    core: usize,
    page: usize,
}

/// The guest's page becomes another, and the guest reads it in two ways.
fn visit(vm: &TestVm, has: usize, stop: Stop, homes: &[u64]) -> TestResult {
    let vcpu = vm.vcpus[0];
    if stop.page != has {
        let taken = insist(|| call::vm_unlend(vm.handle, MAILBOX, 1));
        complete("VM_UNLEND", taken, 1)?;
        let lent = insist(|| call::vm_lend(vm.handle, homes[stop.page], MAILBOX, 1, ALL));
        complete("VM_LEND", lent, 1)?;
    }
    for address in [MAILBOX, ALIAS] {
        let value = puppet::load_value(vcpu, address)?;
        check_eq!(value, content(stop.page), "{address:#x} at {stop:?}");
    }
    Ok(())
}

fn from_core_to_core(random: &mut Random) -> TestResult {
    if cpu::all().len() == 1 {
        return Err(outcome::Stop::Skip(String::from("one core")));
    }
    let mut vm = puppet::start(1)?;
    // Every page is lent at its own place too, so that the VM's end gives it back.
    let mut homes = Vec::new();
    for index in 0..PAGES {
        let pa = vm.lend(WINDOW + (1 + index as u64) * PAGE)?;
        fill(pa, 1, content(index));
        homes.push(pa);
    }
    let lent = insist(|| call::vm_lend(vm.handle, homes[0], MAILBOX, 1, ALL));
    complete("VM_LEND", lent, 1)?;
    paging::prepare(&mut vm, MAILBOX)?;
    let reply = puppet::step(vm.vcpus[0], [PAGING, paging::ROOT, 0, 0])?;
    check_eq!(reply.esr, 0, "the MMU");
    let cores = cpu::all().len() as u64;
    let way: Vec<Stop> = (0..STOPS)
        .map(|_| Stop {
            core: random.below(cores) as usize,
            page: random.below(PAGES as u64) as usize,
        })
        .collect();
    let vm = Arc::new(vm);
    let (traveller, reached) = (vm.clone(), AtomicUsize::new(0));
    team::everywhere(move |core| {
        let mut has = 0;
        for (number, stop) in way.iter().enumerate() {
            if stop.core == core {
                // Acquire: pairs with the Release below; the vCPU waits for its next step.
                let come = || reached.load(Ordering::Acquire) >= number;
                check!(team::wait_for(come), "stop {number} is not reached");
                // Acquire: as above.
                if reached.load(Ordering::Acquire) == GIVEN_UP {
                    return Ok(());
                }
                let result = visit(&traveller, has, *stop, &homes);
                let next = if result.is_ok() { number + 1 } else { GIVEN_UP };
                // Release: pairs with the Acquire above.
                reached.store(next, Ordering::Release);
                team::rouse();
                result?;
            }
            has = stop.page;
        }
        Ok(())
    })?;
    match Arc::into_inner(vm) {
        Some(vm) => vm.destroy(),
        None => Err(crate::outcome::Stop::Fail("the VM is still in use".into())),
    }
}

/// Another table of the first level than [`paging::ROOT`], and what follows it.
const OTHER_ROOT: u64 = WINDOW + 0x90_000;

/// The VM's second vCPU has its first GiBs as the first one, and its alias through tables of its own to another
/// page.
fn prepare_other(vm: &mut TestVm, target: u64) -> TestResult {
    let (root, middle) = (vm.lend(OTHER_ROOT)?, vm.lend(OTHER_ROOT + PAGE)?);
    let leaves = vm.lend(OTHER_ROOT + 2 * PAGE)?;
    paging::link(root, OTHER_ROOT + PAGE);
    paging::point(middle, 0, OTHER_ROOT + 2 * PAGE);
    paging::aim(leaves, target);
    Ok(())
}

/// Loads through the alias by the vCPUs in turn.
fn in_turn(vcpus: &[VcpuHandle]) -> TestResult {
    for _ in 0..STOPS {
        for (index, vcpu) in vcpus.iter().enumerate() {
            let value = puppet::load_value(*vcpu, ALIAS)?;
            check_eq!(value, content(index), "what vCPU {index} reads");
        }
    }
    Ok(())
}

fn two_vcpus_on_a_core(_: &mut Random) -> TestResult {
    let mut vm = puppet::start(2)?;
    let targets = [MAILBOX, MAILBOX + PAGE];
    for (index, target) in targets.into_iter().enumerate() {
        fill(vm.lend(target)?, 1, content(index));
    }
    paging::prepare(&mut vm, targets[0])?;
    prepare_other(&mut vm, targets[1])?;
    let entry = Program::Puppet.entry();
    puppet::hvc(vm.vcpus[0], [psci::CPU_ON_64, 1, entry, 0])?;
    vm.enqueue(1)?;
    puppet::collect(vm.vcpus[1])?;
    for (vcpu, root) in vm.vcpus.iter().zip([paging::ROOT, OTHER_ROOT]) {
        let reply = puppet::step(*vcpu, [PAGING, root, 0, 0])?;
        check_eq!(reply.esr, 0, "the MMU");
    }
    in_turn(&vm.vcpus)?;
    vm.destroy()
}
