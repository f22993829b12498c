//! The engine does the host's accesses to RD_base frames itself: only where a redistributor is.

use crate::{
    outcome::{Stop, TestResult, check, check_eq},
    random::Random,
    runner::register,
    team,
};
use alloc::{string::String, vec::Vec};
use el1::{PAGE, Range, machine, mmu, probe};

register!("redistributors": slot_without_redistributor_aborts);

/// GICR_TYPER (IHI0069 12.11): VLPIS in bit 1, Last in bit 4.
const TYPER: u64 = 8;
const VLPIS: u64 = 1 << 1;
const LAST: u64 = 1 << 4;
/// Bytes of an RD_base frame, and of a redistributor with two frames.
const FRAME: u64 = 64 << 10;

/// Where the slot behind the last redistributor of a region begins, if the region goes on there.
fn first_unbacked(region: &Range) -> TestResult<Option<u64>> {
    let mut frame = region.start;
    while frame < region.end() {
        let typer = probe::load(frame + TYPER)
            .map_err(|fault| Stop::Fail(alloc::format!("GICR_TYPER at {frame:#x}: {fault}")))?;
        frame += if typer & VLPIS != 0 { 4 } else { 2 } * FRAME;
        if typer & LAST != 0 {
            break;
        }
    }
    Ok((frame < region.end()).then_some(frame))
}

/// The firmware describes room for more redistributors than there are. Where none answers, an access
/// by the engine would be the engine's own abort: it is the host's.
fn slot_without_redistributor_aborts(_: &mut Random) -> TestResult {
    let mut slots = Vec::new();
    for region in &machine().redistributors {
        if let Some(slot) = first_unbacked(region)? {
            slots.push(slot);
            slots.push(region.end() - 2 * FRAME);
        }
    }
    if slots.is_empty() {
        return Err(Stop::Skip(String::from("every slot has a redistributor")));
    }
    team::everywhere(move |_| {
        for &slot in &slots {
            for address in [slot, slot + TYPER, slot + FRAME - 8] {
                let page = address & !(PAGE - 1);
                check_eq!(mmu::translate(page), Some(page), "own map");
                let loaded = probe::load(address);
                check!(
                    matches!(loaded, Err(fault) if fault.is_abort() && fault.far == address),
                    "load of {address:#x}: {loaded:x?}"
                );
                // SAFETY: nothing is there that could take the store.
                let stored = unsafe { probe::store(address, 0) };
                check!(
                    matches!(stored, Err(fault) if fault.is_abort()),
                    "store to {address:#x}: {stored:x?}"
                );
            }
        }
        Ok(())
    })
}
