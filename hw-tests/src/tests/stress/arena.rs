//! The pages that the stress is about, and what may be found in them.
//!
//! A word of a page is 0; or, every [`STEP`] bytes, what the host wrote there, which says where that is, or what
//! a guest left for the host ([`PUBLIC`]). What a guest keeps to itself begins with
//! a byte of its own: the host must never read it.
//!
//! Invariants: the pages lie in whole blocks of 2 MiB, spread over all RAM; nobody but the stress uses them until
//! [`Arena::give_back`].

use crate::{
    guest::{PUBLIC, STEP},
    outcome::{OrFail, TestResult},
    random::Random,
};
use abi::limit;
use alloc::vec::Vec;
use el1::{PAGE, pages, probe};

/// Pages of a block.
pub const BLOCK: u64 = limit::RUN_PAGES as u64;
/// Bytes of a block.
const BLOCK_BYTES: u64 = BLOCK * PAGE;
/// Top byte of a word that the host wrote.
const HOSTS: u64 = 0x48;
/// Pages that all cores want most: so few that they meet there.
const HOT: u64 = 48;

/// The blocks.
pub struct Arena(Vec<u64>);

/// A word where it must not be.
#[derive(Clone, Copy, Debug)]
pub struct Wrong {
    /// Its address.
    pub at: u64,
    /// The word.
    pub word: u64,
}

/// Every word of a page.
pub const LOOK: u64 = 8;

/// What the host writes at `at`.
pub fn hosts_word(at: u64) -> u64 {
    HOSTS << 56 | at
}

/// Looks at a page that may or may not be the host's: false if it is not.
///
/// Others may use the page meanwhile, so that each word is judged by itself.
pub fn look_at(page: u64, stride: u64) -> Result<bool, Wrong> {
    for at in (page..page + PAGE).step_by(stride as usize) {
        let Ok(word) = probe::load(at) else {
            return Ok(false);
        };
        let may_be_written = at.is_multiple_of(STEP);
        let is_known = word == hosts_word(at) || word >> 56 == PUBLIC;
        if word != 0 && !(may_be_written && is_known) {
            return Err(Wrong { at, word });
        }
    }
    Ok(true)
}

/// Writes the host's word at `at`, if it is the host's to write.
pub fn mark(at: u64) {
    // SAFETY: `at` lies in a page of the arena, which nothing of Rust's is in.
    let _ = unsafe { probe::store(at, hosts_word(at)) };
}

impl Arena {
    /// Takes so many blocks, far from each other, every word the host's or 0.
    pub fn new(blocks: u64) -> TestResult<Self> {
        let ram = pages::list_free();
        let widest = ram.last().or_fail("free RAM")?;
        let apart = widest.size / blocks;
        let mut arena = Self(Vec::new());
        for index in 0..blocks {
            let from = widest.start + index * apart;
            let block = pages::take_from(from, BLOCK, BLOCK_BYTES)
                .or_else(|| pages::take(BLOCK, BLOCK_BYTES))
                .or_fail("2 MiB of RAM")?;
            for at in (block..block + BLOCK_BYTES).step_by(8) {
                let value = if at.is_multiple_of(STEP) {
                    hosts_word(at)
                } else {
                    0
                };
                // SAFETY: just taken, for the stress alone.
                unsafe { (at as *mut u64).write_volatile(value) };
            }
            arena.0.push(block);
        }
        Ok(arena)
    }

    /// Every page.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        let blocks = self.0.iter();
        blocks.flat_map(|block| (0..BLOCK).map(move |page| block + page * PAGE))
    }

    /// Whether `pa` lies in it.
    pub fn holds(&self, pa: u64) -> bool {
        let mut blocks = self.0.iter();
        blocks.any(|block| (*block..block + BLOCK_BYTES).contains(&pa))
    }

    /// A page; one of four times one that many want.
    pub fn any(&self, random: &mut Random) -> u64 {
        let all = self.0.len() as u64 * BLOCK;
        let number = match random.below(4) {
            0 => random.below(HOT.min(all)),
            _ => random.below(all),
        };
        self.0[(number / BLOCK) as usize] + number % BLOCK * PAGE
    }

    /// A block.
    pub fn any_block(&self, random: &mut Random) -> u64 {
        self.0[random.below(self.0.len() as u64) as usize]
    }

    /// A run of at most `most` pages within one block.
    pub fn any_run(&self, random: &mut Random, most: u64) -> (u64, u64) {
        let page = self.any(random);
        let left = (BLOCK_BYTES - page % BLOCK_BYTES) / PAGE;
        (page, (1 + random.below(most)).min(left))
    }

    /// Gives all pages back for which `is_home` holds.
    pub fn give_back(&self, is_home: impl Fn(u64) -> bool) {
        for page in self.pages().filter(|page| is_home(*page)) {
            // SAFETY: the stress is over, and the page came from the allocator.
            unsafe { pages::give(page, 1) };
        }
    }
}
