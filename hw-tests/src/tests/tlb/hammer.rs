//! All cores of the host at work on the same pages while one takes them away.
//!
//! Each core loads and stores words of its own, in turn, and knows what they must hold. A flag is read before
//! an access or after it, so that each answer can be judged without a clock: none fails before the taking
//! has begun, none succeeds that began after it was over, none succeeds again once one has failed.

use crate::{
    outcome::{TestResult, check},
    team,
    vm::PATTERN,
};
use abi::Counter;
use alloc::{sync::Arc, vec, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use el1::{call, cpu, println, probe};

/// Where the taking stands.
#[derive(Default)]
pub struct Taking {
    ready: AtomicUsize,
    begun: AtomicBool,
    over: AtomicBool,
    failed: AtomicBool,
}

impl Taking {
    fn set(flag: &AtomicBool) {
        // Release: pairs with the Acquire in `is_set`; what was done before is seen.
        flag.store(true, Ordering::Release);
    }

    fn is_set(flag: &AtomicBool) -> bool {
        // Acquire: pairs with the Release in `set`.
        flag.load(Ordering::Acquire)
    }

    /// The first core's part: `take`, once all are at work.
    fn lead(&self, take: impl Fn() -> TestResult) -> TestResult {
        let others = cpu::all().len() - 1;
        // Acquire: pairs with the Release in `hammer`.
        let all = || Self::is_set(&self.failed) || self.ready.load(Ordering::Acquire) == others;
        let result = match team::wait_for(all) {
            true => {
                Self::set(&self.begun);
                take()
            }
            false => Ok(()),
        };
        Self::set(if result.is_ok() {
            &self.over
        } else {
            &self.failed
        });
        result
    }

    /// The others' part: `access` tries each of `count` things and says whether it could.
    fn hammer(
        &self,
        count: usize,
        mut access: impl FnMut(usize) -> TestResult<bool>,
    ) -> TestResult {
        let mut lost = vec![false; count];
        let mut is_ready = false;
        while !lost.iter().all(|lost| *lost) && !Self::is_set(&self.failed) {
            for (index, lost) in lost.iter_mut().enumerate() {
                let is_over = Self::is_set(&self.over);
                let could = access(index)?;
                check!(!(could && is_over), "number {index} is still reached");
                check!(!(could && *lost), "number {index} is reached again");
                check!(could || Self::is_set(&self.begun), "number {index} faults");
                *lost = !could;
            }
            if !is_ready {
                is_ready = true;
                // Release: pairs with the Acquire in `lead`; the translations are warm.
                self.ready.fetch_add(1, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// One core's words.
pub struct Words {
    pages: Arc<[u64]>,
    offset: u64,
    holds: Vec<u64>,
    accesses: u64,
}

impl Words {
    /// Those of a core in pages that are full of [`PATTERN`].
    pub fn new(core: usize, pages: Arc<[u64]>) -> Self {
        Self {
            holds: vec![PATTERN; pages.len()],
            pages,
            offset: core as u64 * 8,
            accesses: 0,
        }
    }

    /// Loads the word in a page and looks at it, or stores another; whether it could.
    pub fn access(&mut self, index: usize) -> TestResult<bool> {
        let at = self.pages[index] + self.offset;
        self.accesses += 1;
        let holds = &mut self.holds[index];
        let result = if self.accesses.is_multiple_of(2) {
            probe::load(at)
        } else {
            let next = *holds ^ self.accesses << 20;
            // SAFETY: the test's own page; one that it has lost makes it fail.
            let stored = unsafe { probe::store(at, next) };
            if stored.is_ok() {
                *holds = next;
            }
            stored.map(|_| next)
        };
        if let Ok(value) = result {
            check!(value == *holds, "{at:#x} has {value:#x}, not {holds:#x}");
        }
        Ok(result.is_ok())
    }
}

/// Has every other core at work on `count` things while the first, which reached them before, does `take`, after
/// which nobody may reach them. `worker` makes what a core tries each of them with.
pub fn take_by<A: FnMut(usize) -> TestResult<bool>>(
    count: usize,
    worker: impl Fn(usize) -> A + Send + Sync + 'static,
    take: impl Fn() -> TestResult + Send + Sync + 'static,
) -> TestResult {
    let taking = Arc::new(Taking::default());
    team::everywhere(move |core| {
        let mut access = worker(core);
        if core == 0 {
            for index in 0..count {
                check!(access(index)?, "number {index} is not reached");
            }
            taking.lead(&take)?;
            return (0..count).try_for_each(|index| {
                check!(!access(index)?, "number {index} is still reached");
                Ok(())
            });
        }
        let result = taking.hammer(count, access);
        if result.is_err() {
            Taking::set(&taking.failed);
        }
        result
    })
}

/// The same with pages full of [`PATTERN`].
pub fn take_under_all(
    pages: Vec<u64>,
    take: impl Fn() -> TestResult + Send + Sync + 'static,
) -> TestResult {
    let pages: Arc<[u64]> = pages.into();
    let worker = {
        let pages = pages.clone();
        move |core| {
            let mut words = Words::new(core, pages.clone());
            move |index| words.access(index)
        }
    };
    take_by(pages.len(), worker, take)
}

/// Flushes that this core has asked for: by page or range, and of a whole VMID.
pub fn flushes() -> (u64, u64) {
    let core = team::engine_cpu(cpu::this().index);
    let count = |counter: Counter| call::stats_read(core, counter.raw()).unwrap_or(0);
    (count(Counter::FlushPage), count(Counter::FlushVm))
}

/// Whether the engine has range invalidations (FEAT_TLBIRANGE).
pub fn has_ranges() -> bool {
    let features: u64;
    // SAFETY: a read of an identification register.
    unsafe {
        core::arch::asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nostack, nomem))
    };
    features >> 56 & 0xf >= 2
}

/// Says which invalidations were used since `before`; there must have been some.
pub fn tell_flushes(what: &str, before: (u64, u64)) -> TestResult {
    let after = flushes();
    let (single, whole) = (after.0 - before.0, after.1 - before.1);
    let form = if has_ranges() { "range" } else { "page" };
    println!("note {what}: {single} flushes by {form}, {whole} of a whole VMID");
    check!(single + whole > 0, "nothing was flushed");
    Ok(())
}
