//! Pages and what stands for their content, for the models of ownership alone: no tables, no TLBs.

use crate::Arc;
use loom::cell::UnsafeCell;
use ownership::{
    Claim, Coverage, Flushed, Granule, HOST_VMID, Hold, Op, Owner, PageClaim, PageTable, Pfn,
    Refused, Scrubbed, State, VmSlot,
};
use sync::AtomicU64;

/// First page.
pub const BASE: Pfn = Pfn::from_raw(0x40000);
/// A VM.
pub const A: VmSlot = VmSlot::new(0).unwrap();
/// Another VM.
pub const B: VmSlot = VmSlot::new(1).unwrap();
/// The host's page.
pub const HOST: State = State::Owned(Owner::Host);
/// A page of `A`'s.
pub const OF_A: State = State::Owned(Owner::Vm(A));

/// Host pages, and for each something that stands for its content. A content may be touched by the
/// holder of the page's claim; loom fails the model when two do so without an order between them.
pub struct Machine {
    /// Whose they are.
    pub table: PageTable<Vec<AtomicU64>>,
    contents: Vec<UnsafeCell<u64>>,
}

// SAFETY: the contents are touched under claims only; that these exclude each other is what the
// models are about, and loom checks every access.
unsafe impl Sync for Machine {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Machine {}

impl Machine {
    /// So many host pages, in the largest granules.
    pub fn new(pages: usize) -> Arc<Self> {
        Arc::new(Self {
            table: words(pages),
            contents: (0..pages).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    /// Claims a page.
    pub fn claim(&self, index: u64, op: Op, cpu: u16) -> Result<PageClaim<'_>, Refused> {
        self.table.claim_page(page(index), op, cpu, |_| true)
    }

    /// Gives a page to a VM, as VM_MAP of one page does, and writes down there whose it is.
    pub fn donate(&self, index: u64, vm: VmSlot, cpu: u16) -> Result<(), Refused> {
        let claim = self
            .table
            .claim_page_in(page(index), Op::VmMap, cpu, HOST)?;
        self.give(claim, vm);
        Ok(())
    }

    /// Gives a page and the one behind it, as VM_MAP_LIST does.
    pub fn donate_with_next(&self, index: u64, vm: VmSlot, cpu: u16) -> Result<(), Refused> {
        let claimed = |index| self.table.claim_page_in(page(index), Op::VmMap, cpu, HOST);
        let first = claimed(index)?;
        let next = page(index + 1);
        let second = self
            .table
            .claim_page_beside(&first, next, Op::VmMap, cpu, HOST)
            .unwrap_or_else(|| claimed(index + 1))?;
        self.give(first, vm);
        self.give(second, vm);
        Ok(())
    }

    /// Gives one page as a run of one, whose words are looked for again to settle them.
    pub fn donate_run(&self, index: u64, vm: VmSlot, cpu: u16) -> Result<(), Refused> {
        let (claim, refused) = self.table.claim_run(page(index), 1, Op::VmMap, cpu, HOST);
        if let Some(refused) = refused {
            return Err(refused);
        }
        self.give(claim, vm);
        Ok(())
    }

    /// Gives a granule to a VM.
    pub fn donate_all(&self, granule: Granule, vm: VmSlot, cpu: u16) -> Result<(), Refused> {
        let claim = self.table.claim(granule, Op::VmMap, cpu, |_| true)?;
        self.give(claim, vm);
        Ok(())
    }

    fn give<H: Hold>(&self, claim: Claim<H>, vm: VmSlot) {
        let first = claim.pfn().raw() - BASE.raw();
        for index in first..first + claim.len() as u64 {
            self.write(index as usize, u64::from(vm.vmid()));
        }
        let done = claim.donate_to_vm(vm, &flushed(HOST_VMID));
        assert!(done.is_ok(), "a host page");
    }

    /// What the page's word says.
    pub fn state(&self, index: u64) -> State {
        self.table.state(page(index)).expect("in range")
    }

    /// Changes a page's content.
    pub fn write(&self, index: usize, value: u64) {
        // SAFETY: the caller holds the page's claim; loom checks.
        self.contents[index].with_mut(|content| unsafe { *content = value });
    }

    /// A page's content.
    pub fn read(&self, index: usize) -> u64 {
        // SAFETY: the caller holds the page's claim; loom checks.
        self.contents[index].with(|content| unsafe { *content })
    }
}

/// The words of so many host pages from [`BASE`] on, in the largest granules.
pub fn words(pages: usize) -> PageTable<Vec<AtomicU64>> {
    let clear = PageTable::<Vec<AtomicU64>>::words_to_clear(BASE, pages);
    let all = PageTable::<Vec<AtomicU64>>::words_for(BASE, pages);
    // What nobody has written yet names an owner: whoever reads it is found out.
    let garbage = ownership::Word::pack(State::Owned(Owner::Vm(B))).raw();
    let words = (0..all).map(|index| AtomicU64::new(if index < clear { 0 } else { garbage }));
    let mut table = PageTable::new(BASE, pages, words.collect());
    table.boot_set(BASE, pages, HOST).expect("fresh pages");
    table
}

/// A page by its number.
pub fn page(index: u64) -> Pfn {
    BASE.checked_add(index).expect("a small number")
}

/// A proof.
pub fn flushed(vmid: u16) -> Flushed {
    // SAFETY: there is no translation in these models.
    unsafe { Flushed::mint(Coverage::Vmid(vmid)) }
}

/// A proof.
pub fn scrubbed(page: Pfn, vm: VmSlot) -> Scrubbed {
    // SAFETY: what stands for the content is checked by loom instead.
    unsafe { Scrubbed::mint(page, &flushed(vm.vmid())) }
}
