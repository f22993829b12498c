//! Power State Coordination Interface 1.1 (Arm DEN0022): function identifiers, return codes and
//! the values of `AFFINITY_INFO` and `MIGRATE_INFO_TYPE`, for the engine that answers guests and
//! host and for the callers.
//!
//! Invariant: each number stands here once; 64-bit variants end in `_64`.

/// `PSCI_VERSION`: the version in use.
pub const VERSION: u64 = 0x8400_0000;
/// Suspends the calling core, 32-bit arguments.
pub const CPU_SUSPEND: u64 = 0x8400_0001;
/// Suspends the calling core.
pub const CPU_SUSPEND_64: u64 = 0xC400_0001;
/// Turns the calling core off.
pub const CPU_OFF: u64 = 0x8400_0002;
/// Turns a core on, 32-bit arguments.
pub const CPU_ON: u64 = 0x8400_0003;
/// Turns a core on.
pub const CPU_ON_64: u64 = 0xC400_0003;
/// Tells whether a core is on, 32-bit arguments.
pub const AFFINITY_INFO: u64 = 0x8400_0004;
/// Tells whether a core is on.
pub const AFFINITY_INFO_64: u64 = 0xC400_0004;
/// Tells how a Trusted OS migrates.
pub const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
/// Turns the machine off.
pub const SYSTEM_OFF: u64 = 0x8400_0008;
/// Restarts the machine.
pub const SYSTEM_RESET: u64 = 0x8400_0009;
/// Tells whether a function exists, and its flags.
pub const FEATURES: u64 = 0x8400_000A;
/// Suspends the machine, 32-bit arguments.
pub const SYSTEM_SUSPEND: u64 = 0x8400_000E;
/// Suspends the machine.
pub const SYSTEM_SUSPEND_64: u64 = 0xC400_000E;
/// Restarts the machine in a chosen way, 32-bit arguments.
pub const SYSTEM_RESET2: u64 = 0x8400_0012;
/// Restarts the machine in a chosen way.
pub const SYSTEM_RESET2_64: u64 = 0xC400_0012;

/// What `PSCI_VERSION` returns for version 1.1.
pub const VERSION_1_1: u64 = 0x0001_0001;

/// Done.
pub const SUCCESS: i64 = 0;
/// No such function.
pub const NOT_SUPPORTED: i64 = -1;
/// An argument names nothing.
pub const INVALID_PARAMETERS: i64 = -2;
/// Not allowed now.
pub const DENIED: i64 = -3;
/// The core is on.
pub const ALREADY_ON: i64 = -4;
/// Another `CPU_ON` for the core is under way.
pub const ON_PENDING: i64 = -5;
/// The firmware failed.
pub const INTERNAL_FAILURE: i64 = -6;
/// There is no Trusted OS here.
pub const NOT_PRESENT: i64 = -7;
/// The core cannot be used.
pub const DISABLED: i64 = -8;
/// The entry point is not an address the caller may execute.
pub const INVALID_ADDRESS: i64 = -9;

/// `AFFINITY_INFO`: the core is on.
pub const AFFINITY_ON: i64 = 0;
/// `AFFINITY_INFO`: the core is off.
pub const AFFINITY_OFF: i64 = 1;
/// `AFFINITY_INFO`: the core is being turned on.
pub const AFFINITY_ON_PENDING: i64 = 2;

/// `MIGRATE_INFO_TYPE`: there is no Trusted OS, or it need not migrate.
pub const MIGRATION_NOT_REQUIRED: i64 = 2;

/// `CPU_SUSPEND`'s power state, original format: set when the core loses its state.
pub const POWER_STATE_POWERDOWN: u64 = 1 << 16;
