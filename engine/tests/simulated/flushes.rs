//! How a flush is done: page by page while that is little, else the whole VMID at once.

use crate::common::{PAGE, RAM, RWX, machine, start};
use abi::{Call, Counter};

/// A batch of the host's pages, no two side by side, that it has touched: what its flush counts as.
#[track_caller]
fn flushes_of(pages: u64) -> (u64, u64) {
    let machine = machine();
    let guest = start(&machine, 1);
    let give = |list: u64, pages: core::ops::Range<u64>| {
        let n = pages.end - pages.start;
        for (place, index) in pages.enumerate() {
            let (page, place) = (machine.host_page(index * 3), list + 16 * place as u64);
            machine.host_store(1, page).unwrap();
            machine.host_store_raw(0, place, page).unwrap();
            let target = (RAM + index * PAGE) | RWX;
            machine.host_store_raw(0, place + 8, target).unwrap();
        }
        let reply = machine.call(0, Call::VmMapList, &[guest.vm, list, n]);
        assert_eq!(reply.ok(), n);
    };
    let counted = || {
        let of = |counter| machine.counted(counter);
        (of(Counter::FlushPage), of(Counter::FlushVm))
    };
    // The block they lie in is split by the first.
    give(machine.host_page(900), 0..1);
    let before = counted();
    give(machine.host_page(901), 1..pages);
    let after = counted();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn few_pages_are_flushed_one_by_one_and_many_at_once() {
    assert_eq!(flushes_of(5), (1, 0));
    // As many as a call keeps apart, and not more.
    assert_eq!(flushes_of(33), (0, 1));
}
