//! What walkers see once a call is over.

use crate::common::{RAM, RWX, build, machine};
use abi::{Call, Status};

/// A block is split for a page that is not to be had after all. Nothing follows that would make
/// walkers see the new table, but the split's own barrier; the machine's checks look for it.
#[test]
fn a_split_for_nothing_is_complete() {
    let machine = machine();
    let guest = build(&machine, 1);
    let page = machine.host_page(0).next_multiple_of(2 << 20) + 5 * 4096;
    let lend = [guest.vm, page, RAM, 1, RWX];
    machine.call(0, Call::VmLend, &lend).ok();
    let refused = machine.call(0, Call::VmMap, &[guest.vm, page, RAM + 4096, 1, RWX]);
    assert_eq!(refused.status, Status::NotOwner);
    machine.host_store(1, page + 4096).unwrap();
}
