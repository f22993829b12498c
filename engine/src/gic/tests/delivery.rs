//! One question each about how interrupts reach the guest and end.

use super::*;
use crate::gic::Filled;
use crate::gic::redistributor::Frames;

#[test]
fn an_sgi_is_taken_once() {
    let mut machine = Machine::new();
    machine.raise(1);
    machine.raise(1);
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(1));
        assert_eq!(guest.acknowledge(), None);
        guest.end(1);
        assert!(!guest.maintenance(), "an edge's end is nobody's business");
    });
    machine.run(|guest| assert_eq!(guest.acknowledge(), None));
}

#[test]
fn an_sgi_sent_again_while_active_is_taken_again() {
    let mut machine = Machine::new();
    machine.raise(1);
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(1)));
    machine.raise(1);
    machine.run(|guest| {
        assert_eq!(guest.state(1), State::PendingActive);
        assert_eq!(guest.acknowledge(), None, "not before it is ended");
        guest.end(1);
        assert_eq!(guest.acknowledge(), Some(1));
        guest.end(1);
    });
}

#[test]
fn what_the_guest_did_not_take_is_kept() {
    let mut machine = Machine::new();
    machine.raise(1);
    machine.shared.spis.edge(spi(40), 0x80);
    machine.run(|_| ());
    assert_eq!(
        machine.shared.private.pending(),
        1 << 1,
        "the guest reads it in GICR_ISPENDR0"
    );
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(40), "the more urgent first");
        guest.end(40);
        assert_eq!(guest.acknowledge(), Some(1));
    });
}

#[test]
fn a_disabled_interrupt_waits() {
    let mut machine = Machine::new();
    machine.shared.private.disable(1 << 1);
    machine.raise(1);
    assert!(!machine.runner.has_deliverable(&machine.shared));
    machine.run(|guest| assert_eq!(guest.acknowledge(), None));
    machine.shared.private.enable(1 << 1);
    assert!(machine.runner.has_deliverable(&machine.shared));
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(1)));
}

#[test]
fn the_timer_s_level_is_sampled_again_at_its_end() {
    let mut machine = Machine::new();
    machine.drive_timer(Line::High);
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(27));
        guest.end(27);
        assert!(guest.maintenance(), "the engine must look at the line now");
    });
    assert!(
        machine.runner.has_deliverable(&machine.shared),
        "still high"
    );
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(27)));
    machine.drive_timer(Line::Low);
    machine.run(|guest| {
        assert_eq!(guest.state(27), State::Active);
        guest.end(27);
    });
    assert!(!machine.runner.has_deliverable(&machine.shared));
    machine.run(|guest| assert_eq!(guest.acknowledge(), None));
}

#[test]
fn an_active_level_is_not_pending_too() {
    let mut machine = Machine::new();
    machine.drive_timer(Line::High);
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(27)));
    machine.run(|guest| assert_eq!(guest.state(27), State::Active));
}

#[test]
fn a_level_that_went_low_before_it_was_taken_is_withdrawn() {
    let mut machine = Machine::new();
    machine.drive_timer(Line::High);
    machine.shared.spis.assert(spi(33), 0);
    machine.run(|guest| assert_eq!(guest.state(33), State::Pending));
    machine.drive_timer(Line::Low);
    machine.shared.spis.deassert(spi(33), 0);
    machine.run(|guest| assert_eq!(guest.acknowledge(), None));
    assert_eq!(machine.runner.take_ended(), None, "it never began");
}

#[test]
fn a_ppi_set_pending_by_software_stays_without_its_line() {
    let mut machine = Machine::new();
    machine.shared.private.set_pending(1 << 27);
    machine.run(|guest| assert_eq!(guest.state(27), State::Pending));
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(27)));
    machine.shared.private.set_pending(1 << 27);
    machine.run(|guest| guest.end(27));
    machine.run(|guest| {
        assert_eq!(
            guest.acknowledge(),
            Some(27),
            "set again while it was active"
        );
        guest.end(27);
    });
    machine.run(|guest| assert_eq!(guest.acknowledge(), None));
}

#[test]
fn the_end_of_a_level_spi_is_told_once() {
    let mut machine = Machine::new();
    machine.shared.spis.assert(spi(33), 0);
    machine.shared.spis.edge(spi(34), 0);
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(33));
        guest.end(33);
        assert!(guest.maintenance());
        assert_eq!(guest.acknowledge(), Some(34));
        guest.end(34);
    });
    assert_eq!(machine.runner.take_ended(), Some(spi(33)));
    assert_eq!(
        machine.runner.take_ended(),
        None,
        "edges have no end to tell"
    );
}

#[test]
fn the_end_is_told_though_the_line_went_low_in_the_handler() {
    let mut machine = Machine::new();
    machine.shared.spis.assert(spi(33), 0);
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(33)));
    machine.shared.spis.deassert(spi(33), 0);
    machine.run(|guest| guest.end(33));
    assert_eq!(machine.runner.take_ended(), Some(spi(33)));
}

#[test]
fn an_edge_behind_a_level_comes_after_it() {
    let mut machine = Machine::new();
    machine.shared.spis.assert(spi(33), 0);
    machine.shared.spis.edge(spi(33), 0);
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(33)));
    machine.shared.spis.deassert(spi(33), 0);
    machine.run(|guest| guest.end(33));
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(33)));
}

#[test]
fn a_full_list_says_so_and_goes_on_when_it_empties() {
    let mut machine = Machine::new();
    for intid in 32..40 {
        machine
            .shared
            .spis
            .edge(spi(intid), (72 - intid) as u8 & 0xF8);
    }
    let mut taken = 0;
    while machine.runner.fill(&machine.shared) == Filled::ListFull {
        assert!(!machine.maintenance(), "not before the guest took anything");
        while let Some(intid) = machine.acknowledge() {
            machine.end(intid);
            taken += 1;
        }
        assert!(machine.maintenance());
        machine.runner.drain(&machine.shared);
    }
    assert_eq!(taken, 4);
    while let Some(intid) = machine.acknowledge() {
        machine.end(intid);
        taken += 1;
    }
    assert_eq!(taken, 8);
    assert!(!machine.maintenance());
}

#[test]
fn a_group_switched_off_does_not_fill_the_list() {
    let mut machine = Machine::new();
    machine.runner.ich.vmcr &= !1;
    machine.shared.private.set_group(!0x7F);
    for sgi in 0..7 {
        machine.shared.private.set_priority(private(sgi), 0);
        machine.raise(sgi);
    }
    machine.raise(9);
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(9));
        guest.end(9);
        assert_eq!(guest.acknowledge(), None);
    });
    machine.runner.ich.vmcr |= 1;
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(0)));
}

/// Takes SGIs 9 down to 0, each preempting the one before.
fn nest(machine: &mut Machine) {
    for depth in (0..10).rev() {
        machine
            .shared
            .private
            .set_priority(private(depth), depth as u8 * 16);
        machine.raise(depth);
        machine.run(|guest| assert_eq!(guest.acknowledge(), Some(depth)));
    }
}

#[test]
fn preemption_may_be_deeper_than_the_list() {
    for registers in [1, 2, 4] {
        let mut machine = Machine::with_registers(registers);
        nest(&mut machine);
        machine.raise(15);
        for depth in 0..10 {
            assert_eq!(machine.shared.private.active().count_ones(), 10 - depth);
            machine.run(|guest| guest.end(depth.into()));
        }
        assert_eq!(machine.shared.private.active(), 0);
        machine.run(|guest| assert_eq!(guest.acknowledge(), Some(15)));
    }
}

#[test]
fn ends_outside_the_list_are_noticed_within_one_run() {
    let mut machine = Machine::new();
    nest(&mut machine);
    machine.run(|guest| {
        for depth in 0..10 {
            guest.end(depth);
        }
        assert!(guest.maintenance());
    });
    assert_eq!(machine.shared.private.active(), 0);
}

#[test]
fn deactivation_in_any_order_traps_when_it_must() {
    let mut machine = Machine::new();
    machine.runner.ich.vmcr |= SPLIT_END;
    nest(&mut machine);
    let _ = machine.runner.fill(&machine.shared);
    assert_ne!(machine.runner.ich.hcr & hcr::TDIR, 0);
    machine.runner.drain(&machine.shared);
    for intid in [9, 3, 7] {
        machine.runner.deactivate(&machine.shared, intid);
    }
    assert_eq!(
        machine.shared.private.active(),
        0x3FF & !(1 << 9 | 1 << 3 | 1 << 7)
    );
    machine.runner.deactivate(&machine.shared, u64::MAX);
    machine.runner.ich.vmcr &= !SPLIT_END;
    machine.runner.deactivate(&machine.shared, 0);
    assert_ne!(
        machine.shared.private.active() & 1,
        0,
        "only where the guest has split the end"
    );
}

#[test]
fn deactivating_a_level_spi_tells_of_its_end() {
    let mut machine = Machine::new();
    machine.runner.ich.vmcr |= SPLIT_END;
    machine.shared.spis.assert(spi(33), 0);
    machine.run(|guest| {
        assert_eq!(guest.acknowledge(), Some(33));
        guest.end(33);
        assert_eq!(
            guest.state(33),
            State::Active,
            "only its priority was dropped"
        );
    });
    machine.runner.deactivate(&machine.shared, 33);
    assert_eq!(machine.runner.take_ended(), Some(spi(33)));
    assert!(
        machine.runner.has_deliverable(&machine.shared),
        "the line is still high"
    );
}

#[test]
fn the_guest_s_own_view_of_its_interrupts_is_whole_after_drain() {
    let mut machine = Machine::new();
    machine.raise(1);
    machine.raise(2);
    machine.drive_timer(Line::High);
    machine.run(|guest| assert_eq!(guest.acknowledge(), Some(1)));
    let frames = Frames {
        private: &machine.shared.private,
        mpidr: 0,
        number: 0,
        last: true,
    };
    assert_eq!(frames.read(0x1_0200, 4), 1 << 27 | 1 << 2);
    assert_eq!(frames.read(0x1_0300, 4), 1 << 1);
    let _ = frames.write(0x1_0380, 4, 1 << 1);
    let _ = frames.write(0x1_0280, 4, u64::from(u32::MAX));
    machine.run(|guest| {
        assert_eq!(guest.state(1), State::Invalid);
        assert_eq!(guest.state(2), State::Invalid);
        assert_eq!(guest.state(27), State::Pending, "its line is high");
    });
}

/// Scenario 29: the interrupt state of a VM's predecessor.
#[test]
fn reset_leaves_nothing_behind() {
    let mut machine = Machine::new();
    machine.raise(1);
    machine.raise(2);
    machine.drive_timer(Line::High);
    machine.shared.private.set_group(0x1234);
    machine.shared.private.activate(1 << 20);
    for intid in 32..=1019 {
        machine.shared.spis.assert(spi(intid), 0x50);
        machine.shared.spis.edge(spi(intid), 0x50);
    }
    machine.run(|guest| {
        let intid = guest.acknowledge().unwrap();
        guest.end(intid);
    });
    let _ = machine.runner.fill(&machine.shared);
    machine.shared.spis.edge(spi(1000), 0x50);

    machine.shared.reset();
    machine.runner = RunnerHalf::new(VTR);
    let fresh = Machine {
        shared: SharedHalf::new(),
        runner: RunnerHalf::new(VTR),
    };
    assert_eq!(machine.runner.ich, fresh.runner.ich);
    assert_eq!(machine.runner.take_ended(), None);
    let frames = |machine: &Machine, offset| {
        let private = &machine.shared.private;
        Frames {
            private,
            mpidr: 0,
            number: 0,
            last: true,
        }
        .read(offset, 4)
    };
    for offset in (0..0x2_0000).step_by(4) {
        assert_eq!(
            frames(&machine, offset),
            frames(&fresh, offset),
            "{offset:#x}"
        );
    }
    machine.runner.ich.vmcr = VMCR;
    machine.shared.private.enable(u32::MAX);
    assert!(!machine.runner.has_deliverable(&machine.shared));
    assert_eq!(machine.runner.fill(&machine.shared), Filled::All);
    assert_eq!(machine.runner.ich.lr, [0; 16]);
}
