//! One word for many pages under loom: claims of wholes and of parts, unfolding and folding, race
//! each other. A block has two pages here and a giant two blocks; the code is the same.
//!
//! Each content is written under its page's claim, and loom fails the model if two claims on one
//! page are not ordered; words that nobody has written name a VM as owner.

use crate::pages::{A, B, BASE, HOST, Machine, OF_A, page, scrubbed};
use crate::{explore, spawn};
use ownership::{FAN_OUT_SHIFT, Granule, GranuleSize, Op, Owner, Refused, State, VmSlot};

suite! {
    /// Makes the models of [`suites::granules`](mod@crate::suites::granules) tests of the crate that calls it.
    granules_suite: granules {
        claim_whole_against_split,
        claim_whole_against_split_two_levels_down,
        merge_against_claim,
        merge_of_two_levels_against_claim,
        merge_against_a_page_and_the_one_beside_it,
        split_against_split,
        merge_and_split_against_a_slow_claim,
        merge_and_split_against_a_slow_run,
        a_reader_of_a_retired_table,
        a_claim_by_a_stale_word_fails,
        reclaim_whole_against_reclaim_of_a_page,
        whole_and_two_parts_at_once,
    }
}

const OF_B: State = State::Owned(Owner::Vm(B));
const BLOCK: usize = GranuleSize::Block2M.pages() as usize;
const GIANT: usize = GranuleSize::Block1G.pages() as usize;

fn block(index: u64) -> Granule {
    Granule::new(GranuleSize::Block2M, page(index)).expect("a block's first page")
}

fn giant() -> Granule {
    Granule::new(GranuleSize::Block1G, BASE).expect("the first giant")
}

/// Puts a block into parts, as a refused or finished call on one of its pages leaves it.
fn put_in_parts(machine: &Machine, index: u64) {
    drop(machine.claim(index, Op::Lend, 0).expect("alone"));
}

/// Counts pages by owner, and that none is in transition.
fn settled(machine: &Machine) -> (usize, usize) {
    let pages = machine.table.len();
    let census = machine.table.count(BASE, pages).expect("in range");
    assert_eq!(census.claimed, 0, "{census:?}");
    assert_eq!(census.host + census.vm, pages, "{census:?}");
    (census.host, census.vm)
}

/// What each page says agrees with who wrote it last.
fn contents_agree(machine: &Machine) {
    for index in 0..machine.table.len() {
        let writer = machine.read(index);
        match machine.state(index as u64) {
            OF_A => assert_eq!(writer, u64::from(A.vmid())),
            OF_B => assert_eq!(writer, u64::from(B.vmid())),
            HOST => {}
            other => panic!("page {index} is {other:?}"),
        }
    }
}

/// One core gives a whole block away, another one page of it.
fn whole_against_part(machine_pages: usize, whole: Granule, parts_before: bool) {
    explore(2, move || {
        let machine = Machine::new(machine_pages);
        if parts_before {
            put_in_parts(&machine, 0);
        }
        let other = machine.clone();
        let part = spawn(move || other.donate(1, B, 1).is_ok());
        let whole = machine.donate_all(whole, A, 0).is_ok();
        let part = part.join().unwrap();
        assert!(whole || part, "of conflicting claims one succeeds");
        assert!(!(whole && part), "page 1 has one owner");
        assert_eq!(machine.state(1), if part { OF_B } else { OF_A });
        settled(&machine);
        contents_agree(&machine);
    });
}

/// A block in one word is wanted whole, and one page of it.
pub fn claim_whole_against_split() {
    whole_against_part(BLOCK, block(0), false);
}

/// The same with a giant, and one page two levels down.
pub fn claim_whole_against_split_two_levels_down() {
    whole_against_part(GIANT, giant(), false);
}

/// A block in parts is wanted whole, and one page of it.
pub fn merge_against_claim() {
    whole_against_part(BLOCK, block(0), true);
}

/// The same with a giant, in parts down to pages.
pub fn merge_of_two_levels_against_claim() {
    whole_against_part(GIANT, giant(), true);
}

/// A block in parts is wanted whole, and by its pages one after the other: the claim of the first keeps it in parts.
pub fn merge_against_a_page_and_the_one_beside_it() {
    explore(2, || {
        let machine = Machine::new(BLOCK);
        put_in_parts(&machine, 0);
        let other = machine.clone();
        let whole = spawn(move || other.donate_all(block(0), B, 1).is_ok());
        let both = machine.donate_with_next(0, A, 0).is_ok();
        let whole = whole.join().unwrap();
        assert!(whole || both, "of conflicting claims one succeeds");
        assert!(!(whole && both), "each page has one owner");
        let owner = if both { OF_A } else { OF_B };
        assert_eq!((machine.state(0), machine.state(1)), (owner, owner));
        settled(&machine);
        contents_agree(&machine);
    });
}

/// Two cores each want one page of a whole block, or of a whole giant.
pub fn split_against_split() {
    for pages in [BLOCK, GIANT] {
        explore(2, move || {
            let machine = Machine::new(pages);
            let other = machine.clone();
            let last = pages as u64 - 1;
            let second = spawn(move || other.donate(last, B, 1).is_ok());
            let first = machine.donate(0, A, 0).is_ok();
            let second = second.join().unwrap();
            assert!(first || second, "of conflicting claims one succeeds");
            assert_eq!(machine.state(0), if first { OF_A } else { HOST });
            assert_eq!(machine.state(last), if second { OF_B } else { HOST });
            let (_, given) = settled(&machine);
            assert_eq!(given, usize::from(first) + usize::from(second));
            contents_agree(&machine);
        });
    }
}

/// A block is folded, comes home, and is unfolded for one page; a core that looked when it was in
/// parts still wants the other page.
pub fn merge_and_split_against_a_slow_claim() {
    merge_and_split_against(Machine::donate);
}

/// The same where the claims are those of runs.
pub fn merge_and_split_against_a_slow_run() {
    merge_and_split_against(Machine::donate_run);
}

fn merge_and_split_against(donate: fn(&Machine, u64, VmSlot, u16) -> Result<(), Refused>) {
    explore(2, move || {
        let machine = Machine::new(BLOCK);
        put_in_parts(&machine, 0);
        let other = machine.clone();
        let slow = spawn(move || donate(&other, 1, B, 1));
        let whole = machine
            .table
            .claim(block(0), Op::VmMap, 0, |_| true)
            .map(|claim| {
                // What the slow core must see done before it has the page.
                (0..BLOCK).for_each(|index| machine.write(index, 0));
                drop(claim);
            })
            .is_ok();
        let first = donate(&machine, 0, A, 0);
        let slow = slow.join().unwrap();
        assert!(whole || first.is_ok() || slow.is_ok());
        for refused in [first, slow].into_iter().filter_map(Result::err) {
            assert_eq!(refused, Refused::Busy, "nobody else gives these pages away");
        }
        assert_eq!(machine.state(1), if slow.is_ok() { OF_B } else { HOST });
        settled(&machine);
        contents_agree(&machine);
    });
}

/// A core reads whose a page is while its word moves down and up: it never reads what was not
/// written, nor a state that the page never had.
pub fn a_reader_of_a_retired_table() {
    explore(2, || {
        let machine = Machine::new(BLOCK);
        let other = machine.clone();
        let mover = spawn(move || {
            put_in_parts(&other, 0);
            drop(other.table.claim(block(0), Op::VmMap, 0, |_| true));
        });
        for _ in 0..2 {
            let seen = machine.state(1);
            let changing = matches!(seen, State::Claimed { .. });
            assert!(seen == HOST || changing, "{seen:?}");
        }
        mover.join().unwrap();
        assert_eq!(machine.state(1), HOST);
    });
}

/// Nobody takes a page by a word that was never written, or that a fold left behind.
pub fn a_claim_by_a_stale_word_fails() {
    explore(2, || {
        let machine = Machine::new(BLOCK);
        let other = machine.clone();
        let mover = spawn(move || put_in_parts(&other, 0));
        let stolen = machine.claim(1, Op::Reclaim, 1).map(drop);
        assert!(
            stolen == Err(Refused::Was(HOST.into())) || stolen == Err(Refused::Busy),
            "{stolen:?}"
        );
        mover.join().unwrap();
        settled(&machine);
    });
}

/// Two cores take a VM's pages home, one of them the whole block, one by page.
pub fn reclaim_whole_against_reclaim_of_a_page() {
    explore(2, || {
        let machine = Machine::new(BLOCK);
        machine.donate_all(block(0), A, 0).expect("alone");
        let other = machine.clone();
        let by_page = spawn(move || {
            let claim = other.claim(1, Op::Reclaim, 1)?;
            other.write(1, 0);
            claim
                .return_to_host(scrubbed(page(1), A))
                .expect("a VM's page");
            Ok::<(), Refused>(())
        });
        let whole = machine
            .table
            .claim(block(0), Op::Reclaim, 0, |state| state == OF_A);
        let whole = whole.map(|claim| {
            for index in 0..BLOCK {
                machine.write(index, 0);
            }
            let proofs = (0..BLOCK as u64).map(|index| scrubbed(page(index), A));
            let all = proofs.reduce(|all, next| all.join(next).expect("adjacent"));
            claim
                .return_to_host(all.expect("two pages"))
                .expect("a VM's block");
        });
        let by_page = by_page.join().unwrap();
        assert!(
            whole.is_ok() || by_page.is_ok(),
            "of conflicting claims one succeeds"
        );
        let home = match (whole, by_page) {
            (Ok(()), _) => BLOCK,
            (Err(_), Ok(())) => 1,
            (Err(_), Err(_)) => 0,
        };
        assert_eq!(settled(&machine).0, home);
    });
}

/// Three cores: one wants the block, two a page of it each.
pub fn whole_and_two_parts_at_once() {
    assert_eq!(FAN_OUT_SHIFT, 1, "the models are sized for it");
    explore(3, || {
        let machine = Machine::new(BLOCK);
        let others = [0, 1].map(|index| {
            let machine = machine.clone();
            spawn(move || machine.donate(index, B, 1 + index as u16).is_ok())
        });
        let whole = machine.donate_all(block(0), A, 0).is_ok();
        let parts = others.map(|other| usize::from(other.join().unwrap()));
        let given = parts.iter().sum::<usize>();
        assert!(whole || given > 0, "of conflicting claims one succeeds");
        assert_eq!(settled(&machine).1, if whole { BLOCK } else { given });
        contents_agree(&machine);
    });
}
