//! How much memory boot itself needs, and how the engine's memory is divided.
//!
//! Pure. The estimate of tables is an upper bound; what is left of it goes to the engine.

use crate::machine::MachineInfo;
use crate::range::{BLOCK, PAGE, PaRange};
use crate::record::BootRecord;
use crate::stack;

/// Tables of a root that no other core shares: levels 0 to 3.
const PRIVATE_TABLES: u64 = 4;
/// Bytes that one table of level 1, 2 or 3 covers.
const COVERS: [u64; 3] = [1 << 39, 1 << 30, BLOCK];

/// The engine's memory: other cores' stacks first, then everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Stack blocks of the cores but the boot core, in order of their numbers.
    pub stacks: PaRange,
    /// The heap.
    pub heap: PaRange,
    /// The start of the heap that boot maps first: enough for its own tables.
    pub first: PaRange,
}

/// Bytes of boot's own objects and tables, if the engine asks for `engine` more.
pub fn boot_bytes(machine: &MachineInfo, engine: u64) -> u64 {
    let others = others(machine);
    // What is too much to be counted is too much for `carve`.
    let records = others.saturating_mul(size_of::<BootRecord>() as u64);
    let records = records.div_ceil(PAGE);
    let stacks = stack_bytes(machine);
    // Stacks are mapped by pages, for their guards.
    let memory = tables_for(engine.saturating_add(stacks));
    let guards = stacks / BLOCK + 2;
    let devices = machine
        .gic
        .redistributors
        .iter()
        .map(|it| tables_for(it.range.size()));
    let distributor = tables_for(machine.gic.distributor.size());
    let private = others.saturating_mul(PRIVATE_TABLES);
    let roots = machine.ram_span().end().div_ceil(COVERS[0]);
    let pages = devices.chain([records, memory, guards, distributor, private, roots]);
    pages.fold(0, u64::saturating_add).saturating_mul(PAGE)
}

/// Bytes of the other cores' stacks.
pub fn stack_bytes(machine: &MachineInfo) -> u64 {
    others(machine).saturating_mul(stack::BLOCK_BYTES)
}

/// Divides `region`, which has room for stacks, `boot` bytes, and the engine's.
pub fn divide(region: PaRange, stacks: u64, boot: u64) -> Option<Layout> {
    let heap_start = region.start().checked_add(stacks)?;
    let heap = PaRange::between(heap_start, region.end())?;
    let first_end = heap_start
        .checked_add(boot)?
        .checked_next_multiple_of(BLOCK)?;
    Some(Layout {
        stacks: PaRange::between(region.start(), heap_start)?,
        heap,
        first: PaRange::between(heap_start, first_end.min(region.end()))?,
    })
}

fn others(machine: &MachineInfo) -> u64 {
    (machine.cpus.len() as u64).saturating_sub(1)
}

/// At most how many tables mapping one range of `bytes` takes.
fn tables_for(bytes: u64) -> u64 {
    COVERS
        .iter()
        // A partial table at each end. Whole 2 MiB are blocks, so level 3 is only at the ends.
        .map(|&covers| {
            if covers == BLOCK {
                2
            } else {
                bytes / covers + 2
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_in_order_and_without_gaps() {
        let region = PaRange::new(0x4000_0000, 8 * BLOCK).unwrap();
        let layout = divide(region, 3 * stack::BLOCK_BYTES, 20 * PAGE).unwrap();
        assert_eq!(layout.stacks.start(), region.start());
        assert_eq!(layout.stacks.end(), layout.heap.start());
        assert_eq!(layout.heap.end(), region.end());
        assert_eq!(layout.first.start(), layout.heap.start());
        assert!(layout.first.size() >= 20 * PAGE);
        assert!(layout.first.end().is_multiple_of(BLOCK));
    }
}
