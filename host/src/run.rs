//! Each core's loop: its share of calls and attacks, then vCPUs until no guest runs.
//!
//! Invariants: a core sleeps only with interrupts masked until WFI, so that no kick is lost; it
//! leaves the loop only when no guest runs, and after its attacks.

use crate::{
    attack, doom,
    exits::{self, Next},
    host::{Host, host},
    reclaim,
};
use core::sync::atomic::Ordering;
use el1::{call, cpu, gic, irq, println, psci, timer};

/// Milliseconds that a core runs guests at most before it looks around.
const BUDGET: u64 = 10;
/// Milliseconds between two looks at the guests' deadline.
const HOUSEKEEPING: u64 = 500;

/// Where secondaries begin.
pub fn secondary_main() -> ! {
    gic::init_core();
    let index = cpu::this().index;
    host().enter_core(index);
    run_core(index);
    reclaim::help(host());
    // Not asleep: an interrupt that nobody takes would end every WFI at once, and emulated cores
    // that spin keep the others from working.
    let refused = psci::cpu_off();
    println!("host: core {index}: CPU_OFF: {refused:?}");
    cpu::park()
}

/// Sleeps for `millis` milliseconds or until an interrupt.
pub fn nap(millis: u64) {
    timer::arm(timer::now() + timer::ticks(millis));
    irq::wait(|| false);
}

/// Runs vCPUs until no guest runs, then tells that this core has left.
pub fn run_core(core: usize) {
    let host = host();
    // The boot core's share came first of all.
    if core != 0 {
        host.churn.run(core);
    }
    let mut attacked = !host.args.attack;
    while host.is_running() {
        if !attacked && is_attackable(host) {
            attack(host, core);
            attacked = true;
        }
        match call::cpu_run(timer::ticks(BUDGET)) {
            Ok(exit) => {
                if let Next::Sleep(deadline) = exits::handle(host, &exit) {
                    sleep(host, core, deadline, attacked);
                }
            }
            Err(status) => {
                println!("host: core {core}: CPU_RUN: {}", status.name());
                nap(HOUSEKEEPING);
            }
        }
        if core == 0 {
            check_deadline(host);
        }
        doom::carry_out(host, core);
    }
    if !attacked {
        attack(host, core);
    }
    // Release: pairs with the Acquire in `reclaim::finish`; this core touches no guest any more.
    host.arrived.fetch_add(1, Ordering::Release);
}

fn sleep(host: &Host, core: usize, deadline: u64, attacked: bool) {
    let now = timer::now();
    let housekeeping = match core == 0 || !attacked || !host.args.fates.is_empty() {
        true => now + timer::ticks(HOUSEKEEPING),
        false => u64::MAX,
    };
    match deadline.min(housekeeping) {
        u64::MAX => timer::disarm(),
        deadline => timer::arm(deadline),
    }
    irq::wait(|| !host.is_running());
}

/// Whether a guest runs and has memory that came on faults.
fn is_attackable(host: &Host) -> bool {
    // Acquire: pairs with the Release in `exits::fault_in`.
    host.guests
        .iter()
        .all(|guest| guest.has_faulted.load(Ordering::Acquire))
}

fn attack(host: &Host, core: usize) {
    *host.cores[core].tally.lock() = attack::run(host, core);
    // Release: pairs with the Acquire in `Host::is_attack_over`.
    host.attacked.fetch_add(1, Ordering::Release);
}

fn check_deadline(host: &Host) {
    if timer::now() >= host.deadline {
        for guest in host.guests.iter().filter(|guest| !guest.has_ended()) {
            host.end_guest(guest, "its deadline");
        }
    }
}
