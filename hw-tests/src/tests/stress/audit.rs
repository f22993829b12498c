//! While no core is in a call: whether every page is somebody's, and holds what its owner left.
//!
//! Invariant: nothing here changes whose a page is, except [`bring_dying_home`].

use super::{
    arena,
    record::Ending,
    worker::Worker,
    world::{Phase, World, sum},
};
use crate::{
    census,
    outcome::{OrFail, TestResult, check, check_eq},
    team,
    vm::find_other,
};
use abi::{Call, Counter, PageClass, Status};
use core::sync::atomic::Ordering;
use el1::{
    call::{self, Census},
    cpu, probe,
};

/// Times that the leader tries to bring dying VMs home: all others rest.
const ROUNDS: u32 = 100_000;

/// The stress's pages by what PAGE_INFO says.
#[derive(Debug, Default)]
struct Classes {
    /// Lent by the host to a VM.
    lent: u64,
    /// Shared by a VM with the host.
    shared: u64,
    /// Not the host's.
    away: u64,
}

/// Brings every dying VM home.
pub fn bring_dying_home(worker: &mut Worker) -> TestResult {
    for place in 0..worker.world.places.len() {
        let mut rounds = 0;
        while worker.reclaim_some(place) {
            rounds += 1;
            check!(rounds < ROUNDS, "the VM at place {place} never ends");
        }
    }
    Ok(())
}

/// Compares the engine's census with what the calls said, and every page with what may be in it. `is_settled`: no
/// VM is dying.
pub fn check(world: &World, before: &Census, is_settled: bool) -> TestResult<Census> {
    let now = census::take()?;
    let totals = &world.totals;
    let classes = classify(world)?;
    let (vm, shared) = (now.vm as i64, now.shared as i64);
    check_eq!(now.reserved, before.reserved, "reserved pages");
    check_eq!(now.host_fixed, before.host_fixed, "pages fixed to the host");
    check_eq!(
        now.engine as i64 - before.engine as i64,
        sum(&totals.engine),
        "pages that the engine has more"
    );
    let poisoned = now.poisoned as i64 - before.poisoned as i64;
    check_eq!(poisoned, sum(&totals.poisoned), "poisoned pages");
    check_eq!(
        shared,
        (classes.lent + classes.shared) as i64,
        "shared pages, by census and one by one"
    );
    let expected = sum(&totals.given) - sum(&totals.home);
    let held = vm + classes.shared as i64;
    if is_settled {
        check_eq!(held, expected, "pages of VMs");
    } else {
        // VM_RECLAIM tells of pages before the whole of their 2 MiB comes home.
        check!(held >= expected, "VMs have {held} pages, not {expected}");
    }
    let strays = world.strays.iter();
    // Relaxed: no core is at work.
    let strays = strays.filter(|cell| cell.load(Ordering::Relaxed) != 0);
    let away = vm + poisoned + sum(&totals.engine) + strays.count() as i64;
    check_eq!(classes.away as i64, away, "pages that are not the host's");
    Ok(now)
}

/// Looks at every page of the stress.
fn classify(world: &World) -> TestResult<Classes> {
    let mut classes = Classes::default();
    for page in world.arena.pages() {
        let (class, _) = call::page_info(page).or_fail("PAGE_INFO")?;
        let class = PageClass::from_raw(class).or_fail("class of a page")?;
        match class {
            PageClass::Host => {}
            PageClass::Lent => classes.lent += 1,
            PageClass::SharedByVm => classes.shared += 1,
            PageClass::NotYours | PageClass::HostFixed => classes.away += 1,
        }
        match arena::look_at(page, arena::LOOK) {
            Ok(can_read) => check_eq!(
                can_read,
                class != PageClass::NotYours,
                "the host reads {page:#x}, which is {class:?}"
            ),
            Err(arena::Wrong { at, word }) => {
                check!(false, "{at:#x} holds {word:#x}, and is {class:?}");
            }
        }
    }
    for place in &world.places {
        let (class, _) = call::page_info(place.code).or_fail("PAGE_INFO")?;
        if class == PageClass::NotYours.raw() {
            classes.away += 1;
            check!(
                probe::load(place.code).is_err(),
                "the host reads code at {:#x}",
                place.code
            );
        } else if let Some((at, word)) = find_other(place.code, 1, 0) {
            check!(false, "{at:#x} came home from a VM with {word:#x}");
        }
    }
    Ok(classes)
}

/// Ends everything, with this core alone: every VM goes, and every page that the engine got more comes home.
pub fn end(worker: &mut Worker) -> TestResult {
    let world = worker.world.clone();
    for place in 0..world.places.len() {
        if let Some((mark, _)) = world.mark(place) {
            let shot = super::shot::Shot::about(Call::VmDestroy, mark, &[mark.vm.raw()]);
            match worker.fire(&shot) {
                Ok([inside, ..]) => check_eq!(inside, 0, "calls inside a VM"),
                Err(status) => check_eq!(status, Status::BadHandle, "VM_DESTROY"),
            }
            world.advance(mark, Phase::Dying);
        }
    }
    bring_dying_home(worker)?;
    let left = (0..world.places.len()).find(|place| world.mark(*place).is_some());
    check_eq!(left, None, "place of a VM that stays");
    check_eq!(sum(&world.totals.live), 0, "VMs that stay");
    for _ in 0..ROUNDS {
        let more = sum(&world.totals.engine);
        match more {
            0 => return Ok(()),
            // Refused where the page is poisoned.
            ..0 => worker.feed_one(),
            _ => worker.take_back(more as u64),
        }
    }
    check!(
        false,
        "the engine has {} pages more",
        sum(&world.totals.engine)
    );
    Ok(())
}

/// Gives the stress's pages back to the allocator, but for those that are poisoned.
pub fn give_pages_back(world: &World) {
    let is_home = |page| call::page_info(page) == Ok((PageClass::Host.raw(), 0));
    world.arena.give_back(is_home);
    let codes = world.places.iter().map(|place| place.code);
    // Relaxed: no core is at work.
    let strays = world.strays.iter().map(|cell| cell.load(Ordering::Relaxed));
    for page in codes
        .chain(strays)
        .filter(|page| *page != 0 && is_home(*page))
    {
        // SAFETY: the stress is over; code pages came from the allocator, strays from it by way of the engine.
        unsafe { el1::pages::give(page, 1) };
    }
}

/// A counter of the engine's, over all cores.
pub fn count(counter: Counter) -> TestResult<u64> {
    (0..cpu::all().len()).try_fold(0, |sum, index| {
        let value = call::stats_read(team::engine_cpu(index), counter.raw());
        Ok(sum + value.or_fail("STATS_READ")?)
    })
}

/// Calls of all cores that ended so.
pub fn calls(world: &World, ending: Ending) -> u64 {
    let records = world.records.iter();
    records
        .map(|record| {
            Call::ALL
                .iter()
                .map(|call| record.count(*call, ending))
                .sum::<u64>()
        })
        .sum()
}

/// Pages of the arena, for people.
pub fn arena_pages(world: &World) -> u64 {
    world.arena.pages().count() as u64
}
