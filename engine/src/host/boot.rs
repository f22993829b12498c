//! The host's stage-2 as it stands when the host starts: all RAM that is not the engine's, identity
//! mapped in the largest blocks.
//!
//! Runs on one core, all others waiting at EL2, and before the host runs, so no flush is needed. Devices are
//! mapped when the host touches them.

use crate::engine::PageRun;
use crate::memory::pool::TablePages;
use crate::platform::{Barrier, Platform};
use crate::stage2::descriptor::{Access, LAST_LEVEL, LeafBits, Memory, pages_of};
use crate::stage2::{MapError, Stage2};
use ownership::{Ipa, Pfn};
use percpu::CpuId;

/// Largest blocks: 1 GiB.
const TOP_BLOCK_LEVEL: u8 = 1;
/// Entries of a table.
const ENTRIES: u16 = 512;

/// Maps a run of RAM for the host.
pub fn map_ram<P: Platform, T: TablePages>(
    platform: &P,
    cpu: CpuId,
    pool: &T,
    host: Stage2,
    run: PageRun,
) -> Result<(), MapError> {
    let bits = LeafBits::new(
        Memory::Normal,
        Access::ALL,
        platform.features().force_write_back,
    );
    let end = run.first.raw().saturating_add(run.pages);
    let mut page = run.first.raw();
    while page < end {
        let fits = |level: &u8| {
            page.is_multiple_of(pages_of(*level)) && pages_of(*level) <= end.saturating_sub(page)
        };
        let level = (TOP_BLOCK_LEVEL..=LAST_LEVEL)
            .find(fits)
            .unwrap_or(LAST_LEVEL);
        let mut at = host.take_entry(platform, cpu, pool, Ipa::from_raw(page << 12), level)?;
        platform.store_entry(cpu, at, bits.leaf(Pfn::from_raw(page), level));
        page = page.saturating_add(pages_of(level));
        // As many as the table has room for. A larger block does not begin before its end.
        while pages_of(level) <= end.saturating_sub(page) && at.index < ENTRIES - 1 {
            at.index = at.index.wrapping_add(1);
            let leaf = bits.leaf(Pfn::from_raw(page), level);
            let stored = platform.swap_entry(cpu, at, 0, leaf);
            stored.map_err(|_| MapError::Occupied)?;
            page = page.saturating_add(pages_of(level));
        }
    }
    #[cfg(not(mutant = "host-map-no-dsb"))]
    platform.barrier(cpu, Barrier::DsbIsh);
    Ok(())
}
