//! One SPI of a guest: what its registers and its device's line come to, and telling the engine.
//!
//! Invariant: what the engine was last told of the line is in `told`, and [`Spi::update`] is the only
//! place that tells it anything.

use abi::InjectKind;

/// Something the engine must be told: `VCPU_INJECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Index of the vCPU in its VM.
    pub vcpu: usize,
    /// The SPI.
    pub intid: u32,
    /// What happens to it.
    pub kind: InjectKind,
    /// Its priority.
    pub priority: u8,
}

/// One SPI.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spi {
    pub enabled: bool,
    pub group1: bool,
    pub edge: bool,
    /// Latched: by an edge, or by ISPENDR.
    pub pending: bool,
    /// The device's line.
    pub line: bool,
    pub priority: u8,
    pub route: u64,
    /// The vCPU where the engine holds the line high for us.
    pub told: Option<usize>,
}

impl Spi {
    /// Tells the engine what changed.
    pub fn update(
        &mut self,
        intid: u32,
        open: bool,
        vcpus: usize,
        out: &mut impl FnMut(Injection),
    ) {
        let priority = self.priority;
        let mut tell = |vcpu, kind| {
            out(Injection {
                vcpu,
                intid,
                kind,
                priority,
            })
        };
        let target = vcpu_of(self.route).filter(|vcpu| *vcpu < vcpus);
        let deliverable = open && self.enabled && self.group1;
        let wanted = target.filter(|_| deliverable && !self.edge && self.line);
        if self.told != wanted {
            if let Some(vcpu) = self.told {
                tell(vcpu, InjectKind::Deassert);
            }
            if let Some(vcpu) = wanted {
                tell(vcpu, InjectKind::Assert);
            }
            self.told = wanted;
        }
        if let Some(vcpu) = target
            && deliverable
            && self.pending
        {
            tell(vcpu, InjectKind::Edge);
            self.pending = false;
        }
    }
}

/// The vCPU with this affinity: Aff0 counts to 15, then Aff1.
fn vcpu_of(affinity: u64) -> Option<usize> {
    let (aff0, aff1, rest) = (
        affinity & 0xff,
        affinity >> 8 & 0xff,
        affinity & 0xff_00ff_0000,
    );
    (aff0 < 16 && rest == 0).then_some((aff1 * 16 + aff0) as usize)
}
