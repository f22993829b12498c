//! Memory comes home: at the end of the run all that is left, by several cores at once; of a guest
//! that met its fate while the others run on. At the end all of it is looked at.
//!
//! Invariants: a guest's memory is reclaimed after every core's attacks, as those must not find it
//! the host's; a page is read, and used again, only at the end, when its VM's slot is free and all
//! of its pages are the host's, but for those that the engine found broken and keeps from everyone.

use crate::{host::Host, memory, run};
use abi::{Counter, InfoIndex, PageClass, Status, VmHandle};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use el1::{PAGE, Range, call, irq, pages, println, timer};

/// Cores that reclaim together.
const HELPERS: usize = 16;
/// Calls in a row that bring nothing home, after which others are let go first.
const IDLE_CALLS: u32 = 64;
/// Milliseconds the other cores get to leave the guests, and the helpers to finish.
const PATIENCE: u64 = 120_000;

/// The VMs and where their memory came from.
fn list_vms(host: &Host) -> Vec<(VmHandle, Vec<Range>)> {
    let guests = host
        .guests
        .iter()
        .map(|guest| (guest.vm, guest.ram.lock().donated().to_vec()));
    guests
        .chain([(host.churn.vm, host.churn.donated())])
        .collect()
}

/// A secondary's part.
pub fn help(host: &Host) {
    timer::disarm();
    // Acquire: pairs with the Release in `finish`, whose SGI ends the sleep; every core has left
    // the guests.
    sleep_until(|| host.reclaiming.load(Ordering::Acquire));
    if el1::cpu::this().index < HELPERS {
        reclaim_all(host);
        return;
    }
    // A core that still has vCPUs in its queue is not turned off: their slots go first. Relaxed:
    // nothing is read by it.
    sleep_until(|| host.reclaimed.load(Ordering::Relaxed) > 0);
}

/// Sleeps until an SGI comes and `condition` holds.
fn sleep_until(condition: impl Fn() -> bool) {
    while !condition() {
        irq::wait(&condition);
    }
}

/// What was found of the pages that guests had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns {
    /// Came home and were not zero.
    pub dirty: u64,
    /// Have a memory error and stay away.
    pub broken: u64,
}

/// The boot core's part: all memory home, and looked at.
pub fn finish(host: &Host) -> Returns {
    // Acquire: pairs with the Release in `Host::enter_core`; who is there is seen.
    let cores = host.online.load(Ordering::Acquire);
    let helpers = (0..HELPERS).filter(|core| host.is_there(*core)).count();
    // Acquire: pairs with the Release in `run::run_core`.
    wait_for(|| host.arrived.load(Ordering::Acquire) >= cores);
    let vms = list_vms(host);
    for (vm, _) in &vms {
        destroy(*vm);
    }
    // Release: pairs with the Acquire in `help`.
    host.reclaiming.store(true, Ordering::Release);
    host.wake_all();
    reclaim_all(host);
    // Acquire: pairs with the Release in `reclaim_all`.
    wait_for(|| host.reclaimed.load(Ordering::Acquire) >= helpers);
    host.wake_all();

    let any_broken = has_broken_pages();
    let (mut home, mut returns) = (0, Returns::default());
    for run in vms.iter().flat_map(|(_, runs)| runs) {
        if !any_broken {
            home += run.size / PAGE;
            // SAFETY: the VM's slot is free: its pages are the host's alone again.
            returns.dirty += unsafe { take_back(run.start, run.size / PAGE) };
            continue;
        }
        for page in (run.start..run.start + run.size).step_by(PAGE as usize) {
            if is_ours(page) {
                home += 1;
                // SAFETY: as above, and the engine says so.
                returns.dirty += unsafe { take_back(page, 1) };
            } else {
                returns.broken += 1;
            }
        }
    }
    let Returns { dirty, broken } = returns;
    println!("host: {home} pages came home, {dirty} of them not zero; {broken} are broken");
    returns
}

/// Looks at pages that came home, and lets them be used again: how many are not zero.
///
/// # Safety
/// They are the host's alone, came from the allocator, and nobody uses them.
unsafe fn take_back(start: u64, count: u64) -> u64 {
    // SAFETY: by this function's contract.
    let dirty = unsafe { memory::count_dirty(start, count) };
    // SAFETY: as above.
    unsafe { pages::give(start, count) };
    dirty
}

/// Did the engine take any page out of circulation? If not, none of them need be asked for.
fn has_broken_pages() -> bool {
    let cpus = call::engine_info(InfoIndex::Cpus).unwrap_or(0);
    (0..cpus).any(|cpu| call::stats_read(cpu, Counter::PagesPoisoned.raw()) != Ok(0))
}

/// Is the page the host's alone? A read of one with a memory error would be an abort.
fn is_ours(page: u64) -> bool {
    call::page_info(page).is_ok_and(|(class, _)| class == PageClass::Host.raw())
}

fn wait_for(condition: impl Fn() -> bool) {
    let patience = timer::now() + timer::ticks(PATIENCE);
    while !condition() && timer::now() < patience {
        run::nap(5);
    }
}

/// `VM_DESTROY` until nothing of the VM is inside the engine.
fn destroy(vm: VmHandle) {
    wait_for(|| match call::vm_destroy(vm) {
        Ok((inside, _)) => inside == 0,
        // Its memory is home already.
        Err(Status::BadHandle) => true,
        Err(status) => {
            println!("host: VM_DESTROY: {}", status.name());
            true
        }
    });
}

/// Reclaims every VM together with the other cores that do.
fn reclaim_all(host: &Host) {
    for vm in host
        .guests
        .iter()
        .map(|guest| guest.vm)
        .chain([host.churn.vm])
    {
        while !bring_home(vm) {
            run::nap(5);
        }
    }
    // Release: pairs with the Acquire in `finish`.
    host.reclaimed.fetch_add(1, Ordering::Release);
}

/// Reclaims a VM as far as that needs no waiting; true once nothing is left of it.
pub fn bring_home(vm: VmHandle) -> bool {
    let mut idle = 0;
    while idle < IDLE_CALLS {
        match call::vm_reclaim(vm, abi::limit::RECLAIM_PAGES as u64) {
            // Another core frees the slot, or has: the handle is stale.
            Ok((_, true)) | Err(Status::BadHandle) => return true,
            // BUSY: the rest is in other cores' hands. BAD_STATE: its end is known, but the core that
            // ended it has yet to tell the engine.
            Err(Status::Busy | Status::BadState) => return false,
            Ok((0, false)) => idle += 1,
            Ok(_) => idle = 0,
            Err(status) => {
                println!("host: VM_RECLAIM: {}", status.name());
                return true;
            }
        }
    }
    false
}
