//! Free pages of the engine under loom: is a page ever given to two, or to nobody? What comes back may
//! be given again at once, between another core's look and its exchange.

#![cfg(loom)]

use engine::memory::page_set::PageSet;
use engine::memory::pool::PagePool;
use engine::memory::reserve::Reserve;
use loom::cell::UnsafeCell;
use loom_tests::{Arc, explore, spawn};
use ownership::Pfn;
use sync::AtomicU64;

/// First page of memory; not 0, which no reserve takes.
const FIRST: u64 = 64;
/// Pages of the engine's own, and then some of the host's.
const OWN: u64 = 64;

fn page(index: u64) -> Pfn {
    Pfn::from_raw(FIRST + index)
}

/// What a page holds, which only whoever has the page may touch; loom checks.
struct Contents([UnsafeCell<u64>; 2]);

// SAFETY: a content is touched by the thread that has its page; loom checks.
unsafe impl Sync for Contents {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Contents {}

impl Contents {
    fn new() -> Self {
        Self([UnsafeCell::new(0), UnsafeCell::new(0)])
    }

    fn write(&self, page: Pfn) {
        let cell = &self.0[(page.raw() - FIRST) as usize];
        // SAFETY: the caller has the page; loom checks.
        cell.with_mut(|content| unsafe { *content += 1 });
    }
}

type Pool = PagePool<Box<[AtomicU64]>>;

fn pool(own: u64, all: u64) -> Pool {
    let set = |first: u64, pages: u64| {
        let zeroes = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        let (bits, summary) = PageSet::<Box<[AtomicU64]>>::words_for(pages as usize);
        PageSet::new(page(first), zeroes(bits), zeroes(summary))
    };
    PagePool::new(set(0, own), set(0, all))
}

/// Takes a page, uses it, and puts it back, twice. How often there was one.
fn churn(pool: &Pool, contents: &Contents) -> usize {
    let mut had = 0;
    for _ in 0..2 {
        if let Some(page) = pool.take(0) {
            contents.write(page);
            assert!(pool.put(page), "it was free all the time");
            had += 1;
        }
    }
    had
}

/// Two cores take and give back one page, over and over: each has it alone, and it is there at the end.
#[test]
fn a_page_that_comes_back_meanwhile() {
    explore(2, || {
        let shared = Arc::new((pool(OWN, OWN), Contents::new()));
        assert!(shared.0.put(page(0)));
        let other = spawn({
            let shared = shared.clone();
            move || churn(&shared.0, &shared.1)
        });
        let had = churn(&shared.0, &shared.1);
        assert!(had + other.join().unwrap() > 0);
        assert_eq!(shared.0.free_up_to(9), 1);
        assert_eq!(shared.0.take(0), Some(page(0)));
    });
}

/// Three cores want two pages, one of them this very page: two get one each.
#[test]
fn any_page_against_this_very_page() {
    explore(3, || {
        let shared = Arc::new((pool(OWN, OWN), Contents::new()));
        assert!(shared.0.put(page(0)) && shared.0.put(page(1)));
        let takers = [0, 1].map(|hint| {
            let shared = shared.clone();
            spawn(move || shared.0.take(hint).inspect(|page| shared.1.write(*page)))
        });
        let this = shared.0.take_exact(page(0));
        if this {
            shared.1.write(page(0));
        }
        let taken = takers.map(|taker| taker.join().unwrap());
        let count = taken.iter().flatten().count() + usize::from(this);
        assert_eq!(count, 2, "{this} {taken:?}");
        assert_eq!(shared.0.take(0), None);
    });
}

/// Two donations want the reserve: one has it at a time, and the next finds what the last put back.
#[test]
fn one_donation_at_a_time() {
    explore(2, || {
        let shared = Arc::new((Reserve::default(), Contents::new()));
        assert!(shared.0.put(page(0)));
        let donate = |(reserve, contents): &(Reserve, Contents)| {
            let has_it = reserve.hold();
            if has_it {
                let page = reserve.take(0).expect("what the last one put back");
                contents.write(page);
                assert!(reserve.put(page));
                reserve.let_go();
            }
            has_it
        };
        let other = spawn({
            let shared = shared.clone();
            move || donate(&shared)
        });
        let first = donate(&shared);
        assert!(first | other.join().unwrap(), "each gave way to the other");
        assert_eq!(shared.0.len(), 1);
    });
}

/// A page in the reserve is exchanged for another while a core takes one: each page is in one place.
#[test]
fn reserve_swap_against_take() {
    explore(2, || {
        let shared = Arc::new((Reserve::default(), Contents::new()));
        assert!(shared.0.put(page(0)));
        let taking = spawn({
            let shared = shared.clone();
            move || shared.0.take(0).inspect(|page| shared.1.write(*page))
        });
        let (new, old) = (page(1), page(0));
        shared.1.write(new);
        let got = shared.0.swap(new, |seen| seen == old);
        if let Some(got) = got {
            assert_eq!(got, old);
            shared.1.write(got);
        }
        let taken = taking.join().unwrap().expect("one or the other is in it");
        let left = shared.0.take(0);
        match got {
            Some(_) => assert_eq!((taken, left), (new, None)),
            None => assert_eq!((taken, left), (old, None)),
        }
    });
}
