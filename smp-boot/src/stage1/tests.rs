//! The tables, walked by the architecture's rules over pages of the test's own memory: a table's
//! address is a pointer here as on the machine.

use std::boxed::Box;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::vec::Vec;

use super::{Attr, PRIVATE_VA, PageError, Stage1, Table, TableSource};
use crate::error::BootError;
use crate::range::{BLOCK, PAGE, PaRange};

/// Tables from the test's heap, up to a limit.
struct Tables {
    left: usize,
    taken: usize,
    given_back: Vec<&'static Table>,
}

fn tables(left: usize) -> Tables {
    Tables {
        left,
        taken: 0,
        given_back: Vec::new(),
    }
}

impl TableSource for Tables {
    fn take_table(&mut self) -> Option<&'static Table> {
        self.left = self.left.checked_sub(1)?;
        self.taken += 1;
        Some(
            self.given_back
                .pop()
                .unwrap_or_else(|| Box::leak(Box::new(Table::new()))),
        )
    }

    fn give_back_table(&mut self, table: &'static Table) {
        self.left += 1;
        self.taken -= 1;
        self.given_back.push(table);
    }
}

fn new() -> Stage1 {
    Stage1::new(Box::leak(Box::new(Table::new())))
}

/// What a walker finds: output address and the descriptor that gave it.
fn walk(stage1: &Stage1, va: u64) -> Option<(u64, u64)> {
    let mut table = stage1.root;
    for level in 0..4u32 {
        let index = (va >> (39 - 9 * level) & 0x1ff) as usize;
        let entry = table.entries()[index].load(Relaxed);
        let output = entry & 0xffff_ffff_f000;
        match (entry & 3, level) {
            (0b11, 3) => return Some((output | va & (PAGE - 1), entry)),
            // SAFETY: table descriptors hold addresses of leaked `Table`s.
            (0b11, _) => table = unsafe { &*(output as usize as *const Table) },
            (0b01, 2) => return Some((output | va & (BLOCK - 1), entry)),
            _ => return None,
        }
    }
    None
}

fn range(start: u64, end: u64) -> PaRange {
    PaRange::between(start, end).unwrap()
}

#[test]
fn maps_identically_with_the_right_rights() {
    let stage1 = new();
    let mut source = tables(16);
    let all = range(0x4010_0000, 0x4070_3000);
    stage1.map(all, Attr::Data, &mut source).unwrap();
    for va in (all.start()..all.end()).step_by(0x800) {
        assert_eq!(walk(&stage1, va).unwrap().0, va);
    }
    assert_eq!(walk(&stage1, all.start() - 1), None);
    assert_eq!(walk(&stage1, all.end()), None);
    assert_eq!(
        source.taken, 4,
        "blocks in the middle: one table each of levels 1 and 2, two of 3"
    );

    const READ_ONLY: u64 = 1 << 7;
    const NEVER_EXECUTE: u64 = 1 << 54;
    let rights = |attr, at| {
        stage1
            .map(range(at, at + PAGE), attr, &mut tables(3))
            .unwrap();
        let entry = walk(&stage1, at).unwrap().1;
        (
            entry & READ_ONLY != 0,
            entry & NEVER_EXECUTE != 0,
            entry >> 2 & 7,
        )
    };
    assert_eq!(rights(Attr::Code, 0x100_0000), (true, false, 1));
    assert_eq!(rights(Attr::Constant, 0x200_0000), (true, true, 1));
    assert_eq!(rights(Attr::Data, 0x300_0000), (false, true, 1));
    assert_eq!(rights(Attr::Device, 0x400_0000), (false, true, 0));
}

#[test]
fn refuses_overlap_and_what_is_out_of_reach() {
    let stage1 = new();
    let block = range(BLOCK, 2 * BLOCK);
    stage1.map(block, Attr::Data, &mut tables(8)).unwrap();
    let page = range(BLOCK + PAGE, BLOCK + 2 * PAGE);
    assert_eq!(
        stage1.map(page, Attr::Data, &mut tables(8)),
        Err(BootError::Overlap(page))
    );
    assert_eq!(
        stage1.map(block, Attr::Data, &mut tables(8)),
        Err(BootError::Overlap(block))
    );
    let high = range(PRIVATE_VA - PAGE, PRIVATE_VA + PAGE);
    assert_eq!(
        stage1.map(high, Attr::Data, &mut tables(8)),
        Err(BootError::OutOfReach(high))
    );
    let page = range(0, PAGE);
    let refused = new().map(page, Attr::Data, &mut tables(2));
    assert_eq!(refused, Err(BootError::OutOfBootMemory));
}

#[test]
fn unmaps_pages_and_blocks() {
    let stage1 = new();
    let gone = range(0x4000_0000, 0x4040_3000);
    let kept = range(gone.end(), gone.end() + PAGE);
    stage1.map(gone, Attr::Constant, &mut tables(8)).unwrap();
    stage1.map(kept, Attr::Data, &mut tables(8)).unwrap();
    stage1.unmap(gone);
    assert!(
        (gone.start()..gone.end())
            .step_by(PAGE as usize)
            .all(|va| walk(&stage1, va).is_none())
    );
    assert!(walk(&stage1, kept.start()).is_some());
}

#[test]
fn gives_each_cpu_its_own_window_and_shares_the_rest() {
    let boot = new();
    let mut source = tables(64);
    boot.reserve(range(0, 2 << 39), &mut source).unwrap();
    let own = boot.finish_root(&mut source).unwrap();
    let other = boot.root_for_cpu(boot.shared_slots(), &mut source).unwrap();
    assert_eq!(boot.shared_slots(), 2);
    assert_ne!(own.ttbr(), other.ttbr());
    assert!(!core::ptr::eq(own.window().entry(), other.window().entry()));

    // What is mapped later, below level 0, is seen through both roots.
    boot.map_engine_page(1 << 39, &mut source).unwrap();
    let seen = Stage1::new(other.table);
    assert!(walk(&boot, 1 << 39).is_some() && walk(&seen, 1 << 39).is_some());

    // A window opened on one CPU is not open on the other.
    let window = other.window();
    window
        .entry()
        .store(super::Window::entry_for(0x1234_5000), Relaxed);
    assert_eq!(walk(&seen, window.va() + 8).unwrap().0, 0x1234_5008);
    assert_eq!(walk(&boot, window.va()), None);
}

#[test]
fn lets_only_donated_pages_go_again() {
    let stage1 = new();
    let mut source = tables(16);
    stage1
        .map(range(PAGE, 2 * PAGE), Attr::Data, &mut source)
        .unwrap();
    stage1
        .map(range(BLOCK, 2 * BLOCK), Attr::Data, &mut source)
        .unwrap();
    let mut map = |pa| stage1.map_engine_page(pa, &mut source);
    assert_eq!(map(4 * PAGE), Ok(()));
    assert_eq!(map(4 * PAGE), Err(PageError::Mapped));
    assert_eq!(map(PAGE), Err(PageError::Mapped));
    assert_eq!(map(BLOCK), Err(PageError::Mapped));
    assert_eq!(map(12), Err(PageError::OutOfReach));
    assert_eq!(
        map(1 << 39),
        Err(PageError::OutOfReach),
        "level 0 never changes"
    );
    assert_eq!(map(PRIVATE_VA), Err(PageError::OutOfReach));
    assert_eq!(
        stage1.map_engine_page(3 * BLOCK, &mut tables(0)),
        Err(PageError::NoMemory)
    );
    for not_donated in [PAGE, BLOCK, 8 * PAGE, 1 << 39, 3 * BLOCK] {
        assert_eq!(
            stage1.unmap_engine_page(not_donated),
            Err(PageError::NotDonated)
        );
    }
    assert_eq!(stage1.unmap_engine_page(4 * PAGE), Ok(()));
    assert_eq!(walk(&stage1, 4 * PAGE), None);
    assert_eq!(
        stage1.unmap_engine_page(4 * PAGE),
        Err(PageError::NotDonated)
    );
}

#[test]
fn says_how_many_tables_a_page_lacks() {
    let stage1 = new();
    let mut source = tables(16);
    stage1.reserve(range(0, 1 << 39), &mut source).unwrap();
    stage1
        .map(range(BLOCK, 2 * BLOCK), Attr::Data, &mut source)
        .unwrap();
    const GIB: u64 = 1 << 30;
    for (pa, missing) in [
        (0, 1),
        (BLOCK, 0),
        (2 * BLOCK, 1),
        (GIB, 2),
        (GIB + PAGE, 0),
        (GIB + BLOCK, 1),
        (GIB - PAGE, 1),
    ] {
        assert_eq!(stage1.tables_missing(pa), missing, "{pa:#x}");
        let mapped = stage1.map_engine_page(pa, &mut tables(missing));
        assert_eq!(mapped.is_ok(), pa != BLOCK, "{pa:#x}");
    }
    // Where no table can help.
    for pa in [1 << 39, PRIVATE_VA, !(PAGE - 1)] {
        assert_eq!(stage1.tables_missing(pa), 0, "{pa:#x}");
    }
}

#[test]
fn links_tables_once_when_cpus_race() {
    let stage1 = new();
    stage1.reserve(range(0, 1 << 39), &mut tables(1)).unwrap();
    let linked = AtomicUsize::new(0);
    thread::scope(|scope| {
        for cpu in 0..4 {
            let linked = &linked;
            scope.spawn(move || {
                let mut source = tables(usize::MAX);
                for page in 0..512 {
                    let pa = (page * 4 + cpu) * PAGE * 64;
                    stage1.map_engine_page(pa, &mut source).unwrap();
                }
                // Relaxed: read after the threads were joined.
                linked.fetch_add(source.taken, Relaxed);
            });
        }
    });
    for page in 0..2048 {
        assert_eq!(walk(&stage1, page * PAGE * 64).unwrap().0, page * PAGE * 64);
    }
    // 512 MiB: one table of level 2, 256 of level 3, however the CPUs raced for them.
    assert_eq!(linked.load(Relaxed), 257);
}
