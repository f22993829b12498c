//! A guest's redistributor frames (IHI0069, "Redistributor register map"): RD_base and SGI_base,
//! 64 KiB each, for one vCPU. No LPIs; the vCPU is always awake; SGIs are edge-triggered and PPIs
//! level-triggered, unchangeably; one security state.
//!
//! Who may write: every vCPU of the VM may reach every vCPU's frames, while the owner runs. All
//! accesses end in the atomics of [`Private`]; its head says what another vCPU sees of one that
//! runs. The owner's own accesses come after `drain`.
//!
//! Invariant: `read` and `write` are total. What the architecture leaves reserved, and accesses
//! of a size that a register does not take, read as zero and are ignored when written.

use super::intid::PrivateId;
use super::private::Private;

/// Size of both frames together.
pub const FRAMES_SIZE: u64 = 2 * FRAME_SIZE;
/// Size of one frame, and where SGI_base begins.
const FRAME_SIZE: u64 = 0x1_0000;

/// Offsets in RD_base that do not read as zero.
mod rd {
    pub const IIDR: u64 = 0x0004;
    pub const TYPER: u64 = 0x0008;
    pub const TYPER_HIGH: u64 = 0x000C;
    pub const PIDR2: u64 = 0xFFE8;
}

/// Offsets from SGI_base.
mod sgi {
    use core::ops::Range;

    pub const IGROUPR0: u64 = 0x080;
    pub const ISENABLER0: u64 = 0x100;
    pub const ICENABLER0: u64 = 0x180;
    pub const ISPENDR0: u64 = 0x200;
    pub const ICPENDR0: u64 = 0x280;
    pub const ISACTIVER0: u64 = 0x300;
    pub const ICACTIVER0: u64 = 0x380;
    pub const IPRIORITYR: Range<u64> = 0x400..0x420;
    pub const ICFGR0: u64 = 0xC00;
}

/// `GICR_IIDR`: product B, revision 0, and Arm's JEP106 code as other virtual GICs have it.
const IIDR: u64 = 0x4200_043B;
/// `GICR_PIDR2`: GICv3.
const PIDR2: u64 = 0x3B;
/// `GICR_ICFGR0`: all SGIs are edge-triggered.
const SGI_CONFIG: u64 = 0xAAAA_AAAA;
/// `GICR_TYPER.Last`.
const TYPER_LAST: u64 = 1 << 4;

/// Whether the owner of the frames must look again at what it could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Nothing that matters to it changed.
    None,
    /// Kick it if it runs or waits.
    LookAgain,
}

/// The frames of one vCPU.
pub struct Frames<'a> {
    /// Its private interrupts.
    pub private: &'a Private,
    /// Its affinity fields, as in MPIDR_EL1.
    pub mpidr: u64,
    /// Its number in the VM.
    pub number: u16,
    /// Whether its frames are the VM's last.
    pub last: bool,
}

impl Frames<'_> {
    /// What a read of `size` bytes at `offset` from RD_base gives.
    pub fn read(&self, offset: u64, size: u64) -> u64 {
        match offset.checked_sub(FRAME_SIZE) {
            None => self.read_rd(offset, size),
            Some(offset) => self.read_sgi(offset, size),
        }
    }

    /// A write of `size` bytes at `offset` from RD_base.
    pub fn write(&self, offset: u64, size: u64, value: u64) -> Effect {
        match offset.checked_sub(FRAME_SIZE) {
            // GICR_CTLR: there is nothing to enable. GICR_WAKER: the vCPU is always awake.
            None => Effect::None,
            Some(offset) => self.write_sgi(offset, size, value),
        }
    }

    fn read_rd(&self, offset: u64, size: u64) -> u64 {
        let typer = self.typer();
        match (offset, size) {
            (rd::IIDR, 4) => IIDR,
            (rd::TYPER, 8) => typer,
            (rd::TYPER, 4) => typer & 0xFFFF_FFFF,
            (rd::TYPER_HIGH, 4) => typer >> 32,
            (rd::PIDR2, 4) => PIDR2,
            _ => 0,
        }
    }

    /// `GICR_TYPER`: affinity in bits 63:32, number in 23:8, Last in 4; no LPIs of any kind.
    fn typer(&self) -> u64 {
        let affinity = self.mpidr >> 8 & 0xFF00_0000 | self.mpidr & 0x00FF_FFFF;
        let last = if self.last { TYPER_LAST } else { 0 };
        affinity << 32 | u64::from(self.number) << 8 | last
    }

    fn read_sgi(&self, offset: u64, size: u64) -> u64 {
        if sgi::IPRIORITYR.contains(&offset) {
            return self.read_priorities(offset - sgi::IPRIORITYR.start, size);
        }
        if size != 4 {
            return 0;
        }
        match offset {
            sgi::IGROUPR0 => self.private.group().into(),
            sgi::ISENABLER0 | sgi::ICENABLER0 => self.private.enabled().into(),
            sgi::ISPENDR0 | sgi::ICPENDR0 => self.private.pending().into(),
            sgi::ISACTIVER0 | sgi::ICACTIVER0 => self.private.active().into(),
            sgi::ICFGR0 => SGI_CONFIG,
            _ => 0,
        }
    }

    fn write_sgi(&self, offset: u64, size: u64, value: u64) -> Effect {
        if sgi::IPRIORITYR.contains(&offset) {
            return self.write_priorities(offset - sgi::IPRIORITYR.start, size, value);
        }
        if size != 4 {
            return Effect::None;
        }
        let bits = value as u32;
        match offset {
            sgi::IGROUPR0 => self.private.set_group(bits),
            sgi::ISENABLER0 => self.private.enable(bits),
            sgi::ICENABLER0 => self.private.disable(bits),
            sgi::ISPENDR0 => self.private.set_pending(bits),
            sgi::ICPENDR0 => self.private.clear_pending(bits),
            sgi::ISACTIVER0 => self.private.activate(bits),
            sgi::ICACTIVER0 => {
                self.private.deactivate(bits);
            }
            _ => return Effect::None,
        }
        Effect::LookAgain
    }

    /// The priorities that an access to `GICR_IPRIORITYR<n>` covers: a byte, or an aligned word.
    fn covered(first: u64, size: u64) -> impl Iterator<Item = PrivateId> {
        let count = match size {
            1 => 1,
            4 if first.is_multiple_of(4) => 4,
            _ => 0,
        };
        (first..first.saturating_add(count)).filter_map(PrivateId::new)
    }

    fn read_priorities(&self, first: u64, size: u64) -> u64 {
        let bytes = Self::covered(first, size).zip([0, 8, 16, 24]);
        bytes.fold(0, |word, (id, shift)| {
            word | u64::from(self.private.priority(id)) << shift
        })
    }

    fn write_priorities(&self, first: u64, size: u64, value: u64) -> Effect {
        let mut effect = Effect::None;
        for (id, shift) in Self::covered(first, size).zip([0, 8, 16, 24]) {
            self.private.set_priority(id, (value >> shift) as u8);
            effect = Effect::LookAgain;
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(private: &Private) -> Frames<'_> {
        Frames {
            private,
            mpidr: 1 << 31 | 7 << 32 | 3 << 16 | 2 << 8 | 1,
            number: 5,
            last: true,
        }
    }

    const SGI: u64 = FRAME_SIZE;

    #[test]
    fn the_frames_say_whose_they_are() {
        let private = Private::new();
        let frames = frames(&private);
        assert_eq!(frames.read(8, 8), 0x0703_0201_0000_0510);
        assert_eq!(frames.read(8, 4), 0x510);
        assert_eq!(frames.read(12, 4), 0x0703_0201);
        assert_eq!(frames.read(0xFFE8, 4) >> 4 & 0xF, 3);
        assert_eq!(frames.read(0x14, 4), 0, "awake");
    }

    #[test]
    fn sets_and_clears_are_two_views_of_one_state() {
        let private = Private::new();
        let frames = frames(&private);
        for (set, clear) in [(0x100, 0x180), (0x200, 0x280), (0x300, 0x380)] {
            assert_eq!(frames.write(SGI + clear, 4, 0xFFFF_FFFF), Effect::LookAgain);
            assert_eq!(frames.write(SGI + set, 4, 0x8000_0003), Effect::LookAgain);
            assert_eq!(
                frames.write(SGI + clear, 4, 0xFFFF_FFFF_0000_0001),
                Effect::LookAgain
            );
            assert_eq!(frames.read(SGI + set, 4), 0x8000_0002);
            assert_eq!(frames.read(SGI + clear, 4), 0x8000_0002);
        }
    }

    #[test]
    fn priorities_are_bytes_and_words() {
        let private = Private::new();
        let frames = frames(&private);
        let _ = frames.write(SGI + 0x41C, 4, 0xA0B0_C7FF);
        assert_eq!(frames.read(SGI + 0x41C, 4), 0xA0B0_C0F8);
        assert_eq!(frames.read(SGI + 0x41F, 1), 0xA0);
        let _ = frames.write(SGI + 0x401, 1, 0x1_08);
        assert_eq!(frames.read(SGI + 0x400, 4), 0x800);
        assert_eq!(
            frames.write(SGI + 0x401, 4, u64::MAX),
            Effect::None,
            "not aligned"
        );
        assert_eq!(
            frames.write(SGI + 0x400, 2, u64::MAX),
            Effect::None,
            "no such size"
        );
        assert_eq!(
            frames.write(SGI + 0x400, 8, u64::MAX),
            Effect::None,
            "no such size"
        );
        assert_eq!(frames.read(SGI + 0x400, 4), 0x800);
    }

    #[test]
    fn the_configuration_cannot_be_changed() {
        let private = Private::new();
        let frames = frames(&private);
        assert_eq!(frames.write(SGI + 0xC00, 4, 0), Effect::None);
        assert_eq!(frames.write(SGI + 0xC04, 4, 0xFFFF_FFFF), Effect::None);
        assert_eq!(frames.read(SGI + 0xC00, 4), 0xAAAA_AAAA);
        assert_eq!(frames.read(SGI + 0xC04, 4), 0);
    }

    #[test]
    fn every_access_has_an_answer() {
        let private = Private::new();
        let frames = frames(&private);
        for offset in (0..=FRAMES_SIZE + 8).chain(u64::MAX - 8..=u64::MAX) {
            for size in [0, 1, 2, 3, 4, 8, 16, u64::MAX] {
                let _ = frames.write(offset, size, u64::MAX);
                let value = frames.read(offset, size);
                if size < 8 && size > 0 {
                    assert_eq!(value >> (8 * size), 0, "no more than the access takes");
                }
                if !matches!(size, 1 | 4 | 8) {
                    assert_eq!(value, 0);
                }
            }
        }
    }
}
