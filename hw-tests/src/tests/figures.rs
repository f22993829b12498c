//! What memory operations cost, told in `@figure` lines for `cargo xtask figures`.
//!
//! Each scene gives pieces of memory to one VM, in one call each where the interface allows that,
//! ends the VM and brings its memory home; then it does the same with the same memory again, before
//! and after the host has touched it. Invariants: the first scene on a piece of memory finds the
//! host's map of it whole, and nothing else uses that memory before; no scene asserts a cost.

use crate::{
    measure::{self, Cost, tell},
    outcome::{OrFail, Stop, TestResult, check, check_eq},
    random::Random,
    runner::register,
    vm::{ALL, shape},
};
use abi::{
    Call, EngineDonateArgs, EngineReclaimArgs, InfoIndex, Status, VmCreateArgs, VmHandle,
    VmMapArgs, VmMapListArgs, VmReclaimArgs, limit,
};
use alloc::{format, vec::Vec};
use el1::{PAGE, machine, pages};

register!(
    "figures": empty_vm,
    pages_and_blocks,
    scattered_pages,
    whole_gib,
    engine_pages,
);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Bytes of a level-2 block.
const BLOCK: u64 = 2 * MIB;
/// RAM that the scenes need: two whole GiB of the host's, beside everything else.
const RAM_WANTED: u64 = 7 * GIB / 2;
/// RAM of the scenes' VMs.
const VM_RAM: u64 = 0x4000_0000;
const VM_RAM_SIZE: u64 = 4 * GIB;
/// Their redistributor frames.
const VM_GICR: u64 = 0x0800_0000;
/// Rounds of what is measured one by one.
const ROUNDS: u64 = 64;
/// Rounds of donations to the engine that each need tables of EL2.
const ENGINE_ROUNDS: u64 = 16;
/// Ticks after which an area of the host's map has rested, and areas that a core remembers.
const REST: u64 = 1 << 21;
const RESTING_AREAS: u64 = 300;
/// Calls that bringing one VM home may take.
const CALLS_LIMIT: u64 = 1 << 20;

/// A piece of host memory, and where the VM gets it.
#[derive(Clone, Copy)]
struct Piece {
    pa: u64,
    ipa: u64,
    pages: u64,
}

/// Makes a call that must be done; its ticks and results.
fn done(call: Call, arguments: &[u64]) -> TestResult<(u64, [u64; 2])> {
    let (ticks, result) = measure::call(call, arguments);
    Ok((ticks, result.or_fail(call.name())?))
}

fn create() -> TestResult<(u64, VmHandle)> {
    let arguments = VmCreateArgs {
        shape: shape(1, 0)?.raw(),
        gicr: VM_GICR,
        ram0: VM_RAM,
        ram0_size: VM_RAM_SIZE,
        ram1: 0,
        ram1_size: 0,
    };
    let (ticks, results) = done(Call::VmCreate, &arguments.to_registers())?;
    Ok((ticks, VmHandle::from_raw(results[0])))
}

/// VM_DESTROY, and VM_RECLAIM until it has finished.
fn bring_home(vm: VmHandle) -> TestResult<Cost> {
    let mut cost = Cost::default();
    let (ticks, results) = done(Call::VmDestroy, &[vm.raw()])?;
    check_eq!(results[0], 0, "still inside");
    cost.ticks += ticks;
    cost.calls += 1;
    let max = limit::RECLAIM_PAGES as u64;
    let arguments = VmReclaimArgs { vm, max }.to_registers();
    while cost.calls < CALLS_LIMIT {
        let (ticks, result) = measure::call(Call::VmReclaim, &arguments);
        cost.ticks += ticks;
        cost.calls += 1;
        match result {
            Ok([pages, finished]) => {
                cost.pages += pages;
                if finished == 1 {
                    return Ok(cost);
                }
            }
            Err(Status::Busy) => {}
            Err(status) => check!(false, "VM_RECLAIM: {}", status.name()),
        }
    }
    Err(Stop::Fail(format!("VM_RECLAIM: {} pages", cost.pages)))
}

/// VM_MAP of a piece, in as few calls as the engine takes.
fn map(vm: VmHandle, piece: Piece) -> TestResult<Cost> {
    let mut cost = Cost::default();
    while cost.pages < piece.pages {
        let arguments = VmMapArgs {
            vm,
            pa: piece.pa + cost.pages * PAGE,
            ipa: piece.ipa + cost.pages * PAGE,
            n: (piece.pages - cost.pages).min(limit::MAP_PAGES as u64),
            attrs: ALL.bits(),
        };
        let (ticks, [pages, reason]) = done(Call::VmMap, &arguments.to_registers())?;
        check!(pages > 0, "VM_MAP stops: {reason}");
        cost.ticks += ticks;
        cost.calls += 1;
        cost.pages += pages;
    }
    Ok(cost)
}

/// Gives the pieces to a new VM, one by one, and brings them home.
fn scene(name: &str, pieces: &[Piece]) -> TestResult {
    let (_, vm) = create()?;
    let mapped: TestResult<Vec<Cost>> = pieces.iter().map(|piece| map(vm, *piece)).collect();
    let home = bring_home(vm)?;
    tell(&format!("VM_MAP, {name}"), &mapped?)?;
    tell(&format!("home again: {} x {name}", pieces.len()), &[home])
}

/// The host touches every page of the pieces.
fn touch_all(name: &str, pieces: &[Piece]) -> TestResult {
    let touches: Vec<u64> = pieces
        .iter()
        .flat_map(|piece| (0..piece.pages).map(|page| measure::touch(piece.pa + page * PAGE)))
        .collect();
    // One line for all of a piece: the list of its pages would be long.
    let sum = Cost {
        ticks: touches.iter().sum(),
        calls: 0,
        pages: touches.len() as u64,
    };
    let shown: Vec<Cost> = touches
        .iter()
        .take(ROUNDS as usize)
        .map(|&ticks| Cost {
            ticks,
            calls: 0,
            pages: 1,
        })
        .collect();
    tell(&format!("host's touch of a page, after {name}"), &shown)?;
    tell(&format!("host's touches, all after {name}"), &[sum])
}

/// Lets what the host touched rest until the engine has made blocks of it again, which it does on the
/// occasion of calls that have nothing to do with it; what that costs these.
fn rest(name: &str) -> TestResult {
    let until = measure::now() + REST;
    while measure::now() < until {
        core::hint::spin_loop();
    }
    // Not of a constant: that is answered without such a look.
    let ask = |_| done(Call::EngineInfo, &[InfoIndex::TableBytes.raw()]).map(|(ticks, _)| ticks);
    let ticks: Vec<u64> = (0..RESTING_AREAS).map(ask).collect::<TestResult<_>>()?;
    let least = ticks.iter().min().copied().unwrap_or(0);
    let joined = ticks.iter().filter(|ticks| **ticks > 2 * least);
    let cost = |ticks: &u64| Cost {
        ticks: ticks - least,
        calls: 1,
        pages: BLOCK / PAGE,
    };
    let joined: Vec<Cost> = joined.map(cost).collect();
    if joined.is_empty() {
        return Ok(());
    }
    tell(&format!("a look at an area that rested, {name}"), &joined)
}

/// The same memory three times: whole in the host's map, home and untouched, home and touched.
fn three_times(name: &str, pieces: &[Piece]) -> TestResult {
    scene(&format!("{name}, never given before"), pieces)?;
    scene(&format!("{name}, home and untouched"), pieces)?;
    touch_all(name, pieces)?;
    scene(&format!("{name}, home and touched"), pieces)?;
    for page in pieces.iter().map(|piece| piece.pa) {
        measure::touch(page);
    }
    rest(&format!("after {name}"))
}

/// Hands a whole, aligned GiB of the host's to `work`: the same one for each number, of two.
fn with_gib(number: u64, work: impl FnOnce(u64) -> TestResult) -> TestResult {
    let ram: u64 = machine().ram.iter().map(|ram| ram.size).sum();
    if ram < RAM_WANTED {
        return Err(Stop::Skip(format!("needs {RAM_WANTED:#x} bytes of RAM")));
    }
    let both = pages::take(2 * GIB / PAGE, GIB).or_fail("two free GiB")?;
    let result = work(both + number * GIB);
    // SAFETY: taken above; every scene's VM is gone, and nothing else knows of them.
    unsafe { pages::give(both, 2 * GIB / PAGE) };
    result
}

fn empty_vm(_: &mut Random) -> TestResult {
    let (mut created, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ticks, vm) = create()?;
        created.push(Cost {
            ticks,
            calls: 1,
            pages: 0,
        });
        gone.push(bring_home(vm)?);
    }
    tell("VM_CREATE", &created)?;
    tell("home again: an empty VM", &gone)
}

/// Single pages, each out of another 2 MiB; neighbours; whole 2 MiB.
fn pages_and_blocks(_: &mut Random) -> TestResult {
    with_gib(0, |gib| {
        let single = |index| Piece {
            pa: gib + index * BLOCK,
            ipa: VM_RAM + index * PAGE,
            pages: 1,
        };
        let singles: Vec<Piece> = (0..ROUNDS).map(single).collect();
        three_times("4 KiB, each out of another 2 MiB", &singles)?;
        let neighbour = |index| Piece {
            pa: gib + ROUNDS * BLOCK + index * PAGE,
            ipa: VM_RAM + index * PAGE,
            pages: 1,
        };
        let neighbours: Vec<Piece> = (0..ROUNDS).map(neighbour).collect();
        three_times("4 KiB, neighbours", &neighbours)?;
        let block = |index| Piece {
            pa: gib + (2 * ROUNDS + index) * BLOCK,
            ipa: VM_RAM + index * BLOCK,
            pages: BLOCK / PAGE,
        };
        let blocks: Vec<Piece> = (0..ROUNDS).map(block).collect();
        three_times("aligned 2 MiB", &blocks)
    })
}

fn whole_gib(_: &mut Random) -> TestResult {
    with_gib(1, |gib| {
        let piece = Piece {
            pa: gib,
            ipa: VM_RAM,
            pages: GIB / PAGE,
        };
        three_times("aligned 1 GiB", &[piece])
    })
}

/// One VM_MAP_LIST, and the way back.
fn list_scene(name: &str, first: u64, stride: u64) -> TestResult {
    let most = limit::MAP_LIST_PAGES as u64;
    let list = pages::take(1, PAGE).or_fail("a page for the list")?;
    let (_, vm) = create()?;
    let given = give_list(vm, list, most, first, stride);
    let home = bring_home(vm)?;
    // SAFETY: the list is read; nobody uses its page.
    unsafe { pages::give(list, 1) };
    tell(&format!("VM_MAP_LIST, {most} pages, {name}"), &[given?])?;
    tell(&format!("home again: {most} listed pages, {name}"), &[home])
}

/// VM_MAP_LIST of pages that are `stride` apart, in as few calls as the engine takes.
fn give_list(vm: VmHandle, list: u64, count: u64, first: u64, stride: u64) -> TestResult<Cost> {
    let mut cost = Cost::default();
    while cost.pages < count {
        let n = count - cost.pages;
        for index in 0..n {
            let (entry, number) = (list + index * 16, cost.pages + index);
            // SAFETY: the page is the caller's; a list entry is two words (abi: VM_MAP_LIST).
            unsafe {
                (entry as *mut u64).write_volatile(first + number * stride);
                ((entry + 8) as *mut u64).write_volatile((VM_RAM + number * PAGE) | ALL.bits());
            }
        }
        let arguments = VmMapListArgs { vm, list, n }.to_registers();
        let (ticks, [pages, reason]) = done(Call::VmMapList, &arguments)?;
        check!(pages > 0, "VM_MAP_LIST stops: {reason}");
        cost.ticks += ticks;
        cost.calls += 1;
        cost.pages += pages;
    }
    Ok(cost)
}

fn scattered_pages(_: &mut Random) -> TestResult {
    // `pages_and_blocks` used the first 192 blocks of this GiB, and none of these.
    with_gib(0, |gib| {
        for (name, first, stride) in [
            ("one of each 2 MiB", gib + 200 * BLOCK, BLOCK),
            ("every other page", gib + 500 * BLOCK, 2 * PAGE),
        ] {
            list_scene(&format!("{name}, never given before"), first, stride)?;
            list_scene(&format!("{name}, home and untouched"), first, stride)?;
            for index in 0..limit::MAP_LIST_PAGES as u64 {
                measure::touch(first + index * stride);
            }
            list_scene(&format!("{name}, home and touched"), first, stride)?;
            rest(&format!("after {name}"))?;
        }
        Ok(())
    })
}

/// The engine's own pages: neighbours, and each out of another 2 MiB; then as many taken back.
fn engine_pages(_: &mut Random) -> TestResult {
    for (name, align, rounds) in [
        ("a neighbour", PAGE, ROUNDS),
        ("out of another 2 MiB", BLOCK, ENGINE_ROUNDS),
    ] {
        let given: TestResult<Vec<Cost>> = (0..rounds).map(|_| give_to_engine(align)).collect();
        let back: TestResult<Vec<Cost>> = (0..rounds).map(|_| take_back()).collect();
        tell(&format!("ENGINE_DONATE, 1 page, {name}"), &given?)?;
        tell(&format!("ENGINE_RECLAIM, 1 page, after {name}"), &back?)?;
    }
    Ok(())
}

fn give_to_engine(align: u64) -> TestResult<Cost> {
    let pa = pages::take(1, align).or_fail("free page")?;
    let arguments = EngineDonateArgs { pa, n: 1 }.to_registers();
    let (ticks, [pages, _]) = done(Call::EngineDonate, &arguments)?;
    check_eq!(pages, 1, "ENGINE_DONATE");
    Ok(Cost {
        ticks,
        calls: 1,
        pages,
    })
}

/// ENGINE_RECLAIM of one page, whichever the engine chooses.
fn take_back() -> TestResult<Cost> {
    let arguments = EngineReclaimArgs { max: 1 }.to_registers();
    let (ticks, [pages, pa]) = done(Call::EngineReclaim, &arguments)?;
    check_eq!(pages, 1, "ENGINE_RECLAIM");
    measure::touch(pa);
    // SAFETY: the engine gave the page back; it came from the allocator once.
    unsafe { pages::give(pa, 1) };
    Ok(Cost {
        ticks,
        calls: 1,
        pages,
    })
}
