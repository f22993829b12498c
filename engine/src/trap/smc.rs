//! Which SMCs of the host reach the firmware (Arm DEN0028, DEN0098): an allow-list.
//!
//! Invariants: a call without a row is refused, FF-A (0x60 to 0xEF of the standard service) and
//! every service of a silicon or platform vendor with it, since their memory sharing would go past
//! stage 2; no row's call takes an address; only the arguments that a row names pass, the other
//! registers are zeroed.

use super::psci::{PsciCall, cut_to_width};
use abi::smccc;

#[cfg(test)]
mod tests;

/// What to do with an SMC of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmcClass {
    /// PSCI: the engine's to answer.
    Psci(PsciCall),
    /// Call the firmware with these x0 to x3, all other argument registers zero.
    Pass([u64; 4]),
    /// The engine's answer in x0.
    Answer(i64),
    /// Not on the list: NOT_SUPPORTED, and counted.
    Refuse,
}

/// What a row says about its call's arguments.
#[derive(Clone, Copy)]
enum Arguments {
    /// None.
    None,
    /// x1 is a selector, at most this.
    UpTo(u64),
    /// x1 is a number of bits of entropy, 1 to this.
    Bits(u64),
    /// x1 is a TRNG function.
    TrngFunction,
}

/// The calls that pass.
const ALLOWED: &[(u64, Arguments)] = &[
    // 0 asks for the version of the system on chip, 1 for its revision.
    (smccc::ARCH_SOC_ID, Arguments::UpTo(1)),
    (smccc::ARCH_WORKAROUND_1, Arguments::None),
    // Switches the mitigation of the calling core off and on.
    (smccc::ARCH_WORKAROUND_2, Arguments::UpTo(1)),
    (smccc::ARCH_WORKAROUND_3, Arguments::None),
    (smccc::TRNG_VERSION, Arguments::None),
    (smccc::TRNG_FEATURES, Arguments::TrngFunction),
    (smccc::TRNG_GET_UUID, Arguments::None),
    (smccc::TRNG_RND, Arguments::Bits(96)),
    (smccc::TRNG_RND_64, Arguments::Bits(192)),
];

/// TRNG's own INVALID_PARAMETERS (DEN0098 2.1), which is not SMCCC's.
const TRNG_INVALID_PARAMETERS: i64 = -2;

/// What becomes of a call that is not on the list.
const fn rest(_x: &[u64; 4]) -> SmcClass {
    #[cfg(mutant = "smc-any-call")]
    return SmcClass::Pass(*_x);
    #[cfg(not(mutant = "smc-any-call"))]
    SmcClass::Refuse
}

/// Classifies `SMC #imm` of the host with x0 to x3.
pub fn classify_host(imm: u16, x: &[u64; 4]) -> SmcClass {
    // DEN0028 2.9: other immediates are reserved.
    if imm != 0 && cfg!(not(mutant = "smc-any-immediate")) {
        return SmcClass::Refuse;
    }
    if let Some(call) = PsciCall::decode(x) {
        return SmcClass::Psci(call);
    }
    let [function, argument, ..] = cut_to_width(x);
    match function {
        smccc::VERSION => SmcClass::Answer(smccc::VERSION_1_2 as i64),
        smccc::ARCH_FEATURES => classify_features(argument & 0xffff_ffff),
        _ => ALLOWED
            .iter()
            .find(|row| row.0 == function)
            .map_or(rest(x), |row| pass(function, argument, row.1)),
    }
}

fn pass(function: u64, argument: u64, arguments: Arguments) -> SmcClass {
    match arguments {
        Arguments::None => SmcClass::Pass([function, 0, 0, 0]),
        Arguments::UpTo(most) if argument <= most => SmcClass::Pass([function, argument, 0, 0]),
        Arguments::UpTo(_) => SmcClass::Answer(smccc::INVALID_PARAMETER),
        Arguments::Bits(most) if (1..=most).contains(&argument) => {
            SmcClass::Pass([function, argument, 0, 0])
        }
        Arguments::Bits(_) => SmcClass::Answer(TRNG_INVALID_PARAMETERS),
        Arguments::TrngFunction if is_trng(argument) => SmcClass::Pass([function, argument, 0, 0]),
        Arguments::TrngFunction => SmcClass::Answer(smccc::NOT_SUPPORTED),
    }
}

/// SMCCC_ARCH_FEATURES: the firmware knows about its own calls, as far as they pass.
fn classify_features(asked: u64) -> SmcClass {
    match asked {
        smccc::VERSION | smccc::ARCH_FEATURES => SmcClass::Answer(smccc::SUCCESS),
        smccc::ARCH_SOC_ID
        | smccc::ARCH_WORKAROUND_1
        | smccc::ARCH_WORKAROUND_2
        | smccc::ARCH_WORKAROUND_3 => SmcClass::Pass([smccc::ARCH_FEATURES, asked, 0, 0]),
        _ => SmcClass::Answer(smccc::NOT_SUPPORTED),
    }
}

/// Is this one of the random number generator's functions?
fn is_trng(function: u64) -> bool {
    matches!(
        function,
        smccc::TRNG_VERSION
            | smccc::TRNG_FEATURES
            | smccc::TRNG_GET_UUID
            | smccc::TRNG_RND
            | smccc::TRNG_RND_64
    )
}

/// A TRNG call with its arguments checked, for whoever makes it. `None` if it is not one.
pub(super) fn classify_trng(x: &[u64; 4]) -> Option<SmcClass> {
    let function = x[0] & 0xffff_ffff;
    is_trng(function).then(|| classify_host(0, x))
}
