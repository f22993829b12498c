//! The TLB model, rule by rule, and that each weakness left out is one less.

use super::*;

const PAGE: Translation = Translation {
    vmid: 3,
    ipa_page: 7,
    pages: 1,
    page: 99,
    write: true,
    execute: true,
};

fn with_leftover(repeat: bool) -> Tlb {
    let mut tlb = Tlb::new(2, repeat);
    tlb.enter(1, 3);
    tlb.retire(PAGE);
    tlb.borrow(0, 3);
    tlb
}

#[test]
fn only_who_was_there_keeps_it() {
    let tlb = with_leftover(false);
    assert!(tlb.leftovers(0).is_empty());
    assert_eq!(tlb.leftovers(1).len(), 2);
}

#[test]
fn by_ipa_leaves_the_combined_entry() {
    let mut tlb = with_leftover(false);
    tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
    assert_eq!(tlb.leftovers(1).len(), 2, "not complete before the DSB");
    tlb.complete(0, true);
    assert_eq!(
        tlb.leftovers(1).len(),
        2,
        "a DSB NSH completes nothing elsewhere"
    );
    tlb.complete(0, false);
    assert_eq!(tlb.leftovers(1).len(), 1);
    tlb.issue(0, Tlbi::Vmalle1is);
    tlb.complete(0, false);
    assert!(tlb.leftovers(1).is_empty());
}

#[test]
fn the_combined_entry_comes_back_while_stage_2_stands() {
    for dsb_between in [false, true] {
        let mut tlb = with_leftover(false);
        tlb.issue(0, Tlbi::Vmalle1is);
        if dsb_between {
            tlb.complete(0, false);
        }
        tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
        tlb.complete(0, false);
        assert_eq!(tlb.leftovers(1).len(), 1);
    }
    let mut tlb = with_leftover(false);
    tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: 7 });
    tlb.issue(0, Tlbi::Vmalle1is);
    tlb.complete(0, false);
    assert_eq!(
        tlb.leftovers(1).len(),
        1,
        "a DSB must stand between the two"
    );
}

#[test]
fn the_wrong_vmid_drops_nothing() {
    let mut tlb = with_leftover(false);
    tlb.end_borrow(0, None);
    tlb.issue(0, Tlbi::Vmalls12e1is);
    tlb.complete(0, false);
    assert_eq!(tlb.leftovers(1).len(), 2);
}

#[test]
fn the_erratum_needs_a_second_broadcast() {
    let mut tlb = with_leftover(true);
    tlb.issue(0, Tlbi::Vmalls12e1is);
    tlb.complete(0, false);
    assert!(tlb.leftovers(1).is_empty());
    assert!(!tlb.in_flight().is_empty());
    tlb.issue(0, Tlbi::Vmalle1is);
    tlb.complete(0, false);
    assert!(tlb.in_flight().is_empty());
}

#[test]
fn what_is_left_over_after_the_issue_survives() {
    let mut tlb = with_leftover(false);
    tlb.issue(0, Tlbi::Vmalls12e1is);
    tlb.retire(Translation {
        ipa_page: 8,
        ..PAGE
    });
    tlb.complete(0, false);
    assert_eq!(tlb.leftovers(1).len(), 2);
}

#[test]
fn who_is_there_when_all_is_invalidated_may_hold_what_stands() {
    for meanwhile in [false, true] {
        let mut tlb = Tlb::new(2, false);
        tlb.enter(1, 3);
        if meanwhile {
            tlb.enter(1, 0);
        }
        tlb.borrow(0, 3);
        tlb.issue(0, Tlbi::Vmalls12e1is);
        tlb.enter(1, 3);
        tlb.enter(1, 0);
        tlb.complete(0, false);
        assert!(tlb.may_hold(1, 3), "it walked after the issue");
        tlb.issue(0, Tlbi::Vmalls12e1is);
        tlb.complete(0, false);
        assert!(!tlb.may_hold(1, 3));
    }
}

/// A table for the first 512 pages of VMID 3 stands there no more, and core 1, which was there, keeps the
/// way. What is left of that after core 0's `op`?
fn links_after(model: Model, op: Tlbi) -> usize {
    let mut tlb = Tlb::of_model(2, model);
    tlb.enter(1, 3);
    tlb.unlink(Link {
        vmid: 3,
        ipa_page: 0,
        pages: 512,
        table: 77,
    });
    tlb.borrow(0, 3);
    let before = tlb.links().count();
    tlb.issue(0, op);
    assert_eq!(tlb.links().count(), before, "not complete before the DSB");
    tlb.complete(0, false);
    tlb.links().count()
}

#[test]
fn a_link_goes_with_the_stage_2_entries_of_its_addresses() {
    let left = |op| links_after(Model::WEAKEST, op);
    let range = |ipa_page| Tlbi::Ripas2e1is {
        ipa_page,
        pages: 40,
    };
    for op in [
        Tlbi::Ipas2e1is { ipa_page: 511 },
        range(500),
        Tlbi::Vmalls12e1is,
        Tlbi::Alle1is,
    ] {
        assert_eq!(left(op), 0, "{op:?}");
    }
    let others = [
        Tlbi::Ipas2e1is { ipa_page: 512 },
        range(512),
        Tlbi::Vmalle1is,
    ];
    for op in others {
        assert_eq!(left(op), 1, "{op:?}");
    }
    let without = Model {
        walk_caches: false,
        ..Model::WEAKEST
    };
    assert_eq!(links_after(without, Tlbi::Vmalle1is), 0);
}

/// What core 1, which was under VMID 3, has of a page that went away, after core 0's `flush`.
fn left_over(model: Model, flush: impl Fn(&mut Tlb)) -> usize {
    let mut tlb = Tlb::of_model(2, model);
    tlb.enter(1, 3);
    tlb.enter(1, 0);
    tlb.retire(PAGE);
    flush(&mut tlb);
    tlb.leftovers(1).len() + tlb.in_flight().len()
}

#[test]
fn each_weakness_left_out_lets_a_shorter_sequence_do() {
    type Flush = fn(&mut Tlb);
    fn leave_out(what: impl Fn(&mut Model)) -> Model {
        let mut model = Model {
            late_stores: true,
            ..Model::WEAKEST
        };
        what(&mut model);
        model
    }
    fn under(vmid: u16, tlb: &mut Tlb, ops: &[Option<Tlbi>]) {
        tlb.borrow(0, vmid);
        for op in ops {
            match op {
                Some(op) => tlb.issue(0, *op),
                None => tlb.complete(0, false),
            }
        }
    }
    const PAGE_OP: Tlbi = Tlbi::Ipas2e1is { ipa_page: 7 };
    let cases: [(Model, Flush); 8] = [
        (leave_out(|model| model.leftovers = false), |_| {}),
        (leave_out(|model| model.other_vmids = false), |_| {}),
        (leave_out(|model| model.late_stores = false), |tlb| {
            under(3, tlb, &[Some(Tlbi::Vmalls12e1is), None])
        }),
        (leave_out(|model| model.late_invalidation = false), |tlb| {
            under(3, tlb, &[Some(Tlbi::Vmalls12e1is), Some(Tlbi::Vmalle1is)])
        }),
        (leave_out(|model| model.one_vmid = false), |tlb| {
            let all = [Some(Tlbi::Vmalls12e1is), None];
            under(0, tlb, &[all, all].concat());
        }),
        (leave_out(|model| model.stage2 = false), |tlb| {
            let all = [Some(Tlbi::Vmalle1is), None];
            under(3, tlb, &[all, all].concat());
        }),
        (leave_out(|model| model.combined = false), |tlb| {
            under(3, tlb, &[Some(PAGE_OP), None, Some(PAGE_OP), None])
        }),
        (leave_out(|model| model.refill = false), |tlb| {
            let both = [Some(PAGE_OP), Some(Tlbi::Vmalle1is), None];
            under(3, tlb, &both);
            under(3, tlb, &[Some(Tlbi::Vmalle1is), None]);
        }),
    ];
    for (number, (model, flush)) in cases.into_iter().enumerate() {
        assert_eq!(left_over(model, flush), 0, "case {number}");
        let weakest = leave_out(|_| {});
        assert_ne!(left_over(weakest, flush), 0, "case {number}");
    }
}
