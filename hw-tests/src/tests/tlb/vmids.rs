//! VMIDs are used again at once: a VM never meets what a core keeps of the last VM of its number.
//!
//! All VMIDs but a few are held by VMs that do nothing, so that the few go round. On each core one VM after the
//! other is made, runs with its MMU on, and goes; each has its own words at the same addresses. QEMU drops a core's
//! translations at each change of VMID: there this shows that tables and pages are the VM's own, and what TLBs keep
//! waits for real hardware.

use crate::{
    guest::{DATA, HOLE, LOAD, PAGING},
    outcome::{OrFail, TestResult, check, check_eq},
    paging, puppet,
    random::Random,
    runner::register,
    team,
    vm::{TestVm, fill, run, take_patterned},
};
use abi::{ExitReason, InfoIndex, VmHandle};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{PAGE, call, cpu};

register!("tlb::vmids": few_vmids);

/// VMs that each core makes.
const ROUNDS: u64 = 6;
/// VMIDs more than cores.
const SPARE: u64 = 1;
/// Pages of each VM's data.
const PAGES: u64 = 4;

/// Slot of a VM, from which its VMID follows.
fn slot(vm: VmHandle) -> u64 {
    vm.raw() & 0xffff
}

/// One VM: it sees its own words, and nothing where it has no page.
fn live(core: usize, round: u64, uses: &[AtomicU64]) -> TestResult {
    let mut vm = puppet::start(1)?;
    // Relaxed: a count, read after the job.
    uses[slot(vm.handle) as usize].fetch_add(1, Ordering::Relaxed);
    paging::prepare(&mut vm, DATA)?;
    let (vcpu, own) = (vm.vcpus[0], (core as u64) << 32 | round << 16 | 1);
    puppet::step(vcpu, [PAGING, paging::ROOT, 0, 0])?;
    // Every VM leaves other pages of these empty.
    let first = (core as u64 + round) % PAGES;
    for page in first..PAGES {
        let pa = take_patterned(1, PAGE)?;
        fill(pa, 1, own + page);
        vm.donate(pa, DATA + page * PAGE, 1)?;
    }
    for page in first..PAGES {
        for address in [DATA, paging::ALIAS] {
            let value = puppet::load_value(vcpu, address + page * PAGE)?;
            check_eq!(value, own + page, "page {page} of a VM of core {core}");
        }
    }
    for hole in (0..first).map(|page| DATA + page * PAGE).chain([HOLE]) {
        puppet::give(vcpu, [LOAD, hole, 0, 0])?;
        let exit = run()?;
        check_eq!(
            (exit.reason, exit.details[0]),
            (Some(ExitReason::RamFault), hole),
            "a VM of core {core} where it has no page"
        );
        // A page there ends the load.
        let pa = take_patterned(1, PAGE)?;
        fill(pa, 1, own);
        vm.donate(pa, hole, 1)?;
        check_eq!(puppet::collect(vcpu)?.x[0], own, "its new page");
    }
    vm.destroy()
}

fn few_vmids(_: &mut Random) -> TestResult {
    let most = call::engine_info(InfoIndex::MaxVms).or_fail("ENGINE_INFO")?;
    let cores = cpu::all().len() as u64;
    let mut idle = Vec::new();
    while idle.len() as u64 + cores + SPARE < most {
        idle.push(TestVm::create(1)?);
    }
    let uses: Arc<[AtomicU64]> = (0..most).map(|_| AtomicU64::new(0)).collect();
    let job = uses.clone();
    team::everywhere(move |core| (0..ROUNDS).try_for_each(|round| live(core, round, &job)))?;
    idle.into_iter().try_for_each(TestVm::destroy)?;
    // Relaxed: see `live`.
    let counts = uses.iter().map(|uses| uses.load(Ordering::Relaxed));
    let (used, again) = counts.fold((0, 0), |(used, again), count| {
        (used + u64::from(count > 0), again + count.saturating_sub(1))
    });
    check!(
        used <= cores + SPARE && again >= cores * (ROUNDS - 1) - SPARE,
        "{used} VMIDs, used again {again} times"
    );
    Ok(())
}
