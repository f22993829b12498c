//! A VM's memory as the host sees it: which of its pages have been donated, and from where.
//!
//! Invariants: `blocks` has a bit for each IPA that the engine said it mapped, `donated` each
//! physical page that went with it, until they come home; written under its VM's lock.

use crate::memory::{self, BLOCK, BLOCK_PAGES, insist, progress};
use abi::{MapAttrs, Status, VmHandle};
use alloc::{collections::BTreeMap, vec::Vec};
use bitvec::BitArr;
use el1::{PAGE, Range, call, pages};

/// Most pages that one fault in a partly mapped block brings.
const FAULT_PAGES: usize = 32;
/// What a guest may do with its own memory.
pub const ALL: MapAttrs = MapAttrs::READ
    .union(MapAttrs::WRITE)
    .union(MapAttrs::EXECUTE);

/// Which pages of 2 MiB of IPA are there.
type Block = BitArr!(for BLOCK_PAGES as usize, in u64);

/// Place of a page in its 2 MiB.
fn index_in_block(ipa: u64) -> usize {
    (ipa % BLOCK / PAGE) as usize
}

/// Pages of a VM.
#[derive(Debug)]
pub struct Ram {
    vm: VmHandle,
    /// Which pages of each 2 MiB of IPA are there.
    blocks: BTreeMap<u64, Block>,
    /// Where the VM's pages came from.
    donated: Vec<Range>,
    /// Pages donated so far.
    pub count: u64,
}

impl Ram {
    /// The memory of a VM that has none yet.
    pub fn new(vm: VmHandle) -> Self {
        Self {
            vm,
            blocks: BTreeMap::new(),
            donated: Vec::new(),
            count: 0,
        }
    }

    /// Runs of physical pages that are the VM's.
    pub fn donated(&self) -> &[Range] {
        &self.donated
    }

    /// Donates fresh pages that hold `content`, from the page-aligned `ipa` on.
    pub fn put(&mut self, ipa: u64, content: &[u8]) -> Result<(), Status> {
        let mut done = 0;
        while done < content.len() {
            let at = ipa + done as u64;
            let room = BLOCK - at % BLOCK;
            let length = (content.len() - done).min(room as usize);
            let count = (length as u64).div_ceil(PAGE);
            let align = if count == BLOCK_PAGES { BLOCK } else { PAGE };
            let pa = memory::take_patterned(count, align).ok_or(Status::NoMemory)?;
            // SAFETY: just taken, and large enough.
            unsafe { memory::copy_in(pa, &content[done..done + length]) };
            self.donate(pa, at, count)?;
            done += length;
        }
        Ok(())
    }

    /// Donates what is missing at `ipa`: a whole block if none of it is there, else some pages.
    pub fn fault_in(&mut self, ipa: u64) -> Result<(), Status> {
        let block = ipa & !(BLOCK - 1);
        if !self.blocks.contains_key(&block)
            && let Some(pa) = memory::take_patterned(BLOCK_PAGES, BLOCK)
        {
            return self.donate(pa, block, BLOCK_PAGES);
        }
        let missing: Vec<u64> = (ipa..block + BLOCK)
            .step_by(PAGE as usize)
            .take_while(|at| !self.has(*at))
            .take(FAULT_PAGES)
            .collect();
        match missing.len() {
            // Another vCPU's fault brought it meanwhile.
            0 => Ok(()),
            _ => self.donate_scattered(&missing),
        }
    }

    fn has(&self, ipa: u64) -> bool {
        let block = self.blocks.get(&(ipa & !(BLOCK - 1)));
        block.is_some_and(|block| block[index_in_block(ipa)])
    }

    /// Notes that the guest gave the page at `ipa` back: its next access faults anew. The physical
    /// page is used for nothing before the end of the run, when it must be zero like all others.
    pub fn forget(&mut self, ipa: u64) {
        if let Some(block) = self.blocks.get_mut(&(ipa & !(BLOCK - 1))) {
            block.set(index_in_block(ipa), false);
        }
    }

    /// Notes `count` pages that the engine has mapped; they lie in one block.
    fn note(&mut self, pa: u64, ipa: u64, count: u64) {
        let first = index_in_block(ipa);
        let block = self.blocks.entry(ipa & !(BLOCK - 1)).or_default();
        block[first..first + count as usize].fill(true);
        self.donated.push(Range {
            start: pa,
            size: count * PAGE,
        });
        self.count += count;
    }

    /// `VM_MAP` of pages in a row until all are mapped; on an error the rest comes back.
    pub fn donate(&mut self, pa: u64, ipa: u64, count: u64) -> Result<(), Status> {
        let mut done = 0;
        while done < count {
            let (from, to, left) = (pa + done * PAGE, ipa + done * PAGE, count - done);
            match insist(|| progress(call::vm_map(self.vm, from, to, left, ALL))) {
                Ok(mapped) => {
                    self.note(from, to, mapped);
                    done += mapped;
                }
                Err(status) => {
                    // SAFETY: these were taken by our caller for us and the engine took none of
                    // them.
                    unsafe { pages::give(from, left) };
                    return Err(status);
                }
            }
        }
        Ok(())
    }

    /// `VM_MAP_LIST` of pages from anywhere.
    fn donate_scattered(&mut self, ipas: &[u64]) -> Result<(), Status> {
        let list = pages::take(1, PAGE).ok_or(Status::NoMemory)?;
        let mut entries = Vec::with_capacity(ipas.len());
        for &ipa in ipas {
            let Some(pa) = memory::take_patterned(1, PAGE) else {
                break;
            };
            entries.push((pa, ipa));
        }
        let result = self.map_list(list, &entries);
        // SAFETY: the engine has read the list, and the page is ours.
        unsafe { pages::give(list, 1) };
        match result {
            Ok(()) if entries.is_empty() => Err(Status::NoMemory),
            result => result,
        }
    }

    fn map_list(&mut self, list: u64, entries: &[(u64, u64)]) -> Result<(), Status> {
        let mut left = entries;
        while !left.is_empty() {
            for (index, (pa, ipa)) in left.iter().enumerate() {
                let entry = (list + 16 * index as u64) as *mut u64;
                // SAFETY: the list page is ours and holds 256 entries, more than a fault brings.
                unsafe {
                    entry.write(*pa);
                    entry.add(1).write(ipa | ALL.bits());
                }
            }
            match insist(|| progress(call::vm_map_list(self.vm, list, left.len() as u64))) {
                Ok(done) => {
                    let (mapped, rest) = left.split_at((done as usize).min(left.len()));
                    for (pa, ipa) in mapped {
                        self.note(*pa, *ipa, 1);
                    }
                    left = rest;
                }
                Err(status) => {
                    for (pa, _) in left {
                        // SAFETY: taken by `donate_scattered`, and not mapped.
                        unsafe { pages::give(*pa, 1) };
                    }
                    return Err(status);
                }
            }
        }
        Ok(())
    }
}
