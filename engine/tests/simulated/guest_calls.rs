//! Guests' calls that need the host first: a page to share, a page for the engine's tables; and what
//! a vCPU has left of its interrupts when it is turned on again.

use crate::common::{PAGE, RAM, RWX, build, hvc, machine, map, play, run, shape, start};
use abi::{Call, ExitReason, InfoIndex, Status, psci, smccc};
use engine::sim::{Config, GuestOp, Machine, Seen};

#[test]
fn sharing_a_page_that_is_not_there_yet_asks_the_host_for_it() {
    let machine = machine();
    let guest = start(&machine, 1);
    let ipa = RAM + 9 * PAGE;
    machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_SHARE, &[ipa])]);
    // As often as the guest is run without it.
    for _ in 0..2 {
        let exit = run(&machine, 0);
        assert_eq!(exit.reason, ExitReason::RamFault);
        assert_eq!((exit.vcpu, exit.d), (guest.vcpus[0], [ipa, 0, 0]));
    }
    map(&machine, &guest, 77, ipa, 1);
    let seen = play(&machine, &guest, [GuestOp::Load(ipa)]);
    assert_eq!(seen, [Seen::Returned([0; 4]), Seen::Value(0)]);
    machine.host_load(1, machine.host_page(77)).unwrap();
}

/// A guest may give up memory that the host never put there, or took back: it can't know. That says
/// nothing of addresses that are no memory. What is not there is not shared.
#[test]
fn a_page_that_is_not_there_is_given_up_without_a_word_and_not_unshared() {
    let machine = machine();
    let guest = start(&machine, 1);
    let answer = |status: i64| Seen::Returned([status as u64, 0, 0, 0]);
    let call = |function, ipa| {
        let seen = play(&machine, &guest, [hvc(function, &[ipa])]);
        assert_eq!(seen.len(), 1);
        seen[0].clone()
    };
    map(&machine, &guest, 77, RAM + PAGE, 1);
    let given_up = hvc(smccc::KVM_MEM_RELINQUISH, &[RAM + PAGE]);
    machine.script(guest.vm, 0, [given_up]);
    assert_eq!(run(&machine, 0).reason, ExitReason::PageRelinquished);
    assert_eq!(play(&machine, &guest, []), [answer(smccc::SUCCESS)]);
    // Nothing is left of it; nothing was ever there.
    for ipa in [RAM + PAGE, RAM] {
        let given_up = call(smccc::KVM_MEM_RELINQUISH, ipa);
        assert_eq!(given_up, answer(smccc::SUCCESS));
        let unshared = call(smccc::KVM_MEM_UNSHARE, ipa);
        assert_eq!(unshared, answer(smccc::INVALID_PARAMETER));
    }
    let no_memory = call(smccc::KVM_MEM_RELINQUISH, RAM - PAGE);
    assert_eq!(no_memory, answer(smccc::INVALID_PARAMETER));
}

/// Relinquishing a page out of a block needs a table: without one the host is asked, and the guest
/// knows of nothing.
#[test]
fn relinquishing_out_of_a_block_waits_for_a_donation() {
    let machine = Machine::new(Config {
        pool_pages: 56,
        vms: 200,
        ..Config::default()
    });
    let guest = start(&machine, 1);
    let block = machine.host_page(0).next_multiple_of(2 << 20);
    let reply = machine.call(0, Call::VmMap, &[guest.vm, block, RAM, 512, RWX]);
    assert_eq!((reply.ok(), reply.x[1]), (512, 0));
    let small = build(&machine, 1);
    while machine.call(0, Call::VmCreate, &shape(1)).status == Status::Success {}
    for at in 0..8 {
        let lend = [small.vm, block + (2 << 20), RAM + (at << 21), 1, RWX];
        machine.call(0, Call::VmLend, &lend);
    }
    let free = machine.call(0, Call::EngineInfo, &[InfoIndex::FreePages.raw()]);
    assert_eq!(free.ok(), 0);
    let ipa = RAM + 5 * PAGE;
    machine.script(guest.vm, 0, [hvc(smccc::KVM_MEM_RELINQUISH, &[ipa])]);
    for _ in 0..2 {
        let exit = run(&machine, 0);
        assert_eq!((exit.reason, exit.d), (ExitReason::PoolEmpty, [0; 3]));
    }
    let donate = [block + (2 << 20) + PAGE, 4];
    machine.call(0, Call::EngineDonate, &donate).ok();
    let exit = run(&machine, 0);
    assert_eq!(
        (exit.reason, exit.d[0]),
        (ExitReason::PageRelinquished, ipa)
    );
    assert_eq!(play(&machine, &guest, []), [Seen::Returned([0; 4])]);
}

/// A level-triggered SPI whose line is high when its vCPU goes off is there when it comes back.
#[test]
fn a_line_that_is_high_outlives_cpu_off() {
    let machine = machine();
    let guest = start(&machine, 2);
    let turn_on = || {
        machine.script(guest.vm, 0, [hvc(psci::CPU_ON_64, &[1, RAM, 9])]);
        assert_eq!(run(&machine, 0).reason, ExitReason::VcpuOn);
        machine
            .call(0, Call::VcpuEnqueue, &[guest.vcpus[1], 1])
            .ok();
    };
    let look = |rest: Vec<GuestOp>| {
        machine.script(guest.vm, 1, [GuestOp::LookAtInterrupts]);
        machine.script(guest.vm, 1, rest);
        run(&machine, 1);
        let log = machine.log(guest.vm, 1);
        let mut lists = log.into_iter().filter_map(|seen| match seen {
            Seen::Interrupts(lists) => Some(lists),
            _ => None,
        });
        lists.next().expect("a look")
    };
    let (intid, assert, deassert) = (40, 1, 2);
    let inject = |kind| {
        machine
            .call(0, Call::VcpuInject, &[guest.vcpus[1], intid, kind, 0x80])
            .ok();
    };
    inject(assert);
    turn_on();
    let first = look(vec![hvc(psci::CPU_OFF, &[])]);
    assert_eq!(first.len(), 1, "asserted before CPU_ON");
    turn_on();
    assert_eq!(look(vec![hvc(psci::CPU_OFF, &[])]), first);
    inject(deassert);
    turn_on();
    assert_eq!(look(Vec::new()), []);
}
