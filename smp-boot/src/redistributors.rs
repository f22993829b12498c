//! Which frames of redistributors there are, and whose: a walk by what they say of themselves (IHI0069 12.10, 12.11).
//!
//! Invariant: `typer`, which reads GICR_TYPER, is asked for the first frame of a region and for those behind one
//! that is not its region's last, and for no address outside of the region.

use crate::machine::{Mpidr, Redistributors};
use crate::range::PaRange;

/// Where GICR_TYPER lies in a redistributor's first frame: affinity in bits 63:32, Last in bit 4, VLPIS in bit 1.
pub const TYPER: u64 = 8;
const LAST: u64 = 1 << 4;
const VLPIS: u64 = 1 << 1;
/// Bytes of a core's frames, without and with those of GICv4.
const FRAMES_V3: u64 = 2 << 16;
const FRAMES_V4: u64 = 4 << 16;

impl Redistributors {
    /// RD_base of this core's redistributor, if it is here.
    pub fn find(&self, core: Mpidr, typer: impl Fn(u64) -> u64) -> Option<u64> {
        let affinity = affinity(core);
        let mut frame = self.range.start();
        while frame < self.range.end() {
            let said = typer(frame);
            if said >> 32 == affinity {
                return Some(frame);
            }
            if said & LAST != 0 {
                break;
            }
            // The stride may be the tree's word: what would wrap is past the end.
            frame = frame.saturating_add(self.stride(said));
        }
        None
    }

    /// RD_base of this core's redistributor if it is the next behind `frame`, which is one of these.
    pub fn find_next(&self, frame: u64, core: Mpidr, typer: impl Fn(u64) -> u64) -> Option<u64> {
        let said = typer(frame);
        let next = frame.saturating_add(self.stride(said));
        let is_there = said & LAST == 0 && next < self.range.end();
        (is_there && typer(next) >> 32 == affinity(core)).then_some(next)
    }

    /// Bytes from one redistributor to the next, where one says `typer` of itself.
    pub fn stride(&self, typer: u64) -> u64 {
        let own = if typer & VLPIS != 0 {
            FRAMES_V4
        } else {
            FRAMES_V3
        };
        self.stride.unwrap_or(own)
    }

    /// The frames that are there: all up to the end of the last one.
    pub fn present(&self, stride: u64, typer: impl Fn(u64) -> u64) -> u64 {
        let mut frame = self.range.start();
        while frame < self.range.end() {
            let said = typer(frame);
            frame = frame.saturating_add(stride);
            if said & LAST != 0 {
                break;
            }
        }
        frame
            .min(self.range.end())
            .saturating_sub(self.range.start())
    }

    /// What the host must not reach of them: all that is described, and a core's frames of GICv4, whose tables the
    /// host could place anywhere, even where the description counts none.
    pub fn guarded(&self, stride: u64) -> PaRange {
        let start = self.range.start();
        PaRange::new(start, self.range.size().max(stride)).unwrap_or(self.range)
    }
}

/// A core as GICR_TYPER names it.
fn affinity(core: Mpidr) -> u64 {
    core.bits() >> 8 & 0xff00_0000 | core.bits() & 0xff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::vec::Vec;

    const BASE: u64 = 0x80a_0000;

    fn region(frames: u64, stride: Option<u64>) -> Redistributors {
        let range = PaRange::new(BASE, frames * FRAMES_V3).unwrap();
        Redistributors { range, stride }
    }

    /// The core with Aff0 `index` of each frame, the fourth of which is the last.
    fn typer(frame: u64) -> u64 {
        let index = (frame - BASE) / FRAMES_V3;
        index << 32 | if index == 3 { LAST } else { 0 }
    }

    #[test]
    fn a_core_is_found_by_its_affinity() {
        let all = region(8, None);
        for core in 0..4 {
            let found = all.find(Mpidr::from_bits(core), typer);
            assert_eq!(found, Some(BASE + core * FRAMES_V3));
        }
        let far = |_| 0x0301_0200 << 32 | LAST;
        assert_eq!(all.find(Mpidr::from_bits(0x03_0001_0200), far), Some(BASE));
    }

    #[test]
    fn the_next_core_is_found_without_a_search() {
        let all = region(8, None);
        let next = |core| all.find_next(BASE + 2 * FRAMES_V3, Mpidr::from_bits(core), typer);
        assert_eq!(next(3), Some(BASE + 3 * FRAMES_V3));
        assert_eq!(next(1), None);
        // Behind the last one nothing is asked, nor past the region.
        let last = BASE + 3 * FRAMES_V3;
        let asked = RefCell::new(Vec::new());
        let listen = |frame| {
            asked.borrow_mut().push(frame);
            typer(frame)
        };
        assert_eq!(all.find_next(last, Mpidr::from_bits(4), listen), None);
        let at_end = BASE + 2 * FRAMES_V3;
        let short = region(3, None);
        assert_eq!(short.find_next(at_end, Mpidr::from_bits(3), listen), None);
        assert_eq!(*asked.borrow(), [last, at_end]);
    }

    #[test]
    fn a_core_without_a_redistributor_has_none() {
        let asked = RefCell::new(Vec::new());
        let typer = |frame| {
            asked.borrow_mut().push(frame);
            typer(frame)
        };
        assert_eq!(region(8, None).find(Mpidr::from_bits(9), typer), None);
        // Behind the last one nothing answers.
        assert_eq!(asked.borrow().len(), 4);
        assert_eq!(region(2, None).find(Mpidr::from_bits(3), typer), None);
        assert_eq!(asked.borrow().len(), 6);
    }

    #[test]
    fn frames_are_as_far_apart_as_the_tree_or_they_say() {
        assert_eq!(region(8, None).stride(0), FRAMES_V3);
        assert_eq!(region(8, None).stride(VLPIS), FRAMES_V4);
        assert_eq!(region(8, Some(1 << 20)).stride(VLPIS), 1 << 20);
    }

    #[test]
    fn frames_are_there_up_to_the_last() {
        let present = |frames| region(frames, None).present(FRAMES_V3, typer);
        assert_eq!(present(8), 4 * FRAMES_V3);
        assert_eq!(present(2), 2 * FRAMES_V3);
        // Those of one core, described by halves.
        let one = |_| LAST | VLPIS;
        assert_eq!(region(1, None).present(FRAMES_V4, one), FRAMES_V3);
    }

    #[test]
    fn frames_of_gicv4_are_guarded_where_they_are_not_described() {
        assert_eq!(region(1, None).guarded(FRAMES_V4).size(), FRAMES_V4);
        assert_eq!(region(8, None).guarded(FRAMES_V4).size(), 8 * FRAMES_V3);
    }
}
