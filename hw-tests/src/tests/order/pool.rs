//! The engine's pool in these rounds: what it returns must be the team's that donates.
//!
//! Invariant: what others had donated before is out of the pool while the rounds last, and in it again afterwards; its
//! tables come from what is the engine's own.

use super::{MOST_PAGES, PAGES, PATIENCE, Team};
use crate::{
    outcome::{OrFail, TestResult, check},
    vm::{in_full, insist},
};
use abi::{Call, PageClass, limit};
use alloc::vec::Vec;
use el1::{PAGE, call};

/// Pages that ENGINE_RECLAIM is asked for at most: what a note has room for.
pub const RETURNED: u64 = 2;

/// Takes back what was donated: the pages.
pub fn empty() -> TestResult<Vec<u64>> {
    let mut home = Vec::new();
    loop {
        let most = limit::ENGINE_RECLAIM_PAGES as u64;
        let (n, pages) = insist(|| call::engine_reclaim(most)).or_fail("ENGINE_RECLAIM")?;
        if n == 0 {
            return Ok(home);
        }
        home.extend(pages.iter().take(n as usize));
    }
}

/// Donates them again.
pub fn refill(mut pages: Vec<u64>) -> TestResult {
    pages.sort_unstable();
    for run in pages.chunk_by(|page, next| page + PAGE == *next) {
        in_full("ENGINE_DONATE", run.len() as u64, |done, left| {
            call::engine_donate(run[0] + done * PAGE, left.min(limit::RUN_PAGES as u64))
        })?;
    }
    Ok(())
}

impl Team {
    /// The first core, alone, when both VMs are over: what the engine has still comes home.
    pub(super) fn empty_pool(&self, round: usize) -> TestResult {
        let is_home = |page| {
            let class = call::page_info(page).map(|(class, _)| class);
            class == Ok(PageClass::Host.raw())
        };
        // A run may begin with the last page of those that calls are about.
        let touched = PAGES + MOST_PAGES - 1;
        let of = |block: u64| (0..touched).map(move |page| block + page * PAGE);
        for _ in 0..PATIENCE {
            if self.blocks.into_iter().flat_map(of).all(is_home) {
                return Ok(());
            }
            let _ = self.make(0, round, Call::EngineReclaim, &[RETURNED]);
        }
        check!(false, "pages of the engine's never come home");
        Ok(())
    }
}
