//! Foreign pages through this core's window: zeroed, cleaned, copied.
//!
//! Invariants: the window is shut whenever none of these functions runs, so no secret is in the
//! engine's address space (architecture, decision 5); a page that was zeroed has been cleaned and
//! invalidated to the point of coherency *after* the zeroes were stored (scenario 20); a memory error of
//! the page ends in an answer, not in a crash.

use super::features::CoreFeatures;
use super::foreign::{self, Aborted};
use super::serror;
use crate::platform::{Broken, Zeroed};
use core::arch::asm;
use ownership::Pfn;
use smp_boot::stage1::Window;
use sync::Ordering::Relaxed;

/// Words of a page.
const WORDS: usize = 512;

/// The window while it is open.
struct Open(Window);

impl Open {
    /// Opens this core's `window` on `page`.
    fn on(window: Window, page: Pfn) -> Self {
        // Relaxed: for this core's walker alone, which the DSB serves. The entry was invalid and
        // no TLB keeps invalid entries.
        window
            .entry()
            .store(Window::entry_for(page.raw() << 12), Relaxed);
        // SAFETY: barriers change no state; not `nomem`, so no access moves before the entry.
        unsafe {
            asm!(
                #[cfg(not(mutant = "window-no-dsb"))]
                "dsb nshst",
                #[cfg(not(mutant = "window-no-isb"))]
                "isb",
                options(nostack, preserves_flags)
            );
        }
        Self(window)
    }

    /// Where the page is.
    fn va(&self) -> u64 {
        self.0.va()
    }

    /// Is any word not zero?
    fn is_nonzero(&self) -> Result<bool, Aborted> {
        // SAFETY: the window is open there, and is this core's.
        unsafe { foreign::probe(self.va()) }
    }

    /// Is any of the words that begin a line not zero? Of pages that held something most say so.
    fn is_plainly_nonzero(&self) -> Result<bool, Aborted> {
        // SAFETY: as in `is_nonzero`.
        unsafe { foreign::sample(self.va()) }
    }

    /// Stores zeroes everywhere.
    fn fill_with_zeroes(&self, core: &CoreFeatures) -> Result<(), Aborted> {
        // SAFETY: as in `is_nonzero`, on normal memory; the caller's page is nobody else's now.
        unsafe { foreign::zero(self.va(), core.zva_block) }
    }

    /// Cleans and invalidates every line to the point of coherency, and waits for it.
    fn clean_and_invalidate(&self, core: &CoreFeatures) -> Result<(), Aborted> {
        // SAFETY: as in `is_nonzero`.
        unsafe { foreign::clean(self.va(), core.cache_line) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Relaxed: as in `on`.
        self.0.entry().store(0, Relaxed);
        let page = self.0.va() >> 12;
        // SAFETY: the entry is this core's own, so a local invalidation is enough; accesses
        // through the window are over when the DSB is, and none is started after the ISB.
        unsafe {
            asm!(
                #[cfg(not(mutant = "shut-no-dsb-before"))]
                "dsb nshst",
                #[cfg(not(mutant = "shut-no-tlbi"))]
                "tlbi vale2, {page}",
                #[cfg(mutant = "shut-no-tlbi")]
                "/* {page} */",
                #[cfg(not(mutant = "shut-no-dsb"))]
                "dsb nsh",
                #[cfg(not(mutant = "shut-no-isb"))]
                "isb",
                page = in(reg) page,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Zeroes `page` down to the point of coherency.
pub fn zero(window: Window, core: &CoreFeatures, page: Pfn) -> Result<Zeroed, Broken> {
    watch(|| {
        let open = Open::on(window, page);
        let was_nonzero = open.is_plainly_nonzero()?;
        if cfg!(not(mutant = "zero-skip")) {
            open.fill_with_zeroes(core)?;
        }
        if cfg!(not(mutant = "scrub-no-clean")) {
            open.clean_and_invalidate(core)?;
        }
        Ok(Zeroed {
            was_nonzero,
            reads_zero: !open.is_nonzero()?,
        })
    })
}

/// Cleans and invalidates `page` to the point of coherency. An error is its next reader's to find.
pub fn clean(window: Window, core: &CoreFeatures, page: Pfn) {
    let _ = Open::on(window, page).clean_and_invalidate(core);
}

/// Copies the first words of `page`, once: an even number, at most all. Any other is not copied, as of a page that can't be
/// read. By itself in the image, where nothing of a caller's stands between its steps.
#[inline(never)]
pub fn read(window: Window, page: Pfn, into: &mut [u64]) -> Result<(), Broken> {
    let words = into.len();
    if words == 0 || words % 2 != 0 || words > WORDS {
        return Err(Broken);
    }
    watch(|| {
        let open = Open::on(window, page);
        // SAFETY: as in `is_nonzero`; and so many words as `copy` asks for.
        unsafe { foreign::copy(open.va(), into) }
    })
}

/// Does something in the window that ends in an external abort if the page is broken, or in an SError:
/// one that becomes pending meanwhile counts as the page's. It may be the host's doing all the same, so
/// it stays pending for the host and ends nothing here.
fn watch<R>(act: impl FnOnce() -> Result<R, Aborted>) -> Result<R, Broken> {
    let was_quiet = !is_serror_pending();
    let outcome = act();
    if cfg!(not(mutant = "serror-ignored")) && was_quiet && is_serror_pending() {
        return Err(Broken);
    }
    outcome.map_err(|Aborted| Broken)
}

/// Is an SError pending, those of this core's accesses so far included?
fn is_serror_pending() -> bool {
    // SAFETY: barriers change no state. The DSB waits until the accesses are complete, the ISB keeps
    // the look behind it; not `nomem`, so no access moves past them.
    #[cfg(not(mutant = "serror-no-dsb"))]
    unsafe {
        asm!("dsb sy", "isb", options(nostack, preserves_flags));
    }
    serror::is_pending()
}
