//! Foreign pages through this core's window: zeroed, cleaned, copied.
//!
//! Invariants: the window is shut whenever none of these functions runs, so no secret is in the
//! engine's address space (architecture, decision 5); a page that was zeroed has been cleaned and
//! invalidated to the point of coherency *after* the zeroes were stored (scenario 20).

use super::features::CoreFeatures;
use super::regs::dsb_sy;
use crate::platform::Zeroed;
use core::arch::asm;
use ownership::Pfn;
use smp_boot::stage1::Window;
use sync::Ordering::Relaxed;

/// Bytes of a page.
const PAGE: usize = 4096;
/// 64-bit words of a page.
const WORDS: usize = PAGE / 8;

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
        unsafe { asm!("dsb nshst", "isb", options(nostack, preserves_flags)) };
        Self(window)
    }

    /// The first word.
    fn words(&self) -> *mut u64 {
        self.0.va() as usize as *mut u64
    }

    /// Word `index`.
    fn word(&self, index: usize) -> u64 {
        assert!(index < WORDS);
        // SAFETY: inside the page on which the window is open; volatile, as a page's last owner or
        // a device may still race with us and nothing may be assumed about the value.
        unsafe { self.words().add(index).read_volatile() }
    }

    /// Does any word differ from zero?
    fn is_nonzero(&self) -> bool {
        (0..WORDS).fold(0, |seen, index| seen | self.word(index)) != 0
    }

    /// Stores zeroes everywhere.
    fn fill_with_zeroes(&self, core: &CoreFeatures) {
        match core.zva_block {
            Some(block) if PAGE.is_multiple_of(block) => {
                for offset in (0..PAGE).step_by(block) {
                    let at = self.words().addr() + offset;
                    // SAFETY: zeroes an aligned block inside the open page, which is normal memory.
                    unsafe { asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags)) };
                }
            }
            _ => {
                for index in 0..WORDS {
                    // SAFETY: inside the open page.
                    unsafe { self.words().add(index).write_volatile(0) };
                }
            }
        }
    }

    /// Cleans and invalidates every line to the point of coherency, and waits for it.
    fn clean_and_invalidate(&self, core: &CoreFeatures) {
        for offset in (0..PAGE).step_by(core.cache_line) {
            let at = self.words().addr() + offset;
            // SAFETY: cleaning keeps the content; the line is in the open page.
            unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
        }
        dsb_sy();
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
                "dsb nshst",
                "tlbi vale2, {page}",
                "dsb nsh",
                "isb",
                page = in(reg) page,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Zeroes `page` down to the point of coherency.
pub fn zero(window: Window, core: &CoreFeatures, page: Pfn) -> Zeroed {
    let open = Open::on(window, page);
    let was_nonzero = open.is_nonzero();
    if cfg!(not(mutant = "zero-skip")) {
        open.fill_with_zeroes(core);
    }
    if cfg!(not(mutant = "scrub-no-clean")) {
        open.clean_and_invalidate(core);
    }
    Zeroed {
        was_nonzero,
        reads_zero: !open.is_nonzero(),
    }
}

/// Cleans and invalidates `page` to the point of coherency.
pub fn clean(window: Window, core: &CoreFeatures, page: Pfn) {
    Open::on(window, page).clean_and_invalidate(core);
}

/// Copies `page`, once.
pub fn read(window: Window, page: Pfn, into: &mut [u64; WORDS]) {
    let open = Open::on(window, page);
    for (index, word) in into.iter_mut().enumerate() {
        *word = open.word(index);
    }
}
