//! Memory calls: argument checks, the VM's pin and phase, then the operation of `memory`.
//!
//! None of them is inlined into the dispatcher, whose stack frame would be the sum of theirs.

use super::arguments::{access, ipa, page, pages, run};
use super::{Answer, Outcome};
use crate::bite::Bite;
use crate::engine::Engine;
use crate::memory::Batch;
use crate::memory::donate::MapRun;
use crate::memory::donate_list::{self, ListEntry};
use crate::platform::Platform;
use crate::vm::PinnedVm;
use crate::vm::life::Phase;
use abi::{
    ARGUMENT_REGISTERS, EngineDonateArgs, EngineReclaimArgs, PagePoisonArgs, Status, VmHandle,
    VmLendArgs, VmMapArgs, VmMapListArgs, VmUnlendArgs, limit,
};
use ownership::{Ipa, Op, Owner, PAGE_SIZE, Pfn, State};
use percpu::CpuToken;

/// What a call about many pages did, or why it was refused.
type Batched = Result<Batch, Status>;

/// Bits of a VM_MAP_LIST entry's second word that are rights; the rest is the IPA.
const LIST_RIGHTS: u64 = PAGE_SIZE - 1;

impl<P: Platform> Engine<P> {
    /// Pins a VM that pages may be added to or taken from.
    fn pin_for_memory(&self, cpu: &CpuToken, vm: VmHandle) -> Result<PinnedVm<'_>, Status> {
        let pinned = self.pin_vm(cpu, vm)?;
        match pinned.phase {
            Phase::Building | Phase::Running => Ok(pinned),
            _ => Err(Status::BadState),
        }
    }

    /// Refuses at once, without splitting anything, what is plainly not the host's to give.
    fn check_is_host_ram(&self, page: Pfn) -> Result<(), Status> {
        match self.parts.pages.state(page) {
            None | Some(State::Reserved | State::HostFixed) => Err(Status::NotRam),
            Some(_) => Ok(()),
        }
    }

    #[inline(never)]
    pub(super) fn call_vm_map(&self, cpu: &CpuToken, x: &[u64; ARGUMENT_REGISTERS]) -> Batched {
        let VmMapArgs {
            vm,
            pa,
            ipa: at,
            n,
            attrs,
        } = VmMapArgs::from_registers(x);
        let n = pages(n, limit::MAP_PAGES)?;
        let first = run(pa, n)?;
        let at = ipa(at, n, self.parts.host.geometry())?;
        let access = access(attrs)?;
        let pinned = self.pin_for_memory(cpu, vm)?;
        #[cfg(mutant = "map-gives-way")]
        if self.pinned_elsewhere(cpu, pinned.slot).0 != 0 {
            return Err(Status::Busy);
        }
        if !pinned.vm.ram_holds(at.page(), n) && cfg!(not(mutant = "map-anywhere")) {
            return Err(Status::OutOfRange);
        }
        let run = MapRun {
            first,
            ipa: at,
            pages: n,
        };
        Ok(self.map_run(cpu, &pinned, run, access))
    }

    #[inline(never)]
    pub(super) fn call_vm_map_list(
        &self,
        cpu: &mut CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Batched {
        let VmMapListArgs { vm, list, n } = VmMapListArgs::from_registers(x);
        let n = pages(n, limit::MAP_LIST_PAGES)?;
        let list = page(list)?;
        let pinned = self.pin_for_memory(cpu, vm)?;
        // More would wait for another call.
        let n = n.min(donate_list::MOST as u64);
        let mut all = [0; 2 * donate_list::MOST];
        let words = all.get_mut(..2 * n as usize).unwrap_or_default();
        self.copy_list(cpu, list, words)?;
        let mut bite = Bite::default();
        let geometry = self.parts.host.geometry();
        let entries = words.chunks_exact(2).map(|pair| {
            let (pa, target) = (pair[0], pair[1]);
            let at = ipa(target & !LIST_RIGHTS, 1, geometry)?;
            let access = access(target & LIST_RIGHTS)?;
            let page = page(pa)?;
            if !pinned.vm.ram_holds(at.page(), 1) && cfg!(not(mutant = "map-anywhere")) {
                return Err(Status::OutOfRange);
            }
            Ok(ListEntry {
                page,
                ipa: at,
                access,
            })
        });
        let batch = self.map_list(cpu, &pinned, entries, &mut bite);
        // The list's page has a word of its own now.
        self.let_rest(cpu, list, &mut bite);
        Ok(batch)
    }

    /// Copies the host's list once, under the page's claim: what is checked is what is used.
    fn copy_list(&self, cpu: &CpuToken, list: Pfn, words: &mut [u64]) -> Result<(), Status> {
        let claim = self
            .parts
            .pages
            .claim_page(list, Op::ReadList, cpu.id().raw(), |state| {
                state == State::Owned(Owner::Host)
            })
            .map_err(crate::memory::status_of_refusal)?;
        let read = self.parts.platform.read_page(cpu.id(), list, words);
        claim.release();
        // A list that can't be read stays the host's, who may report it.
        read.map_err(|_| Status::NotRam)
    }

    #[inline(never)]
    pub(super) fn call_vm_lend(&self, cpu: &CpuToken, x: &[u64; ARGUMENT_REGISTERS]) -> Batched {
        let VmLendArgs {
            vm,
            pa,
            ipa: at,
            n,
            attrs,
        } = VmLendArgs::from_registers(x);
        let n = pages(n, limit::RUN_PAGES)?;
        let first = run(pa, n)?;
        let at = ipa(at, n, self.parts.host.geometry())?;
        let access = access(attrs)?;
        let pinned = self.pin_for_memory(cpu, vm)?;
        if !pinned.vm.is_lendable(at.page(), n) && cfg!(not(mutant = "lend-anywhere")) {
            return Err(Status::OutOfRange);
        }
        Ok(self.lend_run(cpu, &pinned, first, at, n, access))
    }

    #[inline(never)]
    pub(super) fn call_vm_unlend(
        &self,
        cpu: &mut CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Batched {
        let VmUnlendArgs { vm, ipa: at, n } = VmUnlendArgs::from_registers(x);
        let n = pages(n, limit::RUN_PAGES)?;
        let at: Ipa = ipa(at, n, self.parts.host.geometry())?;
        let pinned = self.pin_for_memory(cpu, vm)?;
        if !pinned.vm.ram_holds(at.page(), n) {
            return Err(Status::OutOfRange);
        }
        let (batch, last) = self.unlend_run(cpu, &pinned, at, n);
        if let Some(page) = last {
            self.let_rest(cpu, page, &mut Bite::spent());
        }
        Ok(batch)
    }

    #[inline(never)]
    pub(super) fn call_engine_donate(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Batched {
        let EngineDonateArgs { pa, n } = EngineDonateArgs::from_registers(x);
        let n = pages(n, limit::RUN_PAGES)?;
        let first = run(pa, n)?;
        self.check_is_host_ram(first)?;
        let batch: Batch = self.donate_to_engine(cpu, first, n);
        Ok(batch)
    }

    #[inline(never)]
    pub(super) fn call_engine_reclaim(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
        beyond: &mut super::Beyond,
    ) -> Outcome {
        let max = EngineReclaimArgs::from_registers(x).max;
        let max = pages(max, limit::ENGINE_RECLAIM_PAGES)?;
        let home = self.reclaim_from_engine(cpu, max as usize);
        let mut results = [0; super::RESULTS];
        results[0] = home.len() as u64;
        let registers = results[1..].iter_mut().chain(beyond);
        for (register, page) in registers.zip(&home) {
            *register = page.pa().raw();
        }
        Ok(Answer::with(&results))
    }

    pub(super) fn call_page_poison(
        &self,
        cpu: &CpuToken,
        x: &[u64; ARGUMENT_REGISTERS],
    ) -> Outcome {
        let page = page(PagePoisonArgs::from_registers(x).pa)?;
        self.check_is_host_ram(page)?;
        self.poison(cpu, page)?;
        Ok(Answer::DONE)
    }
}
