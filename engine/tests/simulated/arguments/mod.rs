//! Malformed arguments of every call: the documented status, and nothing changes (which the machine
//! checks after each refusal).
//!
//! Scenario 7: a region that is no RAM (MMIO) given as memory. Scenario 8: unaligned and overflowing
//! ranges.

mod cores;
mod machines;
mod memory;

use abi::{Call, Status};
use engine::sim::Machine;

const MMIO: u64 = 0x0900_0000;
const FIRMWARE: u64 = 0x4000_0000;
const WRAPS: u64 = !0xfff;

#[track_caller]
fn refuse(machine: &Machine, call: Call, arguments: &[u64], status: Status) {
    let reply = machine.call(1, call, arguments);
    assert_eq!(reply.status, status, "{} {arguments:x?}", call.name());
}

/// Each position of `good` in turn replaced by each of the values listed for it.
fn refuse_each(machine: &Machine, call: Call, good: &[u64], bad: &[(usize, u64, Status)]) {
    for (position, value, status) in bad {
        let mut arguments = good.to_vec();
        arguments[*position] = *value;
        refuse(machine, call, &arguments, *status);
    }
    assert_eq!(
        machine.call(1, call, good).status,
        Status::Success,
        "the good one"
    );
}
