//! The rule for the host's accesses to the RD_base frame of a physical redistributor (IHI0069,
//! "Redistributor register map"): everything but LPIs.
//!
//! Why: LPIs keep their configuration and their pending bits in tables in memory, which the GIC
//! reads and writes past any stage 2. A host that could enable them could make the GIC write a
//! guest's memory. So the engine makes each access in the host's place, with this rule, and the
//! host never sees the frame. Where the GIC has VLPI_base frames too (GICv4), none of them is the
//! host's.
//!
//! Invariant: total; a register that is not named here is refused. An access that is let through
//! is aligned, and of a size that the register has.

/// What to do with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Make it; only the bits of the mask pass, the others read as zero and are written as zero.
    Pass {
        /// Bits that pass.
        mask: u64,
    },
    /// Don't touch the device; reads give zero.
    Refuse,
}

/// `GICR_CTLR`: RWP (3), DPG0, DPG1NS, DPG1S (24 to 26) and UWP (31), which have nothing to do
/// with LPIs; not EnableLPIs (0), nor CES (1) and IR (2), which describe LPI features.
const CTLR: u64 = 1 << 3 | 0b111 << 24 | 1 << 31 | cfg!(mutant = "guard-lpis") as u64;
/// `GICR_TYPER`: Last (4), DPGS (5), Processor_Number (23:8), PPInum (31:27), Affinity_Value; not
/// PLPIS (0), VLPIS (1), Dirty (2), DirectLPI (3), MPAM (6), RVPEID (7), CommonLPIAff (25:24),
/// VSGI (26).
const TYPER: u64 = 0xFFFF_FFFF << 32 | 0b1_1111 << 27 | 0xFFFF << 8 | 1 << 5 | 1 << 4;
/// `GICR_WAKER`: ProcessorSleep; the other bits are read-only or the implementation's.
const PROCESSOR_SLEEP: u64 = 1 << 1;
/// A whole 32-bit register.
const WORD: u64 = 0xFFFF_FFFF;

const GICR_CTLR: u64 = 0x0000;
const GICR_IIDR: u64 = 0x0004;
const GICR_TYPER: u64 = 0x0008;
const GICR_TYPER_HIGH: u64 = 0x000C;
const GICR_STATUSR: u64 = 0x0010;
const GICR_WAKER: u64 = 0x0014;
/// The identification registers, the last 48 bytes of the frame.
const FIRST_ID: u64 = 0xFFD0;
const LAST_ID: u64 = 0xFFFC;

/// The rule for a read of `size` bytes at `offset` from RD_base.
pub const fn rule_read(offset: u64, size: u64) -> Ruling {
    match (offset, size) {
        (GICR_CTLR, 4) => Ruling::Pass { mask: CTLR },
        (GICR_TYPER, 8) => Ruling::Pass { mask: TYPER },
        (GICR_TYPER, 4) => Ruling::Pass { mask: TYPER & WORD },
        (GICR_TYPER_HIGH, 4) => Ruling::Pass { mask: TYPER >> 32 },
        (GICR_IIDR | GICR_STATUSR | GICR_WAKER, 4) => Ruling::Pass { mask: WORD },
        (FIRST_ID..=LAST_ID, 4) if offset.is_multiple_of(4) => Ruling::Pass { mask: WORD },
        _ => Ruling::Refuse,
    }
}

/// The rule for a write of `size` bytes at `offset` from RD_base.
pub const fn rule_write(offset: u64, size: u64) -> Ruling {
    match (offset, size) {
        (GICR_CTLR, 4) => Ruling::Pass { mask: CTLR },
        (GICR_STATUSR, 4) => Ruling::Pass { mask: WORD },
        (GICR_WAKER, 4) => Ruling::Pass {
            mask: PROCESSOR_SLEEP,
        },
        _ => Ruling::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(ruling: Ruling) -> u64 {
        match ruling {
            Ruling::Pass { mask } => mask,
            Ruling::Refuse => 0,
        }
    }

    #[test]
    fn lpis_stay_off() {
        assert_eq!(mask(rule_write(0, 4)) & 1, 0, "EnableLPIs");
        assert_eq!(mask(rule_read(0, 4)) & 0b111, 0);
        assert_eq!(
            mask(rule_read(8, 8)) & (0b1111 | 0b11 << 6 | 0b111 << 24),
            0
        );
        assert_eq!(
            rule_write(0, 8),
            Ruling::Refuse,
            "not by a wider access either"
        );
        for register in [0x40, 0x48, 0x70, 0x78, 0xA0, 0xB0, 0xC0, 0x100, 0x110] {
            for size in [1, 2, 4, 8] {
                for offset in register..register + 8 {
                    assert_eq!(rule_write(offset, size), Ruling::Refuse);
                    assert_eq!(rule_read(offset, size), Ruling::Refuse);
                }
            }
        }
    }

    #[test]
    fn the_host_finds_its_redistributor_and_wakes_it() {
        assert_eq!(mask(rule_read(8, 8)) >> 32, 0xFFFF_FFFF, "affinity");
        assert_ne!(mask(rule_read(8, 4)) & 1 << 4, 0, "last");
        assert_eq!(mask(rule_read(0x14, 4)), WORD);
        assert_eq!(mask(rule_write(0x14, 4)), PROCESSOR_SLEEP);
        assert_eq!(mask(rule_read(0xFFE8, 4)), WORD, "architecture version");
        assert_eq!(
            mask(rule_read(8, 4)) | mask(rule_read(12, 4)) << 32,
            mask(rule_read(8, 8))
        );
    }

    #[test]
    fn whatever_passes_is_aligned_and_fits() {
        for offset in (0..=0x1_0008).chain(u64::MAX - 8..=u64::MAX) {
            for size in [0, 1, 2, 3, 4, 8, 16, u64::MAX] {
                for ruling in [rule_read(offset, size), rule_write(offset, size)] {
                    if let Ruling::Pass { mask } = ruling {
                        assert!(size == 8 || size == 4 && mask <= WORD);
                        assert!(offset.is_multiple_of(size) && offset < 0x1_0000);
                    }
                }
            }
        }
    }
}
