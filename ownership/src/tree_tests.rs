//! One word for many pages: unfolding, folding, and that nobody can tell the difference but by
//! looking for it. The last test plays random operations against one state per page.

extern crate std;

use crate::for_tests::{A, BASE, BLOCK, GARBAGE, GIANT, HOST, OF_A, Table, granule, page, table};
use crate::tree::all_say;
use crate::*;
use std::collections::BTreeMap;
use std::vec::Vec;
use sync::{AtomicU64, Ordering};

fn of_host() -> Flushed {
    // SAFETY: no hardware here: nothing is reachable through anything.
    unsafe { Flushed::mint(Coverage::Vmid(HOST_VMID)) }
}

fn scrubbed(first: u64, pages: u64) -> Scrubbed {
    // SAFETY: no hardware here: nothing is reachable, and pages have no content.
    let flushed = unsafe { Flushed::mint(Coverage::Vmid(A.vmid())) };
    let proofs = (first..first + pages).map(|index| {
        // SAFETY: as above.
        unsafe { Scrubbed::mint(page(index), &flushed) }
    });
    proofs
        .reduce(|all, next| all.join(next).expect("adjacent"))
        .expect("at least one page")
}

fn whole(table: &Table, index: u64) -> GranuleSize {
    table.granule(page(index)).unwrap().0.size()
}

/// How many words below the top were ever written.
fn written(table: &Table) -> usize {
    let words = table.words();
    words
        .iter()
        .filter(|word| word.load(Ordering::Relaxed) != GARBAGE)
        .count()
        - Table::words_to_clear(BASE, table.len())
}

#[test]
fn words_all_say_the_same_or_one_differs_however_many_there_are() {
    let host = Word::pack(HOST);
    for many in 0..20 {
        let words = |other: Option<usize>| -> Vec<AtomicU64> {
            let word = |index| Word::pack(if other == Some(index) { OF_A } else { HOST });
            (0..many)
                .map(|index| AtomicU64::new(word(index).raw()))
                .collect()
        };
        assert!(all_say(&words(None), host), "{many}");
        for other in 0..many {
            assert!(!all_say(&words(Some(other)), host), "{other} of {many}");
        }
    }
}

#[test]
fn a_table_knows_where_it_begins_and_whether_it_has_pages() {
    let (one, none) = (table(3), table(0));
    assert_eq!((one.base(), one.len(), one.is_empty()), (BASE, 3, false));
    assert_eq!((none.len(), none.is_empty()), (0, true));
}

#[test]
fn boot_writes_no_word_below_what_is_whole() {
    let one = table(4 * GIANT);
    assert_eq!(written(&one), 0);
    assert_eq!(one.count(BASE, one.len()).unwrap().host, one.len());
    // A page and a half of a block less: one granule is in parts, and one block of it.
    let ragged = table(4 * GIANT - BLOCK - 3);
    assert_eq!(written(&ragged), 2 * BLOCK as usize);
    assert_eq!(whole(&ragged, 3 * GIANT - 1), GranuleSize::Block1G);
    assert_eq!(whole(&ragged, 3 * GIANT), GranuleSize::Block2M);
    let last = ragged.len() as u64 - 1;
    assert_eq!(whole(&ragged, last), GranuleSize::Page);
    assert_eq!(ragged.state(page(last)), Some(HOST));
    assert_eq!(ragged.state(page(last + 1)), None);
}

#[test]
fn ram_may_begin_within_a_giant() {
    let base = page(GIANT - BLOCK - 5);
    let pages = (2 * BLOCK + 10) as usize;
    let words = Table::words_for(base, pages);
    let clear = Table::words_to_clear(base, pages);
    let word = |index| AtomicU64::new(if index < clear { 0 } else { GARBAGE });
    let mut table: Table = PageTable::new(base, pages, (0..words).map(word).collect());
    table.boot_set(base, pages, HOST).unwrap();
    assert_eq!(table.count(base, pages).unwrap().host, pages);
    assert_eq!(whole(&table, GIANT), GranuleSize::Block2M);
    assert_eq!(table.state(page(GIANT - BLOCK - 6)), None);
    let run = table.claim_run(base, pages, Op::VmMap, 0, HOST).0;
    run.donate_to_vm(A, &of_host()).unwrap();
    assert_eq!(table.count(base, pages).unwrap().vm, pages);
}

#[test]
fn a_granule_changes_hands_by_one_word() {
    let table = table(2 * GIANT);
    let giant = granule(GranuleSize::Block1G, GIANT);
    let claim = table
        .claim(giant, Op::VmMap, 0, |state| state == HOST)
        .unwrap();
    assert!(claim.is_whole(giant));
    assert_eq!(
        table
            .claim(page(GIANT + 5).into(), Op::VmMap, 1, |_| true)
            .err(),
        Some(Refused::Busy)
    );
    claim.donate_to_vm(A, &of_host()).unwrap();
    assert_eq!(written(&table), 0);
    assert_eq!(table.state(page(2 * GIANT - 1)), Some(OF_A));
    assert_eq!(table.state(page(GIANT - 1)), Some(HOST));
}

#[test]
fn a_claimed_page_leaves_its_neighbours_alone() {
    let table = table(GIANT);
    let claim = table
        .claim_page(page(BLOCK + 7), Op::Lend, 0, |_| true)
        .unwrap();
    assert_eq!(whole(&table, 0), GranuleSize::Block2M);
    assert_eq!(whole(&table, BLOCK), GranuleSize::Page);
    assert_eq!(written(&table), 2 * BLOCK as usize);
    let beside = table
        .claim(page(BLOCK + 8).into(), Op::Lend, 1, |_| true)
        .unwrap();
    let next = granule(GranuleSize::Block2M, 2 * BLOCK);
    drop(table.claim(next, Op::VmMap, 1, |_| true).unwrap());
    drop((claim, beside));
    assert_eq!(table.count(BASE, table.len()).unwrap().host as u64, GIANT);
}

#[test]
fn a_whole_granule_is_claimed_by_its_one_word_or_not_at_all() {
    let table = table(GIANT);
    let block = granule(GranuleSize::Block2M, BLOCK);
    let claim = |granule, expect| table.claim_whole_in(granule, Op::VmMap, 2, expect);
    // A part of a GiB, and a GiB in parts.
    assert_eq!(claim(block, HOST).err(), Some(Refused::Busy));
    drop(table.claim_page(page(0), Op::Lend, 0, |_| true).unwrap());
    let giant = granule(GranuleSize::Block1G, 0);
    assert_eq!(claim(giant, HOST).err(), Some(Refused::Busy));
    assert_eq!(claim(block, OF_A).err(), Some(Refused::Was(HOST.into())));
    let held = claim(block, HOST).unwrap();
    assert_eq!((held.pfn(), held.len() as u64), (page(BLOCK), BLOCK));
    assert_eq!(claim(block, HOST).err(), Some(Refused::Busy));
    drop(held);
    assert_eq!(table.state(page(BLOCK + 1)), Some(HOST));
    let held = claim(block, HOST).unwrap();
    held.donate_to_vm(A, &of_host()).unwrap();
    assert_eq!(table.state(page(2 * BLOCK - 1)), Some(OF_A));
    assert_eq!(whole(&table, BLOCK), GranuleSize::Block2M);
}

#[test]
fn a_refused_claim_unfolds_nothing() {
    let table = table(GIANT);
    for op in [Op::Share, Op::Reclaim, Op::EngineReclaim, Op::Unlend] {
        let refused = table.claim_page(page(9), op, 0, |_| true).err();
        assert_eq!(refused, Some(Refused::Was(HOST.into())));
    }
    let refused = table.claim(page(9).into(), Op::VmMap, 0, |_| false).err();
    assert_eq!(refused, Some(Refused::Was(HOST.into())));
    assert_eq!(written(&table), 0);
}

#[test]
fn a_run_takes_whole_granules_and_parts_of_those_at_its_ends() {
    let table = table(2 * GIANT);
    let first = GIANT - BLOCK - 5;
    let pages = 2 * BLOCK + 12;
    let (run, refused) = table.claim_run(page(first), pages as usize, Op::VmMap, 0, HOST);
    assert_eq!((run.len() as u64, refused), (pages, None));
    assert_eq!(
        table.count(BASE, table.len()).unwrap().claimed as u64,
        pages
    );
    assert_eq!(whole(&table, first), GranuleSize::Page);
    assert_eq!(whole(&table, GIANT - BLOCK), GranuleSize::Block2M);
    assert_eq!(whole(&table, GIANT), GranuleSize::Block2M);
    assert_eq!(whole(&table, GIANT + BLOCK), GranuleSize::Page);
    run.donate_to_vm(A, &of_host()).unwrap();
    let census = table.count(BASE, table.len()).unwrap();
    assert_eq!(census.vm as u64, pages);
    assert_eq!(census.host as u64, 2 * GIANT - pages);
}

#[test]
fn a_claim_is_cut_inside_a_granule() {
    let table = table(GIANT);
    let (mut head, _) = table.claim_run(BASE, GIANT as usize, Op::VmMap, 0, HOST);
    let tail = head.split_off(BLOCK as usize + 3).unwrap();
    assert_eq!(
        table.count(BASE, table.len()).unwrap().claimed as u64,
        GIANT
    );
    head.donate_to_vm(A, &of_host()).unwrap();
    drop(tail);
    let census = table.count(BASE, table.len()).unwrap();
    assert_eq!(census.vm as u64, BLOCK + 3);
    assert_eq!(census.host as u64, GIANT - BLOCK - 3);
}

#[test]
fn parts_become_whole_again() {
    let table = table(GIANT);
    drop(table.claim(page(1).into(), Op::Lend, 0, |_| true).unwrap());
    assert_eq!(whole(&table, 0), GranuleSize::Page);
    let block = granule(GranuleSize::Block2M, 0);
    let claim = table.claim(block, Op::VmMap, 0, |_| true).unwrap();
    assert!(claim.is_whole(block));
    claim.donate_to_vm(A, &of_host()).unwrap();
    assert_eq!(whole(&table, 0), GranuleSize::Block2M);
    assert_eq!(table.state(page(511)), Some(OF_A));
    let claim = table.claim(block, Op::Reclaim, 0, |_| true).unwrap();
    claim.return_to_host(scrubbed(0, BLOCK)).unwrap();
    let giant = granule(GranuleSize::Block1G, 0);
    let claim = table.claim(giant, Op::HostFault, 0, |_| true).unwrap();
    assert!(claim.is_whole(giant));
    drop(claim);
    assert_eq!(whole(&table, 0), GranuleSize::Block1G);
}

#[test]
fn a_poisoned_page_keeps_its_granule_in_parts() {
    let table = table(GIANT);
    let lost = table.claim(page(2).into(), Op::Poison, 0, |_| true);
    lost.unwrap().poison(&[&of_host()]).unwrap();
    let (mut run, refused) = table.claim_run(BASE, 3, Op::VmMap, 0, HOST);
    assert_eq!(
        (run.len(), refused),
        (2, Some(Refused::Was(State::Poisoned.into())))
    );
    run.fold();
    drop(run);
    let block = granule(GranuleSize::Block2M, 0);
    assert_eq!(
        table.claim(block, Op::VmMap, 0, |_| true).err(),
        Some(Refused::Was(State::Poisoned.into()))
    );
    assert_eq!(
        table.count(BASE, table.len()).unwrap().host as u64,
        GIANT - 1
    );
}

#[test]
fn a_run_is_a_whole_granule_only_by_its_one_word_and_no_more() {
    let table = table(GIANT);
    let block = |nth| granule(GranuleSize::Block2M, nth * BLOCK);
    drop(table.claim(page(0).into(), Op::Lend, 0, |_| true).unwrap());
    let claim = |first, pages| {
        table
            .claim_run(page(first), pages as usize, Op::VmMap, 0, HOST)
            .0
    };
    // All of it, by the words of its parts.
    let mut run = claim(0, BLOCK);
    assert!(!run.is_whole(block(0)));
    run.fold();
    assert!(run.is_whole(block(0)));
    drop(run);
    // One of two that have a word each.
    let run = claim(0, 2 * BLOCK);
    assert!(!run.is_whole(block(0)) && !run.is_whole(block(1)));
}

#[test]
fn a_run_takes_no_more_words_than_it_may() {
    let table = table(GIANT);
    // The GiB is in blocks then, and the second of these in pages.
    drop(
        table
            .claim(page(BLOCK).into(), Op::Lend, 0, |_| true)
            .unwrap(),
    );
    let in_parts = BLOCK as usize + 1;
    for (words, pages) in [
        (0, 0),
        (1, BLOCK),
        (3, BLOCK + 2),
        (in_parts, 2 * BLOCK),
        (in_parts + 1, 3 * BLOCK),
        (usize::MAX, 4 * BLOCK),
    ] {
        let (run, refused) =
            table.claim_run_of(BASE, 4 * BLOCK as usize, words, Op::VmMap, 0, HOST);
        assert_eq!((run.len() as u64, refused), (pages, None), "{words} words");
    }
}

/// A small generator (xorshift64*); the seed is printed and can be given.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Every page's state as one would have it with a word per page: changes at the keys.
struct Plain(BTreeMap<u64, State>);

impl Plain {
    fn at(&self, index: u64) -> State {
        *self.0.range(..=index).next_back().expect("a first entry").1
    }

    fn set(&mut self, first: u64, pages: u64, state: State) {
        let behind = self.at(first + pages);
        self.0
            .retain(|&at, _| !(first..first + pages).contains(&at));
        self.0.insert(first, state);
        self.0.entry(first + pages).or_insert(behind);
    }

    /// Pages from `first` on that are in `state`, at most `most`.
    fn prefix(&self, first: u64, most: u64, state: State) -> u64 {
        if self.at(first) != state {
            return 0;
        }
        let end = self.0.range(first + 1..).find(|(_, next)| **next != state);
        end.map_or(most, |(&at, _)| most.min(at - first))
    }
}

#[test]
fn random_operations_end_as_with_a_word_per_page() {
    let seed = std::env::var("BULKHEAD_SEED").map_or(1, |text| text.parse().expect("a number"));
    std::println!("BULKHEAD_SEED={seed}");
    let mut random = Random(seed | 1 << 40);
    let all = 2 * GIANT - 700;
    let table = table(all);
    let mut plain = Plain(BTreeMap::from([(0, HOST), (all, State::Reserved)]));
    for _ in 0..600 {
        let size = [1, 3, BLOCK, BLOCK + 9, 5 * BLOCK, GIANT][random.below(6) as usize];
        let unit = [1, BLOCK, GIANT][random.below(3) as usize];
        let first = random.below(all / unit + 1) * unit;
        if first >= all {
            continue;
        }
        let pages = size.min(all - first);
        let (op, from) = match random.below(2) {
            0 => (Op::VmMap, HOST),
            _ => (Op::Reclaim, OF_A),
        };
        let (mut claim, refused) = table.claim_run(page(first), pages as usize, op, 7, from);
        let expected = plain.prefix(first, pages, from);
        assert_eq!(claim.len() as u64, expected);
        assert_eq!(refused.is_none(), expected == pages);
        if expected == 0 {
            continue;
        }
        if random.below(3) == 0 {
            drop(claim.split_off(random.below(expected + 1) as usize));
        }
        if random.below(2) == 0 {
            claim.fold();
        }
        let held = claim.len() as u64;
        if held == 0 || random.below(4) == 0 {
            drop(claim);
        } else if op == Op::VmMap {
            claim.donate_to_vm(A, &of_host()).unwrap();
            plain.set(first, held, OF_A);
        } else {
            claim.return_to_host(scrubbed(first, held)).unwrap();
            plain.set(first, held, HOST);
        }
        for index in [first, first + held, random.below(all)] {
            let state = (index < all).then(|| plain.at(index));
            assert_eq!(table.state(page(index)), state, "page {index}");
        }
    }
    let census = table.count(BASE, all as usize).unwrap();
    assert_eq!(census.host + census.vm, all as usize);
    let ours = (0..all).filter(|&index| plain.at(index) == OF_A).count();
    assert_eq!(census.vm, ours);
}
