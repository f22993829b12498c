//! Guests meet their fates, and their memory comes home while the others run.
//!
//! Invariants: one core sees to a guest's fate, and runs none of its vCPUs if there is such a core:
//! the guest is ended from outside, in the midst of what it does. A guest that spins goes last,
//! after the memory of those that ended before it is home: else it is left to the deadline, and the
//! run fails.

use crate::{
    fate::{self, Fate},
    host::Host,
    reclaim,
    vm::Guest,
};
use core::sync::atomic::Ordering;
use el1::println;

/// Does what `core` has to do about the guests' fates now.
pub fn carry_out(host: &Host, core: usize) {
    for guest in &host.guests {
        if let Some(fate) = guest.fate
            && core == pick_core(host, guest)
        {
            if guest.has_ended() {
                bring_home(host, guest);
            } else if is_due(host, guest, fate) {
                host.end_guest(guest, fate.exit());
            }
        }
    }
}

/// The core that sees to it.
fn pick_core(host: &Host, guest: &Guest) -> usize {
    let runs_it = |core| guest.vcpus.iter().any(|vcpu| vcpu.core == core);
    let is_fit = |core| host.is_there(core) && !runs_it(core);
    fate::pick_core(host.cores.len(), is_fit)
}

fn is_due(host: &Host, guest: &Guest, fate: Fate) -> bool {
    let has_settled = |other: &Guest| match other.fate {
        None => other.has_ended(),
        Some(Fate::Spin) => true,
        // Relaxed: nothing else is read by it.
        Some(_) => other.is_home.load(Ordering::Relaxed),
    };
    let others_ended = host.guests.iter().all(has_settled);
    fate.is_due(&guest.report.lock(), others_ended)
}

fn bring_home(host: &Host, guest: &Guest) {
    // Relaxed: only this core writes it.
    if guest.is_home.load(Ordering::Relaxed) || !host.is_attack_over() {
        return;
    }
    if reclaim::bring_home(guest.vm) {
        println!("host: guest {}: its memory is home", guest.id);
        // Relaxed: as in `is_due`.
        guest.is_home.store(true, Ordering::Relaxed);
    }
}
