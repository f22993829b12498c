//! The platform that the engine sees.
//!
//! Invariants: the engine reaches a table only through here and only in pages that are mapped at EL2;
//! barriers and invalidations do what the Arm ARM promises for them and nothing more; a page is
//! scrubbed only when no translation, left over or not, reaches it.

use super::hardware::{HostException, Sim, el2_places};
use crate::memory::pool::TablePages;
use crate::platform::{Barrier, Broken, EntryAt, Features, Platform, Tlbi, Zeroed};
use crate::vcpu::context::{Context, GuestExit, Stop};
use crate::vm::HOST_VMID;
use ownership::Pfn;
use percpu::CpuId;
use std::format;
use std::sync::Arc;
use sync::Ordering;

/// What a borrowed regime must be given back as.
pub struct SavedRegime {
    vttbr: u64,
    borrowed: Option<u16>,
}

impl Platform for Sim {
    type Store<T: 'static> = Arc<[T]>;
    type SavedRegime = SavedRegime;

    fn features(&self) -> &Features {
        &self.features
    }

    fn counter(&self, _cpu: CpuId) -> u64 {
        // Relaxed: time is nobody's publication.
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    fn entry(&self, _cpu: CpuId, at: EntryAt) -> u64 {
        self.check_el2(&mut self.inner(), at.table);
        self.ram.load(at.table.raw(), usize::from(at.index))
    }

    fn swap_entry(&self, cpu: CpuId, at: EntryAt, old: u64, new: u64) -> Result<(), u64> {
        let mut inner = self.inner();
        self.check_el2(&mut inner, at.table);
        self.ram
            .swap(at.table.raw(), usize::from(at.index), old, new)?;
        self.entry_changed(&mut inner, cpu, at, old, new);
        Ok(())
    }

    fn store_entry(&self, cpu: CpuId, at: EntryAt, value: u64) {
        let mut inner = self.inner();
        self.check_el2(&mut inner, at.table);
        let old = self.ram.load(at.table.raw(), usize::from(at.index));
        self.ram.store(at.table.raw(), usize::from(at.index), value);
        self.entry_changed(&mut inner, cpu, at, old, value);
    }

    fn clear_table(&self, _cpu: CpuId, table: Pfn) {
        let mut inner = self.inner();
        self.check_el2(&mut inner, table);
        let place = inner.walkers.place(table.raw());
        let live = place.is_none_or(|place| inner.tlb.any_may_hold(place.vmid));
        if live && inner.walkers.may_walk(table.raw()) {
            inner.violation(format!(
                "table {:#x} was cleared under a walker",
                table.raw()
            ));
        }
        let link = inner.tlb.links().find(|link| link.table == table.raw());
        if let Some(link) = link {
            let what = format!("a table was cleared that walks may still go on in: {link:?}");
            inner.violation(what);
        }
        inner.walkers.forget(table.raw());
        self.ram.clear(table.raw());
    }

    fn barrier(&self, cpu: CpuId, barrier: Barrier) {
        let mut inner = self.inner();
        let core = cpu.index();
        if let Barrier::DsbIshst | Barrier::DsbIsh = barrier {
            let (gone, links) = inner.walkers.complete(core);
            for gone in gone {
                inner.tlb.retire(gone);
            }
            for link in links {
                inner.tlb.unlink(link);
            }
        }
        match barrier {
            Barrier::DsbIsh => inner.tlb.complete(core, false),
            Barrier::DsbNsh => inner.tlb.complete(core, true),
            Barrier::DsbIshst | Barrier::Isb => {}
        }
    }

    fn tlbi(&self, cpu: CpuId, op: Tlbi) {
        let mut inner = self.inner();
        if op == Tlbi::Vmalls12e1is {
            // What vCPUs of the VM left cached goes with it.
            let vmid = (inner.cores[cpu.index()].vttbr >> 48) as u16;
            for core in &mut inner.cores {
                core.cached_for.remove(&vmid);
            }
        }
        inner.tlb.issue(cpu.index(), op);
    }

    fn invalidate_icache(&self, _cpu: CpuId) {}

    fn vttbr(&self, cpu: CpuId) -> u64 {
        self.inner().cores[cpu.index()].vttbr
    }

    fn borrow_regime(&self, cpu: CpuId, vttbr: u64) -> SavedRegime {
        let mut inner = self.inner();
        let vmid = self.learn(&mut inner, vttbr);
        let borrowed = inner.tlb.borrow(cpu.index(), vmid);
        let saved = std::mem::replace(&mut inner.cores[cpu.index()].vttbr, vttbr);
        SavedRegime {
            vttbr: saved,
            borrowed,
        }
    }

    fn return_regime(&self, cpu: CpuId, saved: SavedRegime) {
        let mut inner = self.inner();
        inner.cores[cpu.index()].vttbr = saved.vttbr;
        inner.tlb.end_borrow(cpu.index(), saved.borrowed);
    }

    fn zero_page(&self, _cpu: CpuId, page: Pfn) -> Result<Zeroed, Broken> {
        let mut inner = self.inner();
        if let Some(who) = self.reached_by_other(&inner, u16::MAX, page.raw()) {
            inner.violation(format!(
                "page {:#x} was scrubbed while reached by {who}",
                page.raw()
            ));
        }
        *inner.zeroed.entry(page.raw()).or_default() += 1;
        if inner.broken.contains(&page.raw()) {
            return Err(Broken);
        }
        let was_nonzero = self.ram.clear(page.raw());
        if inner.stuck.contains(&page.raw()) {
            self.ram.store(page.raw(), 511, 1 << 40);
        }
        Ok(Zeroed {
            was_nonzero,
            reads_zero: self.ram.is_zero(page.raw()),
        })
    }

    fn clean_page(&self, _cpu: CpuId, _page: Pfn) {}

    fn read_page(&self, _cpu: CpuId, page: Pfn, into: &mut [u64]) -> Result<(), Broken> {
        if self.inner().broken.contains(&page.raw()) {
            return Err(Broken);
        }
        for (index, word) in into.iter_mut().enumerate() {
            *word = self.ram.load(page.raw(), index);
        }
        Ok(())
    }

    fn engine_tables_missing(&self, _cpu: CpuId, page: Pfn) -> usize {
        let inner = self.inner();
        let missing = |place: &_| !inner.el2_tables.contains_key(place);
        el2_places(page.raw())
            .iter()
            .filter(|place| missing(place))
            .count()
    }

    fn map_engine_page<T: TablePages>(&self, cpu: CpuId, page: Pfn, tables: &T) -> bool {
        for place in el2_places(page.raw()) {
            if self.inner().el2_tables.contains_key(&place) {
                continue;
            }
            let Some(table) = tables.take_table(cpu.index()) else {
                return false;
            };
            let mut inner = self.inner();
            self.check_el2(&mut inner, table);
            if !self.ram.is_zero(table.raw()) {
                inner.violation(format!("EL2 linked {table:?}, which is not all zero"));
            }
            inner.el2_tables.insert(place, Some(table.raw()));
        }
        let mut inner = self.inner();
        if let Some(who) = self.reached_by_other(&inner, u16::MAX, page.raw()) {
            inner.violation(format!("EL2 took page {:#x}, reached by {who}", page.raw()));
        }
        inner.el2.insert(page.raw());
        true
    }

    fn unmap_engine_page(&self, _cpu: CpuId, page: Pfn) -> bool {
        let was_mapped = self.inner().el2.remove(&page.raw());
        if !was_mapped {
            let what = format!("EL2 gave up page {:#x}, which it had not", page.raw());
            self.inner().violation(what);
        }
        was_mapped
    }

    fn send_sgi(&self, _cpu: CpuId, to: CpuId, _sgi: u8) {
        self.inner().cores[to.index()].doorbell = true;
    }

    fn host_interrupt_pending(&self, cpu: CpuId, _doorbell: Option<u8>) -> bool {
        let mut inner = self.inner();
        let core = &mut inner.cores[cpu.index()];
        core.looks += 1;
        core.doorbell = false;
        core.interrupt
    }

    fn run_guest(
        &self,
        cpu: CpuId,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit {
        self.run_script(cpu, context, vttbr, until, answer)
    }

    fn leave_regime(&self, cpu: CpuId) {
        let mut inner = self.inner();
        let host = inner.walkers.root(HOST_VMID).unwrap_or(0) << 12;
        self.enter(&mut inner, cpu.index(), host);
    }

    fn return_to_host(&self, _cpu: CpuId) {}

    fn forget_last_vcpu(&self, cpu: CpuId, vttbr: u64) {
        let mut inner = self.inner();
        inner.cores[cpu.index()]
            .cached_for
            .remove(&((vttbr >> 48) as u16));
    }

    fn host_vectors(&self, _cpu: CpuId) -> (u64, u64) {
        (super::host::HOST_VECTORS, 0)
    }

    fn set_host_exception(&self, cpu: CpuId, elr: u64, _spsr: u64, esr: u64, far: u64) {
        self.inner().cores[cpu.index()].exception = Some(HostException { esr, elr, far });
    }

    fn smc(&self, _cpu: CpuId, x: &mut [u64; 18]) {
        x[0] = abi::smccc::NOT_SUPPORTED as u64;
    }

    fn release_core(&self, _cpu: CpuId, _target: CpuId) {}

    fn device_read(&self, _cpu: CpuId, _pa: u64, _size: u8) -> u64 {
        0
    }

    fn device_write(&self, _cpu: CpuId, _pa: u64, _size: u8, _value: u64) {}
}
