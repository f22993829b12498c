//! One VM brought home by all cores at once, for `cargo xtask teardown`, which counts what each core
//! executes in the engine meanwhile.
//!
//! Invariants: a core's window is open while it calls VM_RECLAIM or sleeps between two calls, and at
//! no other time; whoever finds nothing to do sleeps, as a host would; every page comes home, however
//! the work was shared.

use crate::{
    args::Args,
    measure,
    outcome::{OrFail, TestResult, check, check_eq},
    random::Random,
    runner::register,
    team,
    vm::{ALL, destroyed, insist, shape},
};
use abi::{Counter, Status, VmHandle, limit};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{PAGE, call, cpu, machine, pages, println};

register!("teardown": by_all_cores);

const MIB: u64 = 1 << 20;
/// The VM's RAM lies here.
const VM_RAM: u64 = 0x4000_0000;
/// Its redistributor frames.
const VM_GICR: u64 = 0x0800_0000;
/// The machine has this beside the VM's memory.
const REST: u64 = 512 * MIB;
/// Milliseconds that a core sleeps when there is nothing for it to do.
const NAP_MS: u64 = 5;
/// Calls that one core makes at most.
const CALLS_LIMIT: u64 = 1 << 21;

/// What one core did.
#[derive(Default)]
struct Share {
    pages: AtomicU64,
    calls: AtomicU64,
    /// Calls that brought nothing, BUSY among them.
    vain: AtomicU64,
}

/// VM_RECLAIM until the slot is free.
fn reclaim(vm: VmHandle, share: &Share) -> TestResult {
    let most = limit::RECLAIM_PAGES as u64;
    for _ in 0..CALLS_LIMIT {
        let result = call::vm_reclaim(vm, most);
        // Relaxed, here and below: read after the job, which `team` orders.
        share.calls.fetch_add(1, Ordering::Relaxed);
        let came = match result {
            Ok((_, true)) | Err(Status::BadHandle) => {
                let last = result.map_or(0, |(pages, _)| pages);
                share.pages.fetch_add(last, Ordering::Relaxed);
                return Ok(());
            }
            Ok((came, false)) => came,
            Err(Status::Busy | Status::BadState) => 0,
            Err(status) => {
                check!(false, "VM_RECLAIM: {}", status.name());
                0
            }
        };
        share.pages.fetch_add(came, Ordering::Relaxed);
        if came == 0 {
            share.vain.fetch_add(1, Ordering::Relaxed);
            team::nap(NAP_MS);
        }
    }
    check!(false, "VM_RECLAIM never ends");
    Ok(())
}

fn list(shares: &[Share], field: impl Fn(&Share) -> &AtomicU64) -> String {
    let numbers: Vec<String> = shares
        .iter()
        .map(|share| format!("{}", field(share).load(Ordering::Relaxed)))
        .collect();
    numbers.join(",")
}

fn by_all_cores(_: &mut Random) -> TestResult {
    let size = Args::parse(machine().bootargs).mib * MIB;
    let ram: u64 = machine().ram.iter().map(|ram| ram.size).sum();
    check!(size + REST <= ram, "{size:#x} bytes of {ram:#x} for a VM");
    let count = size / PAGE;
    let shape = shape(1, 0)?;
    let vm = insist(|| call::vm_create(shape, VM_GICR, (VM_RAM, size), (0, 0)));
    let vm = vm.or_fail("VM_CREATE")?;
    let start = pages::take(count, 2 * MIB).or_fail("memory for a VM")?;
    let mut mapped = 0;
    while mapped < count {
        let n = (count - mapped).min(limit::MAP_PAGES as u64);
        let (pa, ipa) = (start + mapped * PAGE, VM_RAM + mapped * PAGE);
        let batch = insist(|| call::vm_map(vm, pa, ipa, n, ALL)).or_fail("VM_MAP")?;
        check!(batch.done > 0, "VM_MAP stops: {}", batch.reason.name());
        mapped += batch.done;
    }
    destroyed(vm)?;
    let shares: Arc<Vec<Share>> = Arc::new(cpu::all().iter().map(|_| Share::default()).collect());
    let flushes = || {
        Ok((
            team::total(Counter::FlushVm)?,
            team::total(Counter::FlushPage)?,
        ))
    };
    let before = flushes()?;
    let job = shares.clone();
    team::everywhere(move |index| {
        measure::begin_window();
        let result = reclaim(vm, &job[index]);
        measure::end_window();
        result
    })?;
    let after = flushes()?;
    // SAFETY: the VM is gone, its pages came from the allocator and are unused.
    unsafe { pages::give(start, count) };
    println!(
        "@teardown {{\"flush_vm\":{},\"flush_page\":{},\"pages\":[{}],\"calls\":[{}],\"vain\":[{}]}}",
        after.0 - before.0,
        after.1 - before.1,
        list(&shares, |share| &share.pages),
        list(&shares, |share| &share.calls),
        list(&shares, |share| &share.vain),
    );
    let home: u64 = shares
        .iter()
        .map(|share| share.pages.load(Ordering::Relaxed))
        .sum();
    check_eq!(home, count, "pages that came home");
    Ok(())
}
