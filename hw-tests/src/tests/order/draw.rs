//! What a core does next: random calls about the team's pages and VMs, and loads and stores of words of these pages.
//!
//! Invariant: nothing is chosen by what the engine told, but for which vCPUs there are.

use super::{BLOCK_BYTES, BLOCKS, LIST, MOST_PAGES, PAGES, TEAM, Team, VCPUS, VMS, WORDS, pool};
use crate::{
    guest::RAM,
    outcome::{OrFail, TestResult},
    random::Random,
    team,
    vm::ALL,
};
use abi::{Call, VcpuHandle};
use core::{ops::Range, sync::atomic::Ordering};
use el1::PAGE;

/// Rights of what is mapped.
pub const RIGHTS: u64 = ALL.bits();

/// The kinds that lend and, twice as often, end loans.
const LENDING: Range<u64> = 13..19;

/// The address of any page of a VM's that calls are about; the first is [`RAM`].
pub fn any_page(random: &mut Random) -> u64 {
    RAM + random.below(BLOCKS as u64) * BLOCK_BYTES + random.below(PAGES) * PAGE
}

impl Team {
    /// Loads or stores a random word of the pages.
    pub(super) fn touch(&self, seat: usize, round: usize, random: &mut Random) -> TestResult {
        let number = random.below(BLOCKS as u64 * PAGES * WORDS.len() as u64);
        let at = self.words().nth(number as usize).or_fail("a word")?;
        match random.below(2) {
            0 => self.load(seat, round, at),
            _ => self.store(seat, round, at),
        }
    }

    /// A random call.
    pub(super) fn draw(&self, seat: usize, round: usize, random: &mut Random) {
        // Most that is done beside a guest is about the page where it is most.
        let has_guest = self.guest.load(Ordering::Relaxed) != 0;
        let is_beside = has_guest && random.below(4) > 0;
        let number = if is_beside {
            0
        } else {
            random.below(VMS as u64)
        };
        let vm = self.vms[number as usize].load(Ordering::Relaxed);
        let pa = |random: &mut Random| {
            let block = self.blocks[random.below(BLOCKS as u64) as usize];
            block + random.below(PAGES) * PAGE
        };
        let ipa = |random: &mut Random| match is_beside {
            true => RAM,
            false => any_page(random),
        };
        let vcpu_cell = &self.vcpus[random.below(self.vcpus.len() as u64) as usize];
        let vcpu = vcpu_cell.load(Ordering::Relaxed);
        let kinds = if self.has_pool { 38 } else { 32 };
        let kind = match is_beside {
            true => LENDING.start + random.below(LENDING.end - LENDING.start),
            false => random.below(kinds),
        };
        match kind {
            0..8 => {
                let (pa, at) = (pa(random), ipa(random));
                let n = 1 + random.below(MOST_PAGES);
                let _ = self.make(seat, round, Call::VmMap, &[vm, pa, at, n, RIGHTS]);
            }
            8..11 => {
                let list = self.lists[seat] as *mut u64;
                for entry in 0..LIST as usize {
                    let (pa, at) = (pa(random), ipa(random));
                    // SAFETY: the list's page is this core's own.
                    unsafe {
                        list.add(2 * entry).write_volatile(pa);
                        list.add(2 * entry + 1).write_volatile(at | RIGHTS);
                    }
                }
                let arguments = [vm, self.lists[seat], LIST];
                let _ = self.make(seat, round, Call::VmMapList, &arguments);
            }
            11..15 => {
                let (pa, at) = (pa(random), ipa(random));
                let _ = self.make(seat, round, Call::VmLend, &[vm, pa, at, 1, RIGHTS]);
            }
            15..19 => {
                let at = ipa(random);
                let _ = self.make(seat, round, Call::VmUnlend, &[vm, at, 1]);
            }
            19..22 => {
                let _ = self.make(seat, round, Call::PageInfo, &[pa(random)]);
            }
            22 => {
                let _ = self.make(seat, round, Call::VmDestroy, &[vm]);
            }
            23..25 => {
                let _ = self.make(seat, round, Call::VmReclaim, &[vm, 1 + random.below(4)]);
            }
            // Where a guest runs, nothing else may.
            25 if !has_guest => {
                let _ = self.make(seat, round, Call::VmStart, &[vm]);
            }
            25 => {
                let _ = self.make(seat, round, Call::PageInfo, &[pa(random)]);
            }
            26..28 => {
                let arguments = [vm, random.below(VCPUS), RAM, 0];
                if let Ok(results) = self.make(seat, round, Call::VcpuCreate, &arguments) {
                    vcpu_cell.store(results[0], Ordering::Relaxed);
                }
            }
            32..35 => {
                let arguments = [pa(random), 1 + random.below(MOST_PAGES)];
                let _ = self.make(seat, round, Call::EngineDonate, &arguments);
            }
            35.. => {
                let most = 1 + random.below(pool::RETURNED);
                let _ = self.make(seat, round, Call::EngineReclaim, &[most]);
            }
            _ if vcpu == 0 => {
                let _ = self.make(seat, round, Call::PageInfo, &[pa(random)]);
            }
            28..30 => {
                let to = self.cores[random.below(TEAM as u64) as usize];
                let arguments = [vcpu, team::engine_cpu(to)];
                let _ = self.make(seat, round, Call::VcpuEnqueue, &arguments);
            }
            30 => {
                let _ = self.make(seat, round, Call::VcpuDequeue, &[vcpu]);
            }
            _ => {
                let arguments = [VcpuHandle::from_raw(vcpu).raw(), 40, 0, 0x80];
                let _ = self.make(seat, round, Call::VcpuInject, &arguments);
            }
        }
    }
}
