//! An engine that only lends pages: the protocol is Bulkhead's, tables and calls are its own.

use ownership::{Op, PageTable, Pfn, VmSlot};
use percpu::CpuToken;
use sync::AtomicU64;

/// Lends a page of the host's to a VM, from the core whose token this is; whether it did.
pub fn lend(pages: &PageTable<Vec<AtomicU64>>, core: &CpuToken, page: Pfn, vm: VmSlot) -> bool {
    let claim = pages.claim_page(page, Op::Lend, core.id().raw(), |_| true);
    claim.is_ok_and(|claim| claim.lend_to(vm).is_ok())
}
