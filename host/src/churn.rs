//! Calls that change state, from every core: a VM that never starts, to which each core lends and
//! donates.
//!
//! Invariants: each core has IPAs and pages of its own in the VM; the VM stays Building until the
//! end of the run, so that it also serves as the receiver of calls that must be refused.

use crate::{
    attack::{self, Tally},
    memory::{self, insist, progress},
    ram::{ALL, Ram},
    vm,
};
use abi::{Status, VmHandle, VmShape};
use alloc::{format, string::String, vec::Vec};
use el1::Lock;
use el1::{PAGE, Range, call, pages, println};

/// Pages that each core donates.
const DONATED: u64 = 4;
/// Pages of RAM for each core.
const PER_CORE: u64 = DONATED + LENT + 1;
/// Pages that each core lends, one call each, before one call takes all of them back: that one
/// costs every core of the machine an invalidation.
const LENT: u64 = 50;
/// Times that it does so.
const ROUNDS: u64 = 2;

/// The VM.
pub struct Churn {
    /// Its handle.
    pub vm: VmHandle,
    /// What came of the attempts at pages just given away.
    pub tally: Lock<Tally>,
    donated: Lock<Vec<Range>>,
    base: u64,
}

impl Churn {
    /// Creates the VM for `cores` cores, with RAM at `base`.
    pub fn create(base: u64, cores: usize) -> Result<Self, String> {
        let refused = |status: Status| format!("churn: VM_CREATE: {}", status.name());
        let size = cores as u64 * PER_CORE * PAGE;
        let ipa_bits = vm::ipa_bits(base + size).map_err(refused)?;
        let shape = VmShape {
            vcpus: 1,
            ipa_bits,
            lendable: 0b01,
        };
        let vm = insist(|| call::vm_create(shape, crate::fdt::GICR, (base, size), (0, 0)))
            .map_err(refused)?;
        Ok(Self {
            vm,
            tally: Lock::default(),
            donated: Lock::default(),
            base,
        })
    }

    /// First of a core's own IPAs: for pages to donate, then to lend, then the empty one.
    fn first_ipa(&self, core: usize) -> u64 {
        self.base + core as u64 * PER_CORE * PAGE
    }

    /// An IPA in its RAM, `core`'s own, that has no page: where refused donations aim.
    pub fn empty_ipa(&self, core: usize) -> u64 {
        self.first_ipa(core) + (PER_CORE - 1) * PAGE
    }

    /// A core's share of calls.
    pub fn run(&self, core: usize) {
        if let Err(status) = self.donate(core).and_then(|()| self.lend(core)) {
            println!("host: core {core}: churn: {}", status.name());
        }
    }

    fn donate(&self, core: usize) -> Result<(), Status> {
        let ipa = self.first_ipa(core);
        // No lock is held during a call: its waiters would keep emulated cores from what it needs.
        let mut ram = Ram::new(self.vm);
        let mut tally = Tally::default();
        for page in 0..DONATED {
            let pa = memory::take_patterned(1, PAGE).ok_or(Status::NoMemory)?;
            ram.donate(pa, ipa + page * PAGE, 1)?;
            // This core wrote to it a moment ago: what its TLB had must be gone.
            attack::touch(&mut tally, pa);
        }
        self.tally.lock().add(tally);
        self.donated.lock().extend_from_slice(ram.donated());
        Ok(())
    }

    fn lend(&self, core: usize) -> Result<(), Status> {
        let pa = memory::take_patterned(LENT, PAGE).ok_or(Status::NoMemory)?;
        let ipa = self.first_ipa(core) + DONATED * PAGE;
        for _ in 0..ROUNDS {
            for page in 0..LENT {
                let (from, to) = (pa + page * PAGE, ipa + page * PAGE);
                insist(|| progress(call::vm_lend(self.vm, from, to, 1, ALL)))?;
            }
            let mut back = 0;
            while back < LENT {
                let at = ipa + back * PAGE;
                back += insist(|| progress(call::vm_unlend(self.vm, at, LENT - back)))?;
            }
        }
        // SAFETY: lent and taken back: the pages are ours alone again.
        unsafe { pages::give(pa, LENT) };
        Ok(())
    }

    /// Where its pages came from.
    pub fn donated(&self) -> Vec<Range> {
        self.donated.lock().clone()
    }
}
