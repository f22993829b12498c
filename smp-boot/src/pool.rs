//! Tables from the image itself, for what must be mapped before the engine has any other memory:
//! the image, the device tree, the console, and the first piece of the engine's memory.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::stage1::{Table, TableSource};

/// Each of four places takes a table of level 1, one of level 2 and at worst two of level 3; the
/// boot core's window takes three.
const TABLES: usize = 4 * 4 + 3;

static POOL: [Table; TABLES] = [const { Table::new() }; TABLES];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The boot core's level-0 table.
pub static ROOT: Table = Table::new();

/// The tables of the image. Used by the primary alone.
#[derive(Debug)]
pub struct EarlyTables;

impl TableSource for EarlyTables {
    fn take_table(&mut self) -> Option<&'static Table> {
        // Relaxed, and no read-modify-write: one core, perhaps with its MMU off.
        let next = NEXT.load(Relaxed);
        let table = POOL.get(next)?;
        NEXT.store(next + 1, Relaxed);
        Some(table)
    }

    fn give_back_table(&mut self, _: &'static Table) {
        // Only compare-exchange can lose, and there is none before other cores run.
    }
}
