//! The host against memory that is not its own: a guest's, a dying VM's, a shared page, and the engine's
//! last page.

use super::{
    fixed::name_in_every_call,
    stage::{Stage, VICTIM_PAGES, attacks},
};
use crate::{
    census, code,
    guest::{DATA, GICR, HOLE, MMIO, RAM, SPIN, WINDOW},
    outcome::{OrFail, Stop, TestResult, check, check_eq, complete, refused},
    puppet,
    refusal::{BAD_STATE, NOT_OWNER, NOT_RAM, RIGHTS, check_refused, engine_page},
    team,
    vm::{ALL, TestVm, fill, find_other, in_full, insist, take_patterned},
};
use abi::{Call, InfoIndex, PageClass, Status, limit, smccc};
use alloc::{string::String, sync::Arc};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use el1::{PAGE, call, cpu, machine, mmu, pages, probe};

attacks! {
    "memory":
    Host touches_a_guest [12] "loads, stores and fetches a guest's pages from every core" => "external abort that names the address tried";
    Host walks_through_a_guest [] "names a guest's pages as stage-1 tables, root and next level, on every core" => "external abort on the walk";
    Host odd_instructions_on_a_guest [] "DC ZVA, exclusive, pair and release accesses to a guest's page" => "external abort";
    Host gives_a_guests_page_away [6] "names a guest's page in every call that takes a page: as page, list, and list entry" => "NOT_OWNER; NotYours";
    Host uses_a_dying_vms_page [18] "names a dying VM's page in every call that takes a page, and loads it" => "NOT_OWNER; NotYours; external abort";
    Host gives_a_shared_page_away [6] "names a page that a guest shares with it in every call that takes a page" => "NOT_OWNER";
    Host poisons_what_others_use [6] "PAGE_POISON of pages that are lent, listed, a guest's or the engine's" => "NOT_OWNER, NOT_RAM";
    Host rewrites_a_list_under_the_call [22] "changes the entries of a VM_MAP_LIST on another core while the engine reads them" => "each entry is judged as it was copied: NOT_OWNER, OUT_OF_RANGE, or its own page";
    Host empties_the_engines_pool [10] "lends a page in so many places that the engine has no page left for tables, then makes calls that need some" => "NO_MEMORY, nothing changed";
    Host reclaims_while_a_vcpu_runs [24] "destroys a VM and reclaims it while another core still runs its vCPU" => "BUSY until the vCPU is out";
    Host looks_for_what_the_engine_left [20] "brings pages of the engine's pool home and reads them" => "zeroes";
}

/// RAM of a test guest that needs a table of its own.
const FAR: u64 = HOLE + (32 << 20);

/// Requires an abort of this address.
fn aborted(what: &str, result: Result<u64, probe::Fault>, far: u64) -> TestResult {
    match result {
        Ok(value) => check!(false, "{what} {far:#x} succeeded: {value:#x}"),
        Err(fault) => check!(
            fault.is_abort() && fault.far == far && fault.status() & !0b111 == 0b01_0000,
            "{what} {far:#x}: {fault}"
        ),
    }
    Ok(())
}

fn touches_a_guest(stage: &mut Stage<'_>) -> TestResult {
    let first = stage.victim.pa();
    let within = stage.random.below(PAGE / 8) * 8;
    team::everywhere(move |index| {
        for page in (first..first + VICTIM_PAGES * PAGE).step_by(PAGE as usize) {
            check_eq!(mmu::translate(page), Some(page), "own map");
            let at = page + (within + 64 * index as u64) % PAGE;
            aborted("load", probe::load(at), at)?;
            // SAFETY: a store that succeeds hits the test's own victim; the test fails.
            aborted("store", unsafe { probe::store(at, 0) }, at)?;
            // SAFETY: the load was refused; should the fetch succeed the engine is broken anyway.
            aborted("fetch", unsafe { probe::fetch(page) }, page)?;
        }
        Ok(())
    })
}

fn walks_through_a_guest(stage: &mut Stage<'_>) -> TestResult {
    let page = stage.victim.pa();
    team::everywhere(move |_| {
        let table = pages::take(1, PAGE).or_fail("free page")?;
        let far = mmu::UPPER_HALF;
        aborted("walk from", mmu::walk_through(page, 0), far)?;
        // SAFETY: the page is ours; the walker reads its first entry only, for address 0.
        unsafe { (table as *mut u64).write_volatile(page | 0b11) };
        aborted("walk through", mmu::walk_through(table, 0), far)?;
        // SAFETY: `walk_through` has left the table and invalidated what came of it.
        unsafe { pages::give(table, 1) };
        Ok(())
    })
}

fn odd_instructions_on_a_guest(stage: &mut Stage<'_>) -> TestResult {
    let page = stage.victim.pa();
    let instructions: [(&str, u32); 4] = [
        ("DC ZVA", 0xd50b_7421),
        ("LDXR", 0xc85f_7c20),
        ("LDP", 0xa940_0820),
        ("STLR", 0xc89f_fc20),
    ];
    for (name, instruction) in instructions {
        let mut words = code::load(1, page).to_vec();
        words.extend([code::movz(0, 0), instruction]);
        // SAFETY: should it succeed it changes the test's own victim; the test fails.
        let result = unsafe { code::run_here(&words)? };
        aborted(name, result, page)?;
    }
    Ok(())
}

fn gives_a_guests_page_away(stage: &mut Stage<'_>) -> TestResult {
    let victim = stage.victim;
    for index in 0..VICTIM_PAGES {
        let page = victim.pa() + index * PAGE;
        name_in_every_call(page, NOT_OWNER)?;
        let info = call::page_info(page).or_fail("PAGE_INFO")?;
        check_eq!(info, (PageClass::NotYours.raw(), 0), "class of {page:#x}");
    }
    // Nor back into the VM that has it, at another address.
    let h = victim.vm().handle.raw();
    check_refused(&[
        (Call::VmMap, &[h, victim.pa(), HOLE, 1, RIGHTS], NOT_OWNER),
        (
            Call::VmLend,
            &[h, victim.pa(), WINDOW, 1, RIGHTS],
            NOT_OWNER,
        ),
        (Call::VmUnlend, &[h, DATA, 1], &[Status::NotShared]),
    ])
}

fn uses_a_dying_vms_page(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    call::vm_destroy(vm.handle).or_fail("VM_DESTROY")?;
    name_in_every_call(page, NOT_OWNER)?;
    let info = call::page_info(page).or_fail("PAGE_INFO")?;
    check_eq!(
        info,
        (PageClass::NotYours.raw(), 0),
        "class of a dying VM's page"
    );
    aborted("load", probe::load(page), page)?;
    check_refused(&[(Call::VmStart, &[vm.handle.raw()], BAD_STATE)])?;
    vm.destroy()
}

fn gives_a_shared_page_away(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    let reply = puppet::hvc(vm.vcpus[0], [smccc::KVM_MEM_SHARE, DATA, 0, 0])?;
    check_eq!(reply.status(), smccc::SUCCESS, "MEM_SHARE");
    name_in_every_call(page, NOT_OWNER)?;
    let info = call::page_info(page).or_fail("PAGE_INFO")?;
    check_eq!(
        info.0,
        PageClass::SharedByVm.raw(),
        "class of a shared page"
    );
    vm.destroy()
}

fn poisons_what_others_use(stage: &mut Stage<'_>) -> TestResult {
    let mut vm = TestVm::create(1)?;
    let lent = vm.lend(WINDOW)?;
    let (guests, engines) = (stage.victim.pa(), engine_page()?);
    check_refused(&[
        (Call::PagePoison, &[lent], NOT_OWNER),
        (Call::PagePoison, &[guests], NOT_OWNER),
        (
            Call::PagePoison,
            &[engines],
            &[Status::NotRam, Status::NotOwner],
        ),
        (Call::PagePoison, &[machine().uart], NOT_RAM),
    ])?;
    vm.destroy()
}

/// The second core rewrites the list's only entry again and again: now the host's own page, now the
/// victim's, now an address that is none of the VM's.
fn rewrites_a_list_under_the_call(stage: &mut Stage<'_>) -> TestResult {
    const ROUNDS: u64 = 400;
    const OWN: u64 = 16;
    if cpu::all().len() == 1 {
        return Err(Stop::Skip(String::from("one core")));
    }
    let mut vm = TestVm::create(1)?;
    let (list, own) = (take_patterned(1, PAGE)?, take_patterned(OWN, PAGE)?);
    fill(list, 1, 0);
    vm.own(own, OWN);
    let (handle, victims) = (vm.handle, stage.victim.pa());
    let taken = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    team::everywhere(move |index| {
        if index == 1 {
            let mut turn = 0;
            // Relaxed: only an end of the loop; the pages are read by nobody but the engine.
            while !over.load(Ordering::Relaxed) {
                // Relaxed: a hint which page is the host's still.
                let next = taken.load(Ordering::Relaxed).min(OWN - 1) * PAGE;
                // What is refused comes right behind what is not.
                let entries = [
                    (victims, HOLE),
                    (own + next, HOLE + next),
                    (own + next, MMIO),
                ];
                let (page, ipa) = entries[turn % entries.len()];
                turn += 1;
                for (offset, word) in [(0, page), (8, ipa | RIGHTS)] {
                    // SAFETY: the list is the test's; while the engine has it the store waits.
                    let stored = unsafe { probe::store(list + offset, word) };
                    check!(stored.is_ok(), "the host's own list: {stored:x?}");
                }
            }
        }
        if index != 0 {
            return Ok(());
        }
        let (mut rounds, mut refusals) = (0, 0);
        // The other core may not have begun yet.
        let result = team::repeat(|| {
            rounds += 1;
            match call::vm_map_list(handle, list, 1) {
                Ok(batch) if batch.done == 1 => {
                    // Relaxed: see above.
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Err(Status::Busy) => {}
                Err(
                    Status::NotOwner
                    | Status::OutOfRange
                    | Status::AlreadyMapped
                    | Status::Unaligned
                    | Status::NotRam,
                ) => refusals += 1,
                other => check!(false, "VM_MAP_LIST: {other:x?}"),
            }
            // Relaxed: this core alone counts.
            Ok(rounds >= ROUNDS && refusals > 0 && taken.load(Ordering::Relaxed) > 0)
        });
        // Relaxed: as above.
        over.store(true, Ordering::Relaxed);
        check!(
            result?,
            "of {rounds} calls {refusals} were refused, and no other was"
        );
        Ok(())
    })?;
    stage.victim.check_unharmed()?;
    for page in 0..OWN {
        // In the VM now, or the host's still, and in no other state.
        let own = own + page * PAGE;
        let (class, _) = call::page_info(own).or_fail("PAGE_INFO")?;
        let readable = probe::load(own).is_ok();
        check_eq!(
            class == PageClass::Host.raw(),
            readable,
            "class and access of {own:#x}"
        );
        if readable {
            let ipa = HOLE + (OWN + page) * PAGE;
            let result = insist(|| call::vm_map(handle, own, ipa, 1, ALL));
            complete("VM_MAP", result, 1)?;
        }
    }
    // SAFETY: nobody writes it any more.
    unsafe { pages::give(list, 1) };
    vm.destroy()
}

fn empties_the_engines_pool(stage: &mut Stage<'_>) -> TestResult {
    const GREED: u64 = 16 << 30;
    let mut vm = puppet::start(1)?;
    let (own, lent) = (take_patterned(1, PAGE)?, take_patterned(1, PAGE)?);
    let shape = crate::vm::shape(1, 0b01)?;
    let greedy = insist(|| call::vm_create(shape, GICR, (RAM, GREED), (0, 0)));
    let greedy = greedy.or_fail("VM_CREATE")?;
    let mut places = (RAM..RAM + GREED).step_by(2 << 20);
    let end = places.find_map(|ipa| insist(|| call::vm_lend(greedy, lent, ipa, 1, ALL)).err());
    let result = match end {
        Some(Status::NoMemory) => attack_without_pool(stage, &vm, own),
        other => Err(Stop::Fail(alloc::format!("the last VM_LEND: {other:?}"))),
    };
    crate::vm::destroy(greedy)?;
    // SAFETY: lent to a VM that is gone.
    unsafe { pages::give(lent, 1) };
    result?;
    vm.donate(own, FAR, 1)?;
    vm.destroy()
}

/// Calls that need pages while there are none.
fn attack_without_pool(stage: &Stage<'_>, vm: &TestVm, own: u64) -> TestResult {
    let free = call::engine_info(InfoIndex::FreePages).or_fail("ENGINE_INFO")?;
    check_eq!(free, 0, "pages left in the pool");
    let before = census::take()?;
    let mapped = insist(|| call::vm_map(vm.handle, own, FAR, 1, ALL));
    refused("VM_MAP without a table", mapped, Status::NoMemory)?;
    let content = find_other(own, 1, crate::vm::PATTERN);
    check_eq!(content, None, "the page that was offered");
    let shape = crate::vm::shape(1, 0)?;
    // More of them than there are VMs: none is left half made.
    for _ in 0..=limit::VMS {
        let made = insist(|| call::vm_create(shape, GICR, (RAM, PAGE), (0, 0)));
        refused("VM_CREATE without a table", made, Status::NoMemory)?;
    }
    census::check_same(&before)?;
    stage.victim.check_unharmed()
}

fn reclaims_while_a_vcpu_runs(_: &mut Stage<'_>) -> TestResult {
    if cpu::all().len() == 1 {
        return Err(Stop::Skip(String::from("one core")));
    }
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    let (handle, vcpu, counter) = (vm.handle, vm.vcpus[0], vm.lend(WINDOW)?);
    puppet::give(vcpu, [SPIN, WINDOW, 0, 0])?;
    insist(|| call::vcpu_enqueue(vcpu, team::engine_cpu(1))).or_fail("VCPU_ENQUEUE")?;
    team::everywhere(move |index| match index {
        0 => {
            // SAFETY: a lent page of the host's.
            let count = || unsafe { (counter as *const u64).read_volatile() };
            check!(team::wait_for(|| count() > 0), "the guest does not run");
            let (mut inside, at) = call::vm_destroy(handle).or_fail("VM_DESTROY")?;
            // It may be out at once, but never reclaimed before that.
            while inside > 0 {
                check_eq!(at, team::engine_cpu(1), "where it is said to be");
                let reclaimed = call::vm_reclaim(handle, 1);
                (inside, _) = call::vm_destroy(handle).or_fail("VM_DESTROY")?;
                if inside > 0 {
                    refused("VM_RECLAIM", reclaimed, Status::Busy)?;
                }
            }
            let end = count();
            team::nap(5);
            check_eq!(count(), end, "count once nobody is inside");
            Ok(())
        }
        1 => crate::vm::run().map(drop),
        _ => Ok(()),
    })?;
    vm.destroy()
}

fn looks_for_what_the_engine_left(_: &mut Stage<'_>) -> TestResult {
    let pa = take_patterned(8, PAGE)?;
    in_full("ENGINE_DONATE", 8, |done, left| {
        call::engine_donate(pa + done * PAGE, left)
    })?;
    aborted("load", probe::load(pa), pa)?;
    // A VM whose tables come from the pool, and go back to it.
    let mut vm = puppet::start(1)?;
    let page = take_patterned(1, PAGE)?;
    vm.donate(page, DATA, 1)?;
    vm.destroy()?;
    let mut home = 0;
    while home < 8 {
        let (n, addresses) = insist(|| call::engine_reclaim(8 - home)).or_fail("ENGINE_RECLAIM")?;
        check!(n > 0, "{home} pages came home");
        for page in addresses.into_iter().take(n as usize) {
            check_eq!(find_other(page, 1, 0), None, "page from the engine");
            // SAFETY: the engine's no more; it came from the allocator, if not in this test.
            unsafe { pages::give(page, 1) };
        }
        home += n;
    }
    Ok(())
}
