//! What a guest's HVC or SMC asks for (Arm DEN0028, DEN0098; KVM's vendor calls as Linux's
//! `arm-smccc.h` numbers them).
//!
//! Invariants: the standard services are answered here or by the engine; only vendor calls that the
//! engine does not know go to the host, and only they show it x0 to x6; the identifiers of the
//! host's own calls never do. Arguments that a call says must be zero are checked.

use super::psci::{PsciCall, cut_to_width};
use super::smc::{SmcClass, classify_trng};
use abi::smccc;

#[cfg(test)]
mod tests;

/// What the firmware offers, asked once at boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Firmware {
    /// SMCCC_ARCH_FEATURES(SMCCC_ARCH_WORKAROUND_1).
    pub workaround_1: i64,
    /// SMCCC_ARCH_FEATURES(SMCCC_ARCH_WORKAROUND_2).
    pub workaround_2: i64,
    /// SMCCC_ARCH_FEATURES(SMCCC_ARCH_WORKAROUND_3).
    pub workaround_3: i64,
    /// TRNG_VERSION succeeds.
    pub trng: bool,
}

impl Firmware {
    /// Offers nothing.
    pub const fn none() -> Self {
        Self {
            workaround_1: smccc::NOT_SUPPORTED,
            workaround_2: smccc::NOT_SUPPORTED,
            workaround_3: smccc::NOT_SUPPORTED,
            trng: false,
        }
    }
}

/// A guest's call, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestCall {
    /// PSCI.
    Psci(PsciCall),
    /// x0 to x3 are the answer.
    Answer([u64; 4]),
    /// Call the firmware with these x0 to x3; its x0 to x3 are the answer.
    Firmware([u64; 4]),
    /// The page at this IPA becomes shared with the host.
    Share {
        /// Page-aligned.
        ipa: u64,
    },
    /// The page at this IPA is no longer shared.
    Unshare {
        /// Page-aligned.
        ipa: u64,
    },
    /// The page at this IPA goes back to the host.
    Relinquish {
        /// Page-aligned.
        ipa: u64,
    },
    /// For the host to answer, with x0 to x6.
    Forward,
}

impl GuestCall {
    /// One status word; x1 to x3 are zero.
    const fn status(status: i64) -> Self {
        Self::Answer([status as u64, 0, 0, 0])
    }

    /// NOT_SUPPORTED.
    const fn unknown() -> Self {
        Self::status(smccc::NOT_SUPPORTED)
    }

    /// MEM_SHARE or MEM_UNSHARE with x1 to x3, or an error in them; `None` if `function` is neither.
    #[inline(always)]
    pub fn about_sharing(function: u64, [x1, x2, x3]: [u64; 3]) -> Option<Self> {
        match function {
            smccc::KVM_MEM_SHARE => Some(on_page(x1, x2, x3, Self::Share { ipa: x1 })),
            smccc::KVM_MEM_UNSHARE => Some(on_page(x1, x2, x3, Self::Unshare { ipa: x1 })),
            _ => None,
        }
    }
}

/// The functions that KVM_FEATURES announces: itself, and the four that follow from their numbers.
const KVM_FEATURE_BITS: u64 = 1
    | 1 << (smccc::KVM_HYP_MEMINFO & 0x1f)
    | 1 << (smccc::KVM_MEM_SHARE & 0x1f)
    | 1 << (smccc::KVM_MEM_UNSHARE & 0x1f)
    | 1 << (smccc::KVM_MEM_RELINQUISH & 0x1f);

const PAGE: u64 = 4096;

/// Function numbers of the vendor service that the host may answer: not KVM's (0 to 0x7f), not
/// the engine's own (0x100 to 0x1ff), not the service's own queries (0xff00 up).
const fn is_for_host(number: u64) -> bool {
    #[cfg(mutant = "forward-own-calls")]
    if matches!(number, 0x100..=0x1ff) {
        return true;
    }
    matches!(number, 0x80..=0xff | 0x200..=0xfeff)
}

/// DEN0028 2.5: vendor-specific hypervisor service.
const OWNER_VENDOR_HYP: u64 = 6;

/// Classifies `HVC #imm` or `SMC #imm` of a guest with x0 to x3.
pub fn classify_guest(imm: u16, x: &[u64; 4], firmware: &Firmware) -> GuestCall {
    if imm != 0 {
        return GuestCall::unknown();
    }
    if let Some(call) = PsciCall::decode(x) {
        return GuestCall::Psci(call);
    }
    if let Some(class) = classify_trng(x) {
        return match class {
            SmcClass::Pass(call) if firmware.trng => GuestCall::Firmware(call),
            SmcClass::Answer(status) if firmware.trng => GuestCall::status(status),
            _ => GuestCall::unknown(),
        };
    }
    let [function, x1, x2, x3] = cut_to_width(x);
    if let Some(call) = GuestCall::about_sharing(function, [x1, x2, x3]) {
        return call;
    }
    match function {
        smccc::VERSION => GuestCall::status(smccc::VERSION_1_2 as i64),
        smccc::ARCH_FEATURES => GuestCall::status(arch_features(x1, firmware)),
        smccc::ARCH_WORKAROUND_1 => mitigate(function, firmware.workaround_1),
        smccc::ARCH_WORKAROUND_3 => mitigate(function, firmware.workaround_3),
        smccc::VENDOR_HYP_CALL_UID => GuestCall::Answer(smccc::KVM_UID.map(u64::from)),
        smccc::KVM_FEATURES => GuestCall::Answer([KVM_FEATURE_BITS, 0, 0, 0]),
        smccc::KVM_HYP_MEMINFO if [x1, x2, x3] == [0; 3] => GuestCall::Answer([PAGE, 0, 0, 0]),
        smccc::KVM_HYP_MEMINFO => GuestCall::status(smccc::INVALID_PARAMETER),
        smccc::KVM_MEM_RELINQUISH => on_page(x1, x2, x3, GuestCall::Relinquish { ipa: x1 }),
        _ if function & smccc::FAST != 0
            && smccc::owner(function) == OWNER_VENDOR_HYP
            && is_for_host(function & 0xff_ffff) =>
        {
            GuestCall::Forward
        }
        _ => GuestCall::unknown(),
    }
}

/// A call on one page: the address aligned, the rest zero.
#[inline(always)]
fn on_page(ipa: u64, x2: u64, x3: u64, call: GuestCall) -> GuestCall {
    if ipa.is_multiple_of(PAGE) && x2 == 0 && x3 == 0 {
        call
    } else {
        GuestCall::status(smccc::INVALID_PARAMETER)
    }
}

/// Mitigations that clear the core's own predictors: the firmware's if it has them.
fn mitigate(function: u64, features: i64) -> GuestCall {
    if features >= 0 {
        GuestCall::Firmware([function, 0, 0, 0])
    } else {
        GuestCall::unknown()
    }
}

/// SMCCC_ARCH_FEATURES towards guests (DEN0028 7.3).
fn arch_features(asked: u64, firmware: &Firmware) -> i64 {
    match asked {
        smccc::VERSION | smccc::ARCH_FEATURES => smccc::SUCCESS,
        smccc::ARCH_WORKAROUND_1 => firmware.workaround_1,
        // It would switch the core's mitigation for whoever runs next: guests only learn whether
        // they need it, and have PSTATE.SSBS.
        smccc::ARCH_WORKAROUND_2 => match firmware.workaround_2 {
            known @ (smccc::NOT_REQUIRED | smccc::WORKAROUND_UNAFFECTED) => known,
            _ => smccc::NOT_SUPPORTED,
        },
        smccc::ARCH_WORKAROUND_3 => firmware.workaround_3,
        // ARCH_SOC_ID too: which machine it is on is not a guest's business.
        _ => smccc::NOT_SUPPORTED,
    }
}
