//! I7: a refused call changes nothing that a VM or the host can observe.
//!
//! Said only of a call beside which no other core acted: what else changed would be that core's doing.
//! In most executions some call is alone. So what BUSY rolls back beside its rival is not compared here, nor
//! are guests' refused calls: the simulated machine compares every refused call.
//!
//! Invariant: looking takes no step of the model's.

use crate::hardware::Hardware;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What can be observed: what pages hold, and which of them VMs find where.
#[derive(PartialEq, Eq, Debug)]
pub struct Observed {
    contents: BTreeMap<u64, u64>,
    /// VMID, IPA page, page.
    mapped: BTreeSet<(u16, u64, u64)>,
}

impl Observed {
    /// As it is now. The host's own leaves don't count: it is given them when it asks.
    pub fn now(hardware: &Hardware) -> Self {
        let leaves = hardware.vms_leaves();
        let pages = leaves.flat_map(|leaf| {
            let page = move |offset| (leaf.vmid, leaf.ipa_page + offset, leaf.page + offset);
            (0..leaf.pages).map(page)
        });
        Self {
            contents: hardware.contents(),
            mapped: pages.collect(),
        }
    }
}

/// Who acts. Relaxed everywhere: loom's threads all run on one.
#[derive(Default)]
pub struct Witness {
    begun: AtomicU64,
    under_way: AtomicU64,
}

/// An act that has begun.
#[must_use]
pub struct Act {
    number: u64,
    /// What was there, if nobody else acted.
    before: Option<Observed>,
}

impl Witness {
    /// A core begins to act.
    pub fn begin(&self, hardware: &Hardware) -> Act {
        let is_alone = self.under_way.fetch_add(1, Relaxed) == 0;
        Act {
            number: self.begun.fetch_add(1, Relaxed),
            before: is_alone.then(|| Observed::now(hardware)),
        }
    }

    /// It is done, and has changed nothing if it `was_refused`.
    pub fn end(&self, act: Act, was_refused: bool, hardware: &Hardware) {
        self.under_way.fetch_sub(1, Relaxed);
        let is_last = self.begun.load(Relaxed) == act.number + 1;
        if let Some(before) = act.before.filter(|_| is_last && was_refused) {
            assert_eq!(
                before,
                Observed::now(hardware),
                "I7: a refused call changed something"
            );
        }
    }
}
