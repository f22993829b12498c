//! Weaknesses of the models' hardware, each by itself: that it is there, and that it can be left out.
//! Those of single invalidations are asked in `engine/src/sim/tlb_tests.rs`.

#![cfg(loom)]

use engine::platform::{Barrier, EntryAt, Tlbi};
use engine::stage2::Geometry;
use engine::vm::HOST_VMID;
use loom_tests::hardware::Hardware;
use loom_tests::hardware::contents::LATE;
use loom_tests::host::Host;
use loom_tests::weakness::{Weakness, Without};
use loom_tests::witness::Witness;
use loom_tests::world::Size;
use ownership::Pfn;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The host's tables, and a VM's.
const HOST_TABLES: [u64; 3] = [10, 11, 12];
const VM_TABLES: [u64; 3] = [20, 21, 22];
/// The VM's VMID, the IPA page 0 of either, and the page behind it.
const VMID: u16 = 1;
const PAGE: u64 = 99;
const FLUSH: Tlbi = Tlbi::Vmalls12e1is;

const fn table(page: u64) -> u64 {
    page << 12 | 0b11
}

const fn leaf(page: u64) -> u64 {
    page << 12 | 1 << 10 | 0b11 << 6 | 0b11
}

const fn at(table: u64) -> EntryAt {
    EntryAt {
        table: Pfn::from_raw(table),
        index: 0,
    }
}

/// Two cores that run the host, and VMID 1, whose address 0 leads to the page.
fn unentered(without: Without, has_erratum: bool) -> Hardware {
    let geometry = Geometry::for_pa_bits(32);
    let mut hardware = Hardware::new(without, geometry, HOST_TABLES[0], 2, has_erratum, false);
    hardware.know(VMID, VM_TABLES[0]);
    let links = [
        (VM_TABLES[0], table(VM_TABLES[1])),
        (VM_TABLES[1], table(VM_TABLES[2])),
        (VM_TABLES[2], leaf(PAGE)),
    ];
    for (table, value) in links {
        hardware.change(0, at(table), value);
    }
    hardware.complete(0, Barrier::DsbIsh);
    hardware
}

/// The same; both have been under VMID 1.
fn hardware(without: Without, has_erratum: bool) -> Hardware {
    let mut hardware = unentered(without, has_erratum);
    for core in [0, 1] {
        hardware.enter(core, VMID, VM_TABLES[0]);
        hardware.leave(core);
    }
    hardware
}

/// Core 1 stores under the VM: what it may have stored to, and whether it may fault.
fn store(hardware: &mut Hardware) -> (bool, bool) {
    hardware.enter(1, VMID, VM_TABLES[0]);
    let outcome = hardware.access(1, 0, Some(7));
    hardware.leave(1);
    (!outcome.values.is_empty(), outcome.fault)
}

/// Core 0 clears an entry of a VM's table `table` and makes these invalidations, each completed.
fn hardware_after(without: Without, table: usize, ops: &[Tlbi]) -> Hardware {
    let mut hardware = hardware(without, false);
    hardware.change(0, at(VM_TABLES[table]), 0);
    hardware.complete(0, Barrier::DsbIsh);
    hardware.borrow(0, VMID, VM_TABLES[0]);
    for op in ops {
        hardware.issue(0, *op);
        hardware.complete(0, Barrier::DsbIsh);
    }
    hardware.end_borrow(0, None);
    hardware
}

/// Core 0 takes the leaf away and makes these invalidations, each completed. Does core 1 still have it?
fn is_left_after(without: Without, ops: &[Tlbi]) -> bool {
    let mut hardware = hardware_after(without, 2, ops);
    store(&mut hardware).0
}

const BY_PAGE: Tlbi = Tlbi::Ipas2e1is { ipa_page: 0 };

#[test]
fn what_went_away_is_kept_in_both_kinds_of_entries() {
    let weakest = Without::NOTHING;
    assert!(is_left_after(weakest, &[]));
    assert!(is_left_after(weakest, &[BY_PAGE]));
    assert!(is_left_after(weakest, &[Tlbi::Vmalle1is]));
    assert!(!is_left_after(weakest, &[BY_PAGE, Tlbi::Vmalle1is]));
    let without = |weakness| weakest.and(weakness);
    assert!(!is_left_after(without(Weakness::Leftovers), &[]));
    assert!(!is_left_after(without(Weakness::Combined), &[BY_PAGE]));
    assert!(!is_left_after(
        without(Weakness::Stage2),
        &[Tlbi::Vmalle1is]
    ));
    assert!(!is_left_after(without(Weakness::OtherVmids), &[]));
}

#[test]
fn a_walk_goes_by_what_is_changing() {
    let at_once = |without, old: u64, new: u64| {
        let mut hardware = hardware(without, false);
        hardware.change(0, at(VM_TABLES[2]), 0);
        hardware.complete(0, Barrier::DsbIsh);
        hardware.issue(0, Tlbi::Alle1is);
        hardware.complete(0, Barrier::DsbIsh);
        hardware.change(0, at(VM_TABLES[2]), old);
        hardware.complete(0, Barrier::DsbIshst);
        hardware.enter(1, VMID, VM_TABLES[0]);
        hardware.change(0, at(VM_TABLES[2]), new);
        let outcome = hardware.access(1, 0, Some(7));
        (!outcome.values.is_empty(), outcome.fault)
    };
    let weakest = Without::NOTHING;
    // A new leaf may be missed, one that went away may be found.
    assert_eq!(at_once(weakest, 0, leaf(PAGE)), (true, true));
    assert_eq!(at_once(weakest, leaf(PAGE), 0), (true, false));
    let early = weakest.and(Weakness::LateLinks);
    assert_eq!(at_once(early, 0, leaf(PAGE)), (true, false));
    let early = weakest.and(Weakness::StaleWalks).and(Weakness::Leftovers);
    assert_eq!(at_once(early, leaf(PAGE), 0), (false, true));
}

#[test]
fn the_first_walk_of_a_vm_goes_by_what_changed_before() {
    let found = |without| {
        let mut hardware = unentered(without, false);
        hardware.change(0, at(VM_TABLES[2]), 0);
        store(&mut hardware).0
    };
    assert!(found(Without::NOTHING));
    assert!(!found(Without::NOTHING.and(Weakness::FirstEntries)));
    assert!(!found(Without::NOTHING.and(Weakness::StaleWalks)));
    // Behind the DSB it finds nothing.
    let mut hardware = unentered(Without::NOTHING, false);
    hardware.change(0, at(VM_TABLES[2]), 0);
    assert!(hardware.has_to_complete(0, Barrier::DsbIsh));
    hardware.complete(0, Barrier::DsbIsh);
    assert!(!store(&mut hardware).0);
}

#[test]
fn a_first_walk_to_what_is_another_s_by_now_is_seen() {
    let mut hardware = unentered(Without::NOTHING, false);
    hardware.change(0, at(VM_TABLES[2]), 0);
    // A block with the page in it, right in the host's root.
    hardware.change(0, at(HOST_TABLES[0]), leaf(PAGE & !3) & !0b10);
    let first = || hardware.enter(1, VMID, VM_TABLES[0]);
    assert!(catch_unwind(AssertUnwindSafe(first)).is_err());
}

/// A table is taken out of a VM's, and these invalidations made; may it be used for something else?
fn is_free_after(without: Without, ops: &[Tlbi]) -> bool {
    let mut hardware = hardware_after(without, 1, ops);
    catch_unwind(AssertUnwindSafe(|| hardware.clear_table(0, VM_TABLES[2]))).is_ok()
}

#[test]
fn walk_caches_keep_the_way_to_a_table() {
    assert!(!is_free_after(Without::NOTHING, &[]));
    assert!(!is_free_after(Without::NOTHING, &[Tlbi::Vmalle1is]));
    assert!(is_free_after(Without::NOTHING, &[BY_PAGE]));
    assert!(is_free_after(Without::NOTHING, &[FLUSH]));
    for weakness in [Weakness::WalkCaches, Weakness::Leftovers] {
        assert!(is_free_after(Without::NOTHING.and(weakness), &[]));
    }
}

#[test]
fn an_entry_where_walk_caches_know_a_table_is_seen() {
    let mut hardware = hardware(Without::NOTHING, false);
    hardware.change(0, at(VM_TABLES[1]), 0);
    hardware.complete(0, Barrier::DsbIsh);
    hardware.borrow(0, VMID, VM_TABLES[0]);
    hardware.issue(0, Tlbi::Vmalle1is);
    hardware.end_borrow(0, None);
    let link = || hardware.change(0, at(VM_TABLES[1]), table(30));
    assert!(catch_unwind(AssertUnwindSafe(link)).is_err());
}

#[test]
fn a_table_holds_anything_until_it_is_complete() {
    let link = |without, barrier| {
        let mut hardware = hardware(without, false);
        hardware.clear_table(0, 30);
        if let Some(barrier) = barrier {
            hardware.complete(0, barrier);
        }
        let root = EntryAt {
            index: 1,
            ..at(VM_TABLES[0])
        };
        catch_unwind(AssertUnwindSafe(|| hardware.link(root, table(30)))).is_err()
    };
    assert!(link(Without::NOTHING, None));
    assert!(link(Without::NOTHING, Some(Barrier::DsbNsh)));
    assert!(!link(Without::NOTHING, Some(Barrier::DsbIshst)));
    assert!(!link(Without::NOTHING.and(Weakness::LateTables), None));
}

/// The leaf goes and is flushed, with or without what the erratum needs; then the page is zeroed.
fn scrubbed(without: Without, again: bool) -> u64 {
    let mut hardware = hardware(without, true);
    hardware.change(0, at(VM_TABLES[2]), 0);
    hardware.complete(0, Barrier::DsbIsh);
    hardware.borrow(0, VMID, VM_TABLES[0]);
    hardware.issue(0, FLUSH);
    hardware.complete(0, Barrier::DsbIsh);
    if again {
        hardware.issue(0, Tlbi::Vmalle1is);
        hardware.complete(0, Barrier::DsbIsh);
    }
    hardware.end_borrow(0, None);
    hardware.zero(PAGE);
    hardware.content(PAGE)
}

#[test]
fn a_late_store_lands_behind_the_zeroes() {
    assert_eq!(scrubbed(Without::NOTHING, false), LATE);
    assert_eq!(scrubbed(Without::NOTHING, true), 0);
    assert_eq!(
        scrubbed(Without::NOTHING.and(Weakness::LateStores), false),
        0
    );
}

#[test]
fn a_secret_in_wrong_hands_is_seen() {
    let found = |without| {
        let mut hardware = hardware(without, false);
        assert!(store(&mut hardware).0);
        // It goes to the host as it is.
        hardware.change(0, at(VM_TABLES[2]), 0);
        hardware.complete(0, Barrier::DsbIsh);
        hardware.issue(0, Tlbi::Alle1is);
        hardware.complete(0, Barrier::DsbIsh);
        let private = || hardware.assert_private(PAGE, &[HOST_VMID]);
        catch_unwind(AssertUnwindSafe(private)).is_err()
    };
    assert!(found(Without::NOTHING));
    assert!(!found(Without::NOTHING.and(Weakness::Contents)));
}

#[test]
fn a_way_that_is_left_leads_to_secrets() {
    let mut hardware = hardware(Without::NOTHING, false);
    hardware.change(0, at(VM_TABLES[2]), 0);
    let private = || hardware.assert_private(PAGE, &[HOST_VMID]);
    assert!(catch_unwind(AssertUnwindSafe(private)).is_err());
}

#[test]
fn a_vcpu_goes_by_its_own_stage_1_entries() {
    let confused = |without, is_dropped: bool| {
        let mut hardware = hardware(without, false);
        hardware.enter(0, VMID, VM_TABLES[0]);
        hardware.run(0, 0);
        if is_dropped {
            hardware.forget_stage1(0, VMID);
        }
        catch_unwind(AssertUnwindSafe(|| hardware.run(0, 1))).is_err()
    };
    assert!(confused(Without::NOTHING, false));
    assert!(!confused(Without::NOTHING, true));
    assert!(!confused(Without::NOTHING.and(Weakness::Stage1), false));
}

#[test]
#[should_panic(expected = "I8: vCPU (1, 0) is entered on core 1")]
fn a_vcpu_on_two_cores_is_seen() {
    let mut hardware = hardware(Without::NOTHING, false);
    for core in [0, 1] {
        hardware.enter(core, VMID, VM_TABLES[0]);
        hardware.run(core, 0);
    }
}

#[test]
#[should_panic(expected = "I8")]
fn a_vcpu_inside_a_vm_that_is_gone_is_seen() {
    let mut hardware = hardware(Without::NOTHING, false);
    hardware.enter(1, VMID, VM_TABLES[0]);
    hardware.run(1, 0);
    hardware.assert_left(VMID);
}

/// A call that changed something says that it was refused.
#[test]
#[should_panic(expected = "I7: a refused call changed something")]
fn a_refusal_that_changed_something_is_seen() {
    loom_tests::explore_engine(2, || {
        let (mut host, a) = Host::with_vm(Size::of(1));
        let witness = Witness::default();
        let act = witness.begin(&host.machine().peek());
        host.map(a, 0, 0).expect("the host's page");
        witness.end(act, true, &host.machine().peek());
    });
}

#[test]
#[should_panic(expected = "no weakness is called \"teleport\"")]
fn an_unknown_weakness_is_an_error() {
    Without::named("refill,teleport");
}
