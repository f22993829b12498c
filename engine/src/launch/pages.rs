//! Who owns each page when the engine starts: the page words' first states.
//!
//! Invariant: each page of RAM gets exactly one state: the engine's image and region are
//! `Owned(Engine)`, what the firmware reserved is `HostFixed`, all else is `Owned(Host)`. What is
//! not RAM stays `Reserved`. What the host may reach is all but the first of these.

use core::ops::Deref;
use engine::engine::PageRun;
use ownership::{Census, Owner, Pa, PageTable, Pfn, State};
use smp_boot::{BootError, MachineInfo, PaRange};
use sync::AtomicU64;

/// Sets the words of all RAM. Says how many pages are whose.
pub fn settle<S: Deref<Target = [AtomicU64]>>(
    table: &mut PageTable<S>,
    machine: &MachineInfo,
    engine: &[PaRange],
) -> Result<Census, BootError> {
    let mut census = Census {
        reserved: table.len(),
        ..Census::default()
    };
    for_each(machine, engine, |run, state| {
        let pages = run.pages as usize;
        table
            .boot_set(run.first, pages, state)
            .map_err(|_| BootError::BadNode("RAM ranges overlap"))?;
        census.reserved = census.reserved.saturating_sub(pages);
        let count = match state {
            State::Owned(Owner::Engine) => &mut census.engine,
            State::HostFixed => &mut census.host_fixed,
            _ => &mut census.host,
        };
        // There are fewer pages than bytes.
        *count = count.wrapping_add(pages);
        Ok(())
    })?;
    Ok(census)
}

/// Tells `host` each run that the host may reach.
pub fn for_host(
    machine: &MachineInfo,
    engine: &[PaRange],
    mut host: impl FnMut(PageRun) -> Result<(), BootError>,
) -> Result<(), BootError> {
    for_each(machine, engine, |run, state| match state {
        State::Owned(Owner::Engine) => Ok(()),
        _ => host(run),
    })
}

/// Visits all RAM by runs of one state, the longest there are.
fn for_each(
    machine: &MachineInfo,
    engine: &[PaRange],
    mut visit: impl FnMut(PageRun, State) -> Result<(), BootError>,
) -> Result<(), BootError> {
    for ram in &machine.ram {
        let ram = ram.pages_within();
        let mut at = ram.start();
        while at < ram.end() {
            let (end, state) = piece(at, ram.end(), machine, engine);
            visit(run_of(at, end), state)?;
            at = end;
        }
    }
    Ok(())
}

/// The run of pages from `start` to `end`.
pub fn run_of(start: u64, end: u64) -> PageRun {
    let first: Pfn = Pa::from_raw(start).pfn();
    PageRun {
        first,
        pages: end.saturating_sub(start) / 4096,
    }
}

/// What the engine's own pages are.
#[cfg(not(mutant = "boot-give-engine"))]
const ENGINES: State = State::Owned(Owner::Engine);
#[cfg(mutant = "boot-give-engine")]
const ENGINES: State = State::HostFixed;

/// What the firmware keeps: the host reaches it, and can't give it away.
#[cfg(not(mutant = "boot-give-firmware"))]
const FIRMWARES: State = State::HostFixed;
#[cfg(mutant = "boot-give-firmware")]
const FIRMWARES: State = State::Owned(Owner::Host);

/// The longest piece from `at` on that has one state.
fn piece(at: u64, end: u64, machine: &MachineInfo, engine: &[PaRange]) -> (u64, State) {
    let engines = engine.iter().map(|range| (*range, ENGINES));
    let fixed = machine.reserved.iter().map(|range| (*range, FIRMWARES));
    let mut stop = end;
    for (range, state) in engines.chain(fixed) {
        let range = range.pages_around();
        if range.start() <= at && at < range.end() {
            // Not past `stop`: where the firmware reserved what the engine lies in, that is the
            // engine's all the same.
            return (range.end().min(stop), state);
        }
        if at < range.start() {
            stop = stop.min(range.start());
        }
    }
    (stop, State::Owned(Owner::Host))
}
