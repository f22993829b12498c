//! Standard firmware calls other than PSCI: SMC Calling Convention discovery and workarounds (Arm
//! DEN0028), the true random number generator (Arm DEN0098), and the vendor calls with which
//! Linux guests find and use a protecting hypervisor (Linux `include/linux/arm-smccc.h`; page
//! relinquishing by Android's number, which it has in `android-mainline`).
//!
//! Invariant: each number stands here once.

/// Version of the calling convention.
pub const VERSION: u64 = 0x8000_0000;
/// Tells whether an architecture call exists.
pub const ARCH_FEATURES: u64 = 0x8000_0001;
/// Identifies the system on chip, 32-bit results.
pub const ARCH_SOC_ID: u64 = 0x8000_0002;
/// Branch-predictor invalidation, for CVE-2017-5715.
pub const ARCH_WORKAROUND_1: u64 = 0x8000_8000;
/// Speculative store bypass disable, for CVE-2018-3639.
pub const ARCH_WORKAROUND_2: u64 = 0x8000_7FFF;
/// Branch-history mitigation, for CVE-2022-23960.
pub const ARCH_WORKAROUND_3: u64 = 0x8000_3FFF;

/// What `VERSION` returns for version 1.2.
pub const VERSION_1_2: u64 = 0x0001_0002;

/// Version of the random number interface.
pub const TRNG_VERSION: u64 = 0x8400_0050;
/// Tells whether a random number function exists.
pub const TRNG_FEATURES: u64 = 0x8400_0051;
/// Identifies the random number service.
pub const TRNG_GET_UUID: u64 = 0x8400_0052;
/// Up to 96 bits of entropy.
pub const TRNG_RND: u64 = 0x8400_0053;
/// Up to 192 bits of entropy.
pub const TRNG_RND_64: u64 = 0xC400_0053;

/// TRNG: not enough entropy now; ask again later.
pub const TRNG_NO_ENTROPY: i64 = -3;

/// Identifies the vendor hypervisor service.
pub const VENDOR_HYP_CALL_UID: u64 = 0x8600_FF01;
/// What KVM answers to it in w0 to w3: UUID 28b46fb6-2ec5-11e9-a9ca-4b564d003a74.
pub const KVM_UID: [u32; 4] = [0xB66F_B428, 0xE911_C52E, 0x564B_CAA9, 0x743A_004D];
/// KVM: bit map of the vendor functions that exist, by the low bits of their identifiers.
pub const KVM_FEATURES: u64 = 0x8600_0000;
/// KVM: size of the granule in which memory is protected.
pub const KVM_HYP_MEMINFO: u64 = 0xC600_0002;
/// KVM: the guest shares a granule with the host.
pub const KVM_MEM_SHARE: u64 = 0xC600_0003;
/// KVM: the guest stops sharing a granule.
pub const KVM_MEM_UNSHARE: u64 = 0xC600_0004;
/// Android: the guest gives a granule back to the host.
pub const KVM_MEM_RELINQUISH: u64 = 0xC600_0009;

/// Done.
pub const SUCCESS: i64 = 0;
/// No such function.
pub const NOT_SUPPORTED: i64 = -1;
/// A workaround that this core does not need.
pub const NOT_REQUIRED: i64 = -2;
/// An argument the function does not take.
pub const INVALID_PARAMETER: i64 = -3;
/// `ARCH_FEATURES`: the workaround's call exists, and this core need not make it.
pub const WORKAROUND_UNAFFECTED: i64 = 1;

/// Set in the identifier of a fast call.
pub const FAST: u64 = 1 << 31;
/// Set in the identifier of a call with 64-bit registers.
pub const SMC64: u64 = 1 << 30;

/// Which service a function identifier belongs to (DEN0028, Owning Entity Number).
pub const fn owner(function: u64) -> u64 {
    function >> 24 & 0x3F
}
