//! Translations under the wrong owner's name: those that somebody cached before the engine began, and walks that
//! are under way when a core changes hands.
//!
//! QEMU begins with empty TLBs and walks on nobody's own account: there these cases show that each side's tables are
//! its own. That nothing of a predecessor is left is for real hardware to show, where firmware, a boot loader or
//! another hypervisor has run before.

use super::stage::{Stage, attacks};
use crate::{
    guest::{DATA, HOLE, LOAD, MMIO, PAGING},
    outcome::{OrFail, TestResult, check, check_eq},
    paging::{self, ALIAS},
    puppet, team,
    vm::{TestVm, fill, insist, run, take_patterned},
};
use abi::{ExitReason, InfoIndex, Outcome};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};
use el1::{PAGE, call, cpu, mmu, pages};

attacks! {
    "regimes":
    Guest every_vmid [3] "in a VM of each VMID that there is, all cores taken together, loads where it has no page, hoping for what VMs before the engine have cached" => "MmioRead and RamFault for each";
    Host changes_hands_with_walks [4] "walks its own tables, then has a VM walk its tables at once, on all cores, again and again" => "each finds its own content";
}

/// A VM that runs once on this core and meets nothing but what is its own; its number.
fn meet_nothing() -> TestResult<(TestVm, u64)> {
    let vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    for (ipa, reason) in [(MMIO, ExitReason::MmioRead), (HOLE, ExitReason::RamFault)] {
        puppet::give(vcpu, [LOAD, ipa, 0, 0])?;
        let exit = run()?;
        check_eq!(
            (exit.reason, exit.details[0]),
            (Some(reason), ipa),
            "a load without a page"
        );
        if reason == ExitReason::MmioRead {
            let abort = insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort));
            abort.or_fail("VCPU_RESPOND")?;
            check!(puppet::collect(vcpu)?.is_external_abort(), "an abort");
        }
    }
    insist(|| call::vcpu_dequeue(vcpu)).or_fail("VCPU_DEQUEUE")?;
    let slot = vm.handle.raw() & 0xffff;
    Ok((vm, slot))
}

fn every_vmid(_: &mut Stage<'_>) -> TestResult {
    let most = call::engine_info(InfoIndex::MaxVms).or_fail("ENGINE_INFO")?;
    let cores = cpu::all().len() as u64;
    let met: Arc<AtomicU64> = Arc::default();
    let count = met.clone();
    team::everywhere(move |core| {
        // All of a core's are there at once, so that no VMID comes twice. One is the victim's.
        let mine = (1..most).filter(|number| number % cores == core as u64);
        let mut vms = Vec::new();
        let result = mine.into_iter().try_for_each(|_| {
            let (vm, slot) = meet_nothing()?;
            check!(slot < most, "slot {slot}");
            vms.push(vm);
            Ok(())
        });
        // Relaxed: read when all cores are done.
        count.fetch_add(vms.len() as u64, Ordering::Relaxed);
        // Nobody's goes before everybody's is there.
        if result.is_ok() {
            // Relaxed: a count that only grows; nothing else is read for it.
            let all = || count.load(Ordering::Relaxed) == most - 1;
            check!(team::wait_for(all), "the others' VMs never come");
        }
        result?;
        vms.into_iter().try_for_each(TestVm::destroy)
    })?;
    // Relaxed: see above.
    check_eq!(
        met.load(Ordering::Relaxed),
        most - 1,
        "VMs of their own VMIDs"
    );
    Ok(())
}

/// Entries of the host's tables, as `paging` has the guest's.
const TABLE: u64 = 0b11;
const GIB: u64 = 0b01 | 1 << 10 | 3 << 8;
/// Times that a core changes hands.
const ROUNDS: u64 = 100;
/// Pages of the VM's that it goes round.
const PAGES: u64 = 8;

/// A core's own part: what host and VM have differs by core, round and page.
fn change_hands(core: u64) -> TestResult {
    let mut vm = puppet::start(1)?;
    let (vcpu, guests) = (vm.vcpus[0], take_patterned(PAGES, PAGE)?);
    for page in 0..PAGES {
        fill(guests + page * PAGE, 1, core << 32 | page);
    }
    vm.donate(guests, DATA, PAGES)?;
    paging::prepare(&mut vm, DATA)?;
    let paged = puppet::step(vcpu, [PAGING, paging::ROOT, 0, 0])?;
    check_eq!(paged.esr, 0, "the VM's MMU");
    let (table, next, own) = (
        take_patterned(1, PAGE)?,
        take_patterned(1, PAGE)?,
        take_patterned(1, PAGE)?,
    );
    let gib = own & !((1 << 30) - 1);
    // SAFETY: all three pages were just taken; only the first entry of `table` and one of `next` are walked.
    unsafe {
        (table as *mut u64).write_volatile(next | TABLE);
        ((next + (gib >> 30) * 8) as *mut u64).write_volatile(gib | GIB);
    }
    for round in 0..ROUNDS {
        let mark = 1 << 63 | core << 32 | round;
        fill(own, 1, mark);
        let found = mmu::walk_through(table, own);
        check!(
            found == Ok(mark),
            "the host finds {found:x?}, not {mark:#x}"
        );
        let page = round % PAGES;
        let value = puppet::load_value(vcpu, ALIAS + page * PAGE)?;
        check_eq!(value, core << 32 | page, "what the VM finds in page {page}");
    }
    // SAFETY: `walk_through` has left the tables and invalidated what came of them.
    unsafe {
        pages::give(table, 1);
        pages::give(next, 1);
        pages::give(own, 1);
    }
    vm.destroy()
}

fn changes_hands_with_walks(_: &mut Stage<'_>) -> TestResult {
    team::everywhere(|core| change_hands(core as u64))
}
