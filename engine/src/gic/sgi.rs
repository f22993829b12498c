//! What a write to `ICC_SGI1R_EL1`, `ICC_SGI0R_EL1` or `ICC_ASGI1R_EL1` asks for (IHI0069, "ICC_SGI1R_EL1"):
//! one SGI, for a list of 16 neighbours or for all other vCPUs of the VM.
//!
//! Invariant: decoding is total; reserved bits are ignored, and a target that no vCPU has is
//! nobody's.

use super::intid::PrivateId;

/// Affinity fields of `MPIDR_EL1`: Aff3 in bits 39:32, Aff2 to Aff0 in 23:0.
const AFFINITY: u64 = 0xFF_00FF_FFFF;

/// The groups that a register's SGIs reach, where one security state is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `ICC_SGI1R_EL1`: whatever group the target has put the SGI in.
    BothGroups,
    /// `ICC_SGI0R_EL1` and `ICC_ASGI1R_EL1`: only SGIs that the target has put in Group 0.
    GroupZero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Targets {
    AllOthers,
    /// Everything of the affinity but the low four bits of Aff0, and which values of these.
    Neighbours {
        cluster: u64,
        list: u16,
    },
}

/// A decoded write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgi {
    /// The SGI.
    pub intid: PrivateId,
    /// The groups it reaches.
    pub scope: Scope,
    targets: Targets,
}

impl Sgi {
    /// Decodes the value written: target list 15:0, Aff1 23:16, INTID 27:24, Aff2 39:32, IRM 40,
    /// range selector 47:44 (the upper half of Aff0), Aff3 55:48.
    pub fn decode(value: u64, scope: Scope) -> Option<Self> {
        let intid = PrivateId::new(value >> 24 & 0xF)?;
        let targets = if value >> 40 & 1 != 0 {
            Targets::AllOthers
        } else {
            let (aff1, aff2, aff3) = (value >> 16 & 0xFF, value >> 32 & 0xFF, value >> 48 & 0xFF);
            #[cfg(not(mutant = "sgi-ignore-range"))]
            let range = value >> 44 & 0xF;
            #[cfg(mutant = "sgi-ignore-range")]
            let range = 0;
            Targets::Neighbours {
                cluster: aff3 << 32 | aff2 << 16 | aff1 << 8 | range << 4,
                list: value as u16,
            }
        };
        Some(Self {
            intid,
            scope,
            targets,
        })
    }

    /// Whether the vCPU with affinity `mpidr` is meant when the one with `sender` wrote.
    pub const fn reaches(&self, sender: u64, mpidr: u64) -> bool {
        let affinity = mpidr & AFFINITY;
        match self.targets {
            Targets::AllOthers => affinity != sender & AFFINITY,
            Targets::Neighbours { cluster, list } => {
                affinity & !0xF == cluster && list >> (affinity & 0xF) & 1 != 0
            }
        }
    }

    /// Of the VM's vCPUs, each with its affinity, those that are meant.
    pub fn targets<T>(
        self,
        sender: u64,
        vcpus: impl Iterator<Item = (T, u64)>,
    ) -> impl Iterator<Item = T> {
        vcpus.filter_map(move |(vcpu, mpidr)| self.reaches(sender, mpidr).then_some(vcpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(value: u64) -> Sgi {
        Sgi::decode(value, Scope::BothGroups).unwrap()
    }

    #[test]
    fn a_list_names_neighbours() {
        let sgi = decode(5 << 24 | 0b1010);
        assert_eq!(sgi.intid.raw(), 5);
        let vcpus = (0..8u64).map(|number| (number, number | 1 << 31));
        assert!(sgi.targets(0, vcpus).eq([1, 3]));
    }

    #[test]
    fn the_sender_may_be_in_its_list() {
        assert!(decode(1).reaches(0, 0));
    }

    #[test]
    fn the_range_selector_is_the_upper_half_of_aff0() {
        let sgi = decode(2 << 44 | 1 << 3);
        assert!(sgi.reaches(0, 35) && !sgi.reaches(0, 3));
    }

    #[test]
    fn all_affinity_fields_count() {
        let sgi = decode(4 << 48 | 3 << 32 | 2 << 16 | 1);
        assert!(sgi.reaches(0, 4 << 32 | 3 << 16 | 2 << 8));
        for other in [0, 4 << 32 | 3 << 16, 4 << 32 | 2 << 8, 3 << 16 | 2 << 8] {
            assert!(!sgi.reaches(0, other));
        }
    }

    #[test]
    fn all_others_leaves_out_the_sender_alone() {
        let sgi = decode(1 << 40 | 0xFFFF);
        let vcpus = [0u64, 1, 0x100, 1 << 32]
            .into_iter()
            .map(|mpidr| (mpidr, mpidr | 1 << 31));
        assert!(sgi.targets(0x100 | 1 << 31, vcpus).eq([0, 1, 1 << 32]));
    }

    #[test]
    fn every_value_decodes() {
        for bit in 0..64 {
            assert_eq!(
                decode(1 << bit).intid.raw(),
                if (24..28).contains(&bit) {
                    1 << (bit - 24)
                } else {
                    0
                }
            );
        }
        assert!(decode(u64::MAX).reaches(1, 0));
        assert!(!decode(0).reaches(0, 0), "an empty list is nobody");
    }
}
