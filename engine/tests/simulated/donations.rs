//! ENGINE_DONATE over gigabytes: it needs tables of the host's and of EL2's wherever it goes, and the
//! pool that they come from is empty each time.

use crate::common::{PAGE, RAM, RWX, donate, shape};
use abi::{Call, InfoIndex, Status};
use engine::sim::{Config, Machine, check};

const BLOCK: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// The VM that uses the pool up.
const HUNGRY_SIZE: u64 = 32 * GIB;

/// A machine of 4 GiB, whose host has whole 1 GiB blocks but for the first, with an empty pool.
struct Starved {
    machine: Machine,
    vm: u64,
    /// 2 MiB of the VM's that have a table already.
    fed: u64,
}

impl Starved {
    fn new() -> Self {
        let machine = Machine::new(Config {
            ram_pages: 4 * GIB / PAGE,
            pool_pages: 56,
            ..Config::default()
        });
        let mut arguments = shape(1);
        arguments[3] = HUNGRY_SIZE;
        let vm = machine.call_unchecked(0, Call::VmCreate, &arguments).ok();
        let mut starved = Self {
            machine,
            vm,
            fed: 0,
        };
        starved.starve();
        starved
    }

    /// Uses up what is free: one page of the host's is lent again and again, each time in another
    /// 2 MiB of the VM.
    fn starve(&mut self) {
        while self.free_pages() > 0 {
            let lend = [
                self.vm,
                self.machine.host_page(5),
                RAM + self.fed * BLOCK,
                1,
                RWX,
            ];
            let reply = self.machine.call_unchecked(1, Call::VmLend, &lend);
            // A table of level 2 and none of level 3: tried again when there is one.
            match reply.status {
                Status::Success => self.fed += 1,
                status => assert_eq!(status, Status::NoMemory),
            }
        }
    }

    fn free_pages(&self) -> u64 {
        let index = InfoIndex::FreePages.raw();
        self.machine
            .call_unchecked(0, Call::EngineInfo, &[index])
            .ok()
    }

    fn reserved(&self) -> u64 {
        self.machine.engine().pool().reserved()
    }

    /// Donates `n` pages at `page`; the reserve is as full after it as before, whatever came of it.
    #[track_caller]
    fn donate(&self, page: u64, n: u64) -> Status {
        let mut done = 0;
        while done < n {
            let reserved = self.reserved();
            let arguments = [page + done * PAGE, n - done];
            let reply = self
                .machine
                .call_unchecked(0, Call::EngineDonate, &arguments);
            assert!(
                self.reserved() >= reserved,
                "{page:#x}: {} left",
                self.reserved()
            );
            if reply.status != Status::Success {
                assert!(done > 0 || self.free_pages() == 0);
                return reply.status;
            }
            assert_eq!(reply.x[1], 0);
            done += reply.x[0];
        }
        assert_eq!(done, n);
        Status::Success
    }

    fn check(&self) {
        check::assert_all(&self.machine, &|| "donations".into());
    }
}

/// Addresses of whole GiB of the host's.
fn gib(n: u64) -> u64 {
    (n + 2) * GIB
}

#[test]
fn single_pages_of_hundreds_of_blocks() {
    let mut starved = Starved::new();
    let (mut taken, mut refused) = (0, 0);
    for n in 0..300u64 {
        starved.starve();
        // Every third in a GiB of which nothing was taken before, while there are any.
        let page = match n {
            0 | 3 | 6 => gib(n / 3),
            _ => gib(n % 3) + n * BLOCK,
        } + n % 512 * PAGE;
        match starved.donate(page, 1) {
            Status::Success => taken += 1,
            status => {
                assert_eq!(status, Status::NoMemory);
                refused += 1;
                // Beside a page that is mapped no table is missing.
                assert_eq!(starved.donate(page & !(8 * PAGE - 1), 8), Status::Success);
                starved.starve();
                let other = page ^ (8 * PAGE);
                assert_eq!(starved.donate(other, 1), Status::Success);
            }
        }
        if n % 100 == 0 {
            starved.check();
        }
    }
    assert!(refused >= 250, "{taken} were taken, {refused} refused");
    starved.check();
    // All that is free and was the host's comes home, from wherever it is.
    let home = starved.machine.call(0, Call::EngineReclaim, &[16]);
    assert_eq!(home.status, Status::Success);
}

#[test]
fn a_refused_page_of_a_whole_gigabyte_changes_nothing() {
    let starved = Starved::new();
    let page = gib(0) + 5 * BLOCK;
    // Four tables for three pages: the call checks that all is as it was.
    for n in 1..=3 {
        let refused = starved.machine.call(0, Call::EngineDonate, &[page, n]);
        assert_eq!(refused.status, Status::NoMemory);
    }
    assert_eq!(starved.reserved(), 8);
    assert_eq!(
        starved.machine.call(0, Call::EngineDonate, &[page, 4]).ok(),
        4
    );
    assert_eq!((starved.reserved(), starved.free_pages()), (8, 0));
    // Now the GiB is in blocks, for the host and for EL2.
    assert_eq!(starved.donate(page + BLOCK, 1), Status::NoMemory);
    assert_eq!(starved.donate(page + BLOCK, 2), Status::Success);
    assert_eq!(starved.donate(page + BLOCK + 2 * PAGE, 1), Status::Success);
    starved.check();
}

#[test]
fn a_run_over_two_blocks_goes_piece_by_piece() {
    let starved = Starved::new();
    let first = gib(1) - 2 * PAGE;
    // The first two pages bring less than they cost; what follows is another piece.
    assert_eq!(starved.donate(first, 100), Status::NoMemory);
    assert_eq!(starved.donate(gib(1), 98), Status::Success);
    // With a pool nobody counts.
    let reply = starved.machine.call(1, Call::EngineDonate, &[first, 2]);
    assert_eq!((reply.ok(), reply.x[1]), (2, 0));
    // A prefix, and why not more.
    let run = gib(0) + 3 * BLOCK;
    starved
        .machine
        .call(0, Call::PagePoison, &[run + 515 * PAGE])
        .ok();
    let done = donate(&starved.machine, run + 8 * PAGE, 512);
    assert_eq!(done, (507, Status::NotOwner.raw()));
    // A whole block.
    assert_eq!(donate(&starved.machine, gib(2), 512), (512, 0));
    assert!(starved.machine.host_load(1, gib(2) + 511 * PAGE).is_err());
}

/// EL2's walkers find nothing of the tables that their own were before, of a VM that is gone.
#[test]
fn tables_are_zeroed_whatever_they_held() {
    let machine = Machine::new(Config {
        ram_pages: 4 * GIB / PAGE,
        pool_pages: 56,
        ..Config::default()
    });
    let mut arguments = shape(1);
    arguments[3] = 40 * BLOCK;
    let vm = machine.call(0, Call::VmCreate, &arguments).ok();
    for n in 0..40 {
        let map = [vm, machine.host_page(n), RAM + n * BLOCK, 1, RWX];
        machine.call(0, Call::VmMap, &map).ok();
    }
    machine.call(0, Call::VmDestroy, &[vm]).ok();
    let is_gone = |_| machine.call(0, Call::VmReclaim, &[vm, 64]).x[1] == 1;
    assert!((0..4096).any(is_gone));
    for n in 0..24 {
        let page = gib(n % 2) + n * BLOCK;
        machine.call(0, Call::EngineDonate, &[page, 1]).ok();
    }
}
