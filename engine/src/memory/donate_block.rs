//! A whole 2 MiB from the host to a VM, where one word, one entry of the guest's and one of the host's stand for it.
//!
//! The steps are those of `donate`, and where anything is not as simple the run goes that way, which also says why it is
//! refused. Invariant: nothing has changed but a guest's tables when this gives up.

use super::donate::MapRun;
use super::host_map::BLOCK_LEVEL;
use super::settled;
use crate::engine::Engine;
use crate::memory::runs::Runs;
use crate::platform::Platform;
use crate::stage2::MapError;
use crate::stage2::descriptor::{Access, Entry};
use crate::vm::PinnedVm;
use abi::Status;
use ownership::{Granule, GranuleSize, Op, Owner, State};
use percpu::CpuToken;

impl<P: Platform> Engine<P> {
    /// Gives the run, if it is one 2 MiB on both sides and held by single entries. Else `NO_MEMORY` where the VM's table
    /// is not to be had, and `BUSY`, which is for the caller to judge.
    pub(super) fn map_block(
        &self,
        cpu: &CpuToken,
        target: &PinnedVm<'_>,
        run: MapRun,
        access: Access,
    ) -> Result<(), Status> {
        let size = GranuleSize::Block2M;
        let granule = Granule::new(size, run.first).ok_or(Status::Busy)?;
        if run.pages != size.pages() || !run.ipa.page().is_multiple_of(size.pages()) {
            return Err(Status::Busy);
        }
        let (platform, pool) = (&self.parts.platform, &self.parts.pool);
        let stage2 = target.vm.stage2(target.slot, self.parts.host.geometry());
        let pages = &self.parts.pages;
        let of_host = State::Owned(Owner::Host);
        // Dropped on every way out of here: it rolls back.
        let claim = pages
            .claim_whole_in(granule, Op::VmMap, cpu.id().raw(), of_host)
            .map_err(|_| Status::Busy)?;
        let host = self
            .find_host(cpu, run.first, BLOCK_LEVEL)
            .map_err(|_| Status::Busy)?;
        match host.entry() {
            Entry::Leaf { .. } | Entry::Empty if host.level == BLOCK_LEVEL => {}
            // Its pages came home one by one, and nobody touched them since.
            Entry::Table(_) if host.level == BLOCK_LEVEL && self.is_empty_table(cpu, &host) => {}
            _ => return Err(Status::Busy),
        }
        let guest = stage2
            .take_entry(platform, cpu.id(), pool, run.ipa, BLOCK_LEVEL)
            .map_err(|error| match error {
                MapError::NoMemory => Status::NoMemory,
                _ => Status::Busy,
            })?;
        let mut runs = Runs::default();
        if let Entry::Leaf { .. } = host.entry() {
            self.unmap_entry(cpu, host.at, run.first, run.pages, &mut runs);
        }
        let flushed = self.flush_host(cpu, &runs);
        self.write_back(cpu, run.first, run.pages);
        self.forget_code(cpu);
        let leaf = self.ram_bits(access).leaf(run.first, BLOCK_LEVEL);
        platform.store_entry(cpu.id(), guest, leaf);
        self.publish_leaves(cpu);
        settled(claim.donate_to_vm(target.slot, &flushed));
        self.count_donated(cpu, run.pages, &runs);
        Ok(())
    }
}
