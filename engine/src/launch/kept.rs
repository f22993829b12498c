//! What the loader put into RAM for the host, and what was made of that: it stays when the rest of RAM is cleared.
//!
//! Invariant: of the pages that these lie in nothing else is left.

use super::host_image::clean;
use super::pages::run_of;
use engine::engine::PageRun;
use engine::host::leftovers::KEPT;
use smp_boot::{Attr, Boot, BootError, Engine, PaRange};

const PAGE: u64 = 4096;

/// Bytes that stay.
#[derive(Clone, Copy, Debug)]
pub struct Kept(pub [PaRange; KEPT]);

impl Kept {
    /// The pages that they lie in.
    pub fn pages(&self) -> impl Iterator<Item = PageRun> + '_ {
        let around = self.0.iter().map(|bytes| bytes.pages_around());
        around.map(|pages| run_of(pages.start(), pages.end()))
    }

    /// Zeroes the other bytes of their first and last pages, none of which is mapped; but of those that are not the host's.
    pub fn clear_around<E: Engine>(
        &self,
        boot: &mut Boot<E>,
        engine: &[PaRange],
    ) -> Result<(), BootError> {
        for bytes in &self.0 {
            let pages = bytes.pages_around();
            let last = pages.end().saturating_sub(PAGE);
            for start in [pages.start(), last] {
                let page = PaRange::new(start, PAGE).ok_or(BootError::OutOfBootMemory)?;
                let mut others = engine.iter().chain(&boot.machine.reserved);
                if !others.any(|other| other.pages_around().overlaps(page)) {
                    self.clear_page_around(boot, page)?;
                }
            }
        }
        Ok(())
    }

    fn clear_page_around<E: Engine>(
        &self,
        boot: &mut Boot<E>,
        page: PaRange,
    ) -> Result<(), BootError> {
        boot.map(page, Attr::Data)?;
        let mut at = page.start();
        while at < page.end() {
            let mut stop = page.end();
            let mut stays = false;
            for bytes in &self.0 {
                if bytes.start() <= at && at < bytes.end() {
                    (stop, stays) = (bytes.end().min(page.end()), true);
                    break;
                }
                if at < bytes.start() {
                    stop = stop.min(bytes.start());
                }
            }
            if !stays {
                let bytes = stop.saturating_sub(at) as usize;
                // SAFETY: within the page, which is mapped here alone and is nobody else's now.
                unsafe { core::ptr::write_bytes(at as usize as *mut u8, 0, bytes) };
            }
            at = stop;
        }
        clean(page);
        boot.unmap(page);
        Ok(())
    }
}
