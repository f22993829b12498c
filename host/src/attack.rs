//! The host against its guests and the engine, from every core while the guests run.
//!
//! Invariants: nothing is given back while an attack may run, so that every page tried belongs to
//! someone else; an attempt is blocked only if it ends in an abort whose address is the one that
//! was tried, or in the documented refusal. After an access that succeeds nothing more is done to
//! that page.

use crate::host::Host;
use abi::{Status, VmHandle};
use alloc::vec::Vec;
use core::hint;
use el1::{
    PAGE, Range,
    call::{self, Batch},
    machine, mmu, pages, println,
    probe::{self, Fault},
};

/// Guests that one core attacks.
const GUESTS: usize = 2;
/// Pages that it picks at random from each.
const RANDOM_PAGES: usize = 2;
/// Translation-table entry: a table at the next level.
const TABLE_ENTRY: u64 = 0b11;
/// Fault status codes of an external abort on a walk, levels 0 to 3 (Arm ARM D24.2.40).
const EXTERNAL_ON_WALK: core::ops::RangeInclusive<u64> = 0b01_0100..=0b01_0111;

/// Attempts and how many were blocked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Attempts.
    pub tried: u64,
    /// Those that failed as they must.
    pub blocked: u64,
}

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.blocked += other.blocked;
    }

    fn count(&mut self, blocked: bool, what: &str, address: u64) -> bool {
        self.tried += 1;
        self.blocked += u64::from(blocked);
        if !blocked {
            println!("host: NOT BLOCKED: {what} {address:#x}");
        }
        blocked
    }
}

/// xorshift64*: enough to choose pages by.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// A core's attacks.
pub fn run(host: &Host, core: usize) -> Tally {
    let mut tally = Tally::default();
    let seed = host.args.seed << 32 ^ core as u64;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let Some(own) = pages::take(1, PAGE) else {
        println!("host: core {core}: no page to attack with");
        return tally;
    };
    for turn in 0..GUESTS.min(host.guests.len()) {
        let guest = &host.guests[(core + turn) % host.guests.len()];
        let runs = guest.ram.lock().donated().to_vec();
        for pa in choose(&runs, &mut random) {
            touch(&mut tally, pa);
            walk(&mut tally, pa, own);
            call_on_guest_page(&mut tally, host, core, pa);
        }
    }
    for pa in choose(&machine().engine, &mut random) {
        touch(&mut tally, pa);
        walk(&mut tally, pa, own);
        let allowed = [Status::NotRam, Status::NotOwner];
        let ipa = host.churn.empty_ipa(core);
        expect(&mut tally, "VM_MAP of engine page", pa, &allowed, || {
            map(host, pa, ipa)
        });
    }
    call_badly(&mut tally, host, core, own);
    // SAFETY: no walk goes through the page any more, and every call that named it was refused: one
    // that succeeded has failed the run.
    unsafe { pages::give(own, 1) };
    tally
}

/// First and last page of the runs, and some between.
fn choose(runs: &[Range], random: &mut Random) -> Vec<u64> {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return Vec::new();
    };
    let mut chosen = alloc::vec![first.start & !(PAGE - 1), (last.end() - 1) & !(PAGE - 1)];
    for _ in 0..RANDOM_PAGES {
        let run = runs[random.below(runs.len() as u64) as usize];
        chosen.push((run.start & !(PAGE - 1)) + random.below(run.size / PAGE) * PAGE);
    }
    chosen
}

/// Whether an access ended in an abort that tells its own address only.
fn is_blocked(result: Result<u64, Fault>, address: u64) -> bool {
    result.is_err_and(|fault| fault.is_abort() && fault.far == address)
}

/// Load, store and fetch, where this image's own map leads to the page: a fault of our own stage 1
/// would prove nothing.
pub fn touch(tally: &mut Tally, pa: u64) {
    if mmu::translate(pa) != Some(pa) {
        tally.count(false, "unmapped", pa);
        return;
    }
    if !tally.count(is_blocked(probe::load(pa), pa), "load", pa) {
        return;
    }
    // SAFETY: should the store succeed, it hits memory that is not this image's, and the run fails.
    let stored = unsafe { probe::store(pa, 0) };
    if !tally.count(is_blocked(stored, pa), "store", pa) {
        return;
    }
    // SAFETY: should the fetch succeed although the load did not, the engine is broken and the run
    // is lost anyway.
    tally.count(is_blocked(unsafe { probe::fetch(pa) }, pa), "fetch", pa);
}

/// Uses `pa` as the root of a stage-1 walk, then as a table one level down from our page `table`.
fn walk(tally: &mut Tally, pa: u64, table: u64) {
    let from = mmu::walk_through(pa, 0);
    tally.count(is_walk_blocked(from), "walk from", pa);
    // SAFETY: the page is ours; the walker reads its first entry only, for address 0.
    unsafe { (table as *mut u64).write(pa | TABLE_ENTRY) };
    let through = mmu::walk_through(table, 0);
    tally.count(is_walk_blocked(through), "walk through", pa);
}

/// Whether a walk ended in an external abort on a table. A walk that got to read a page of zeroes
/// would fault too, but by translation.
fn is_walk_blocked(result: Result<u64, Fault>) -> bool {
    is_blocked(result, mmu::UPPER_HALF)
        && result.is_err_and(|fault| EXTERNAL_ON_WALK.contains(&fault.status()))
}

fn map(host: &Host, pa: u64, ipa: u64) -> Result<Batch, Status> {
    call::vm_map(host.churn.vm, pa, ipa, 1, crate::ram::ALL)
}

/// Makes a call that must be refused with one of `allowed`; BUSY is asked again.
fn expect(
    tally: &mut Tally,
    what: &str,
    address: u64,
    allowed: &[Status],
    call: impl Fn() -> Result<Batch, Status>,
) {
    let mut answer = refusal(call());
    for _ in 0..1000 {
        if answer != Status::Busy {
            break;
        }
        hint::spin_loop();
        answer = refusal(call());
    }
    let blocked = allowed.contains(&answer);
    if !blocked {
        println!("host: {what}: answered {}", answer.name());
    }
    tally.count(blocked, what, address);
}

/// Why a batch did nothing; `Success` if it did something.
fn refusal(result: Result<Batch, Status>) -> Status {
    match result {
        Ok(batch) if batch.done == 0 => batch.reason,
        Ok(_) => Status::Success,
        Err(status) => status,
    }
}

/// A page that a guest owns can be given to nobody else.
fn call_on_guest_page(tally: &mut Tally, host: &Host, core: usize, pa: u64) {
    let ipa = host.churn.empty_ipa(core);
    let not_ours = [Status::NotOwner];
    expect(tally, "VM_MAP of guest page", pa, &not_ours, || {
        map(host, pa, ipa)
    });
    expect(tally, "VM_LEND of guest page", pa, &not_ours, || {
        call::vm_lend(host.churn.vm, pa, ipa, 1, crate::ram::ALL)
    });
    expect(tally, "ENGINE_DONATE of guest page", pa, &not_ours, || {
        call::engine_donate(pa, 1)
    });
}

/// Calls with arguments that no call accepts.
fn call_badly(tally: &mut Tally, host: &Host, core: usize, own: u64) {
    let ipa = host.churn.empty_ipa(core);
    let uart = machine().uart;
    expect(tally, "VM_MAP of UART", uart, &[Status::NotRam], || {
        map(host, uart, ipa)
    });
    let vm = host.churn.vm;
    let stale = VmHandle::new(vm.slot(), vm.generation() + 1);
    let all = crate::ram::ALL;
    expect(
        tally,
        "VM_MAP to stale handle",
        own,
        &[Status::BadHandle],
        || call::vm_map(stale, own, ipa, 1, all),
    );
    expect(tally, "VM_MAP unaligned", own, &[Status::Unaligned], || {
        map(host, own + 8, ipa)
    });
    expect(
        tally,
        "VM_MAP outside RAM",
        own,
        &[Status::OutOfRange],
        || map(host, own, 0),
    );
    let no_address = [Status::OutOfRange, Status::NotRam];
    let last = u64::MAX & !(PAGE - 1);
    expect(tally, "VM_MAP past the end", last, &no_address, || {
        call::vm_map(vm, last, ipa, 2, all)
    });
}
