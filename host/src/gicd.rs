//! A guest's GICv3 distributor frame: SPIs only, one security state, affinity routing always on.
//!
//! Registers here, what they come to for the engine in [`spi`]. Invariants: INTIDs below 32 read as zero
//! and ignore writes here, as with affinity routing they live in the redistributors (IHI0069 12.9). An
//! SPI's active state lives in the engine's list registers: ISACTIVER reads as zero. Written under its
//! owner's lock.

mod spi;

use alloc::{vec, vec::Vec};
pub use spi::Injection;
use spi::Spi;

/// Bytes of the frame.
pub const SIZE: u64 = 0x1_0000;
/// SPIs of a guest: INTIDs 32 to 95.
const SPIS: usize = 64;

const CTLR: u64 = 0x0000;
const TYPER: u64 = 0x0004;
const IIDR: u64 = 0x0008;
const PIDR2: u64 = 0xffe8;

/// CTLR with one security state: Group 1 enable (and Group 0's, which nobody uses), ARE, DS.
const CTLR_ENABLES: u32 = 0b11;
const CTLR_GROUP1: u32 = 1 << 1;
const CTLR_FIXED: u32 = 1 << 4 | 1 << 6;
/// ITLinesNumber, 10 bits of INTID, no 1-of-N routing.
const TYPER_VALUE: u32 = (SPIS / 32) as u32 | 9 << 19 | 1 << 25;
/// Implementer Arm, as drivers expect one; product and revision zero.
const IIDR_VALUE: u32 = 0x43b;
/// Architecture revision 3.
const PIDR2_VALUE: u32 = 0x3b;

/// The frame.
#[derive(Clone, Debug)]
pub struct Gicd {
    control: u32,
    vcpus: usize,
    spis: Vec<Spi>,
}

impl Gicd {
    /// The distributor of a VM with `vcpus` vCPUs, as after reset.
    pub fn new(vcpus: usize) -> Self {
        Self {
            control: 0,
            vcpus,
            spis: vec![Spi::default(); SPIS],
        }
    }

    /// The guest reads `size` bytes at `offset`.
    pub fn read(&self, offset: u64, size: u64) -> u64 {
        let word = match offset & !3 {
            CTLR => self.control | CTLR_FIXED,
            TYPER => TYPER_VALUE,
            IIDR => IIDR_VALUE,
            PIDR2 => PIDR2_VALUE,
            0x0080..0x0100 => self.gather(offset - 0x80, |spi| spi.group1),
            0x0100..0x0200 => self.gather(offset & 0x7f, |spi| spi.enabled),
            0x0200..0x0300 => {
                self.gather(offset & 0x7f, |spi| spi.pending || (!spi.edge && spi.line))
            }
            0x0400..0x0800 => return self.read_priorities(offset - 0x400, size),
            0x0c00..0x0d00 => self.read_configuration(offset - 0xc00),
            0x6000..0x8000 => return self.read_route(offset - 0x6000, size),
            _ => 0,
        };
        u64::from(word)
    }

    /// The guest writes `size` bytes at `offset`; `out` is told what to inject.
    pub fn write(&mut self, offset: u64, size: u64, value: u64, mut out: impl FnMut(Injection)) {
        let word = value as u32;
        match offset & !3 {
            CTLR => self.control = word & CTLR_ENABLES,
            0x0080..0x0100 => {
                for bit in 0..32 {
                    let group1 = word >> bit & 1 != 0;
                    self.with_bit(offset - 0x80, bit, |spi| spi.group1 = group1);
                }
            }
            0x0100..0x0180 => self.for_set_bits(offset - 0x100, word, |spi| spi.enabled = true),
            0x0180..0x0200 => self.for_set_bits(offset - 0x180, word, |spi| spi.enabled = false),
            0x0200..0x0280 => self.for_set_bits(offset - 0x200, word, |spi| spi.pending = true),
            0x0280..0x0300 => self.for_set_bits(offset - 0x280, word, |spi| spi.pending = false),
            0x0400..0x0800 => self.write_priorities(offset - 0x400, size, value),
            0x0c00..0x0d00 => self.write_configuration(offset - 0xc00, word),
            0x6000..0x8000 => self.write_route(offset - 0x6000, size, value),
            _ => return,
        }
        for index in 0..SPIS {
            self.update(index, &mut out);
        }
    }

    /// The device behind `intid` drives its line.
    pub fn set_line(&mut self, intid: u32, high: bool, mut out: impl FnMut(Injection)) {
        let index = (intid as usize).wrapping_sub(32);
        if let Some(spi) = self.spis.get_mut(index) {
            spi.pending |= spi.edge && high && !spi.line;
            spi.line = high;
            self.update(index, &mut out);
        }
    }

    /// The guest ended a level-triggered SPI: says again that its line is high if it is.
    pub fn resample(&mut self, intid: u32, mut out: impl FnMut(Injection)) {
        let index = (intid as usize).wrapping_sub(32);
        if let Some(spi) = self.spis.get_mut(index) {
            spi.told = None;
            self.update(index, &mut out);
        }
    }

    fn update(&mut self, index: usize, out: &mut impl FnMut(Injection)) {
        let open = self.control & CTLR_GROUP1 != 0;
        self.spis[index].update(index as u32 + 32, open, self.vcpus, out);
    }

    /// The SPI of bit `bit` in the word at `offset` of a one-bit-each register array.
    fn with_bit(&mut self, offset: u64, bit: usize, f: impl FnOnce(&mut Spi)) {
        let intid = (offset / 4) as usize * 32 + bit;
        if let Some(spi) = intid
            .checked_sub(32)
            .and_then(|index| self.spis.get_mut(index))
        {
            f(spi);
        }
    }

    fn for_set_bits(&mut self, offset: u64, word: u32, f: impl Fn(&mut Spi)) {
        for bit in (0..32).filter(|bit| word >> bit & 1 != 0) {
            self.with_bit(offset, bit, &f);
        }
    }

    /// A word of a one-bit-each register array.
    fn gather(&self, offset: u64, f: impl Fn(&Spi) -> bool) -> u32 {
        let first = (offset / 4) as usize * 32;
        (0..32).fold(0, |word, bit| {
            let spi = (first + bit)
                .checked_sub(32)
                .and_then(|index| self.spis.get(index));
            word | u32::from(spi.is_some_and(&f)) << bit
        })
    }

    fn read_priorities(&self, offset: u64, size: u64) -> u64 {
        (0..size.min(4)).fold(0, |value, byte| {
            let spi = (offset + byte)
                .checked_sub(32)
                .and_then(|n| self.spis.get(n as usize));
            value | u64::from(spi.map_or(0, |spi| spi.priority)) << (8 * byte)
        })
    }

    fn write_priorities(&mut self, offset: u64, size: u64, value: u64) {
        for byte in 0..size.min(4) {
            let index = (offset + byte).checked_sub(32);
            if let Some(spi) = index.and_then(|n| self.spis.get_mut(n as usize)) {
                spi.priority = (value >> (8 * byte)) as u8;
            }
        }
    }

    /// ICFGR: two bits each, the upper says edge.
    fn read_configuration(&self, offset: u64) -> u32 {
        let first = (offset / 4) as usize * 16;
        (0..16).fold(0, |word, n| {
            let spi = (first + n)
                .checked_sub(32)
                .and_then(|index| self.spis.get(index));
            word | u32::from(spi.is_some_and(|spi| spi.edge)) << (2 * n + 1)
        })
    }

    fn write_configuration(&mut self, offset: u64, word: u32) {
        let first = (offset / 4) as usize * 16;
        for n in 0..16 {
            let index = (first + n).checked_sub(32);
            if let Some(spi) = index.and_then(|index| self.spis.get_mut(index)) {
                spi.edge = word >> (2 * n + 1) & 1 != 0;
            }
        }
    }

    /// IROUTER: eight bytes each, by INTID; also as two words.
    fn read_route(&self, offset: u64, size: u64) -> u64 {
        let spi = (offset / 8)
            .checked_sub(32)
            .and_then(|n| self.spis.get(n as usize));
        let route = spi.map_or(0, |spi| spi.route) >> (8 * (offset & 4));
        if size == 8 {
            route
        } else {
            route & 0xffff_ffff
        }
    }

    fn write_route(&mut self, offset: u64, size: u64, value: u64) {
        let index = (offset / 8).checked_sub(32);
        if let Some(spi) = index.and_then(|n| self.spis.get_mut(n as usize)) {
            let shift = 8 * (offset & 4);
            let mask = if size == 8 {
                u64::MAX
            } else {
                0xffff_ffff << shift
            };
            spi.route = (spi.route & !mask | value << shift & mask) & 0xff_00ff_ffff;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::InjectKind;

    const INTID: u32 = 33;

    /// Enables INTID 33 as Linux does: group, priority, route, enable, then the distributor.
    fn enabled(vcpus: usize, route: u64) -> Gicd {
        let mut gicd = Gicd::new(vcpus);
        let quiet = |injection| panic!("{injection:?}");
        gicd.write(0x84, 4, !0, quiet);
        gicd.write(0x400 + 33, 1, 0xa0, quiet);
        gicd.write(0x6000 + 8 * 33, 8, route, quiet);
        gicd.write(0x104, 4, 1 << 1, quiet);
        gicd.write(CTLR, 4, 0x12, quiet);
        gicd
    }

    fn collect(f: impl FnOnce(&mut dyn FnMut(Injection))) -> Vec<(usize, InjectKind)> {
        let mut all = Vec::new();
        f(&mut |injection| {
            assert_eq!((injection.intid, injection.priority), (INTID, 0xa0));
            all.push((injection.vcpu, injection.kind));
        });
        all
    }

    #[test]
    fn identifies_itself() {
        let gicd = Gicd::new(1);
        assert_eq!(gicd.read(PIDR2, 4) >> 4 & 0xf, 3);
        assert_eq!((gicd.read(TYPER, 4) & 0x1f) * 32 + 31, 95);
        assert_eq!(gicd.read(CTLR, 4), 0x50);
        for offset in [0x80, 0x100, 0x400, 0xc00, 0x6000, 0x300] {
            assert_eq!(gicd.read(offset, 4), 0, "{offset:#x}");
        }
    }

    #[test]
    fn private_interrupts_are_not_here() {
        let mut gicd = Gicd::new(1);
        for offset in [
            0x80, 0x100, 0x200, 0x400, 0x41c, 0xc00, 0xc04, 0x6000, 0x60f8,
        ] {
            gicd.write(offset, 4, !0, |injection| panic!("{injection:?}"));
            assert_eq!(gicd.read(offset, 4), 0, "{offset:#x}");
        }
    }

    #[test]
    fn registers_read_back() {
        let mut gicd = enabled(2, 1);
        assert_eq!(gicd.read(0x104, 4), 2);
        assert_eq!(gicd.read(0x184, 4), 2);
        assert_eq!(gicd.read(0x400 + 32, 4), 0xa000);
        assert_eq!(gicd.read(0x400 + 33, 1), 0xa0);
        assert_eq!(gicd.read(0x6000 + 8 * 33, 8), 1);
        gicd.write(0xc08, 4, 0b10 << 2, |_| {});
        assert_eq!(gicd.read(0xc08, 4), 0b10 << 2);
        gicd.write(0x184, 4, 2, |_| {});
        assert_eq!(gicd.read(0x104, 4), 0);
    }

    #[test]
    fn level_follows_line_enable_and_route() {
        let mut gicd = enabled(32, 0);
        assert_eq!(
            collect(|out| gicd.set_line(INTID, true, out)),
            [(0, InjectKind::Assert)]
        );
        assert_eq!(collect(|out| gicd.set_line(INTID, true, out)), []);
        let moved = collect(|out| gicd.write(0x6000 + 8 * 33, 8, 0x101, out));
        assert_eq!(moved, [(0, InjectKind::Deassert), (17, InjectKind::Assert)]);
        let disabled = collect(|out| gicd.write(0x184, 4, 2, out));
        assert_eq!(disabled, [(17, InjectKind::Deassert)]);
        assert_eq!(
            collect(|out| gicd.write(0x104, 4, 2, out)),
            [(17, InjectKind::Assert)]
        );
        assert_eq!(
            collect(|out| gicd.resample(INTID, out)),
            [(17, InjectKind::Assert)]
        );
        assert_eq!(
            collect(|out| gicd.set_line(INTID, false, out)),
            [(17, InjectKind::Deassert)]
        );
        assert_eq!(collect(|out| gicd.resample(INTID, out)), []);
    }

    #[test]
    fn edges_are_latched_until_deliverable() {
        let mut gicd = enabled(1, 0);
        gicd.write(0xc08, 4, 0b10 << 2, |_| {});
        gicd.write(CTLR, 4, 0, |_| {});
        assert_eq!(collect(|out| gicd.set_line(INTID, true, out)), []);
        assert_eq!(gicd.read(0x204, 4), 2);
        assert_eq!(
            collect(|out| gicd.write(CTLR, 4, 2, out)),
            [(0, InjectKind::Edge)]
        );
        assert_eq!(gicd.read(0x204, 4), 0);
    }

    #[test]
    fn a_route_to_nobody_delivers_nothing() {
        for route in [1, 0x10, 0x1_0000, 0x1_0000_0000] {
            let mut gicd = enabled(1, route);
            assert_eq!(
                collect(|out| gicd.set_line(INTID, true, out)),
                [],
                "{route:#x}"
            );
        }
    }
}
