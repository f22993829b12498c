//! PSCI 1.1 (Arm DEN0022), the pure part: decoding calls, checking arguments, and the answers
//! that need no state. Serves guests, and the host's calls before the engine acts on them.
//!
//! Invariants: a decoded call has its arguments cut to the calling convention's width; a check
//! either names the vCPU or gives the standard's error code, in the standard's order; no check
//! changes anything.

use abi::{psci, smccc};

#[cfg(test)]
mod tests;

/// A PSCI call with its arguments (DEN0022 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PsciCall {
    /// `PSCI_VERSION`.
    Version,
    /// `CPU_SUSPEND`.
    CpuSuspend {
        /// Power state, as in DEN0022 5.4.2.
        power_state: u32,
        /// Where to go on after losing state.
        entry: u64,
        /// x0 there.
        context: u64,
    },
    /// `CPU_OFF`.
    CpuOff,
    /// `CPU_ON`.
    CpuOn(CpuOn),
    /// `AFFINITY_INFO`.
    AffinityInfo {
        /// MPIDR affinity fields.
        target: u64,
        /// The lowest affinity level that counts.
        level: u64,
    },
    /// `MIGRATE_INFO_TYPE`.
    MigrateInfoType,
    /// `SYSTEM_OFF`.
    SystemOff,
    /// `SYSTEM_RESET`.
    SystemReset,
    /// `PSCI_FEATURES`.
    Features {
        /// The function identifier asked about.
        function: u64,
    },
}

/// Arguments of `CPU_ON`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuOn {
    /// MPIDR affinity fields of the core to start.
    pub target: u64,
    /// Where it starts.
    pub entry: u64,
    /// Its x0.
    pub context: u64,
}

impl PsciCall {
    /// Decodes x0 to x3. `None` if the function is none of those offered.
    pub fn decode(x: &[u64; 4]) -> Option<Self> {
        let [function, x1, x2, x3] = cut_to_width(x);
        Some(match function {
            psci::VERSION => Self::Version,
            psci::CPU_SUSPEND | psci::CPU_SUSPEND_64 => {
                // The power state has 32 bits in both forms.
                Self::CpuSuspend {
                    power_state: x1 as u32,
                    entry: x2,
                    context: x3,
                }
            }
            psci::CPU_OFF => Self::CpuOff,
            psci::CPU_ON | psci::CPU_ON_64 => Self::CpuOn(CpuOn {
                target: x1,
                entry: x2,
                context: x3,
            }),
            psci::AFFINITY_INFO | psci::AFFINITY_INFO_64 => Self::AffinityInfo {
                target: x1,
                level: x2 & 0xffff_ffff,
            },
            psci::MIGRATE_INFO_TYPE => Self::MigrateInfoType,
            psci::SYSTEM_OFF => Self::SystemOff,
            psci::SYSTEM_RESET => Self::SystemReset,
            psci::FEATURES => Self::Features { function: x1 },
            _ => return None,
        })
    }
}

/// Cuts x0 to the 32 bits of a function identifier and, for a call of the 32-bit convention, the
/// arguments to theirs (DEN0028 2.5, 3.1).
pub fn cut_to_width(x: &[u64; 4]) -> [u64; 4] {
    let function = x[0] & 0xffff_ffff;
    let mask = if function & smccc::SMC64 == 0 {
        0xffff_ffff
    } else {
        u64::MAX
    };
    [function, x[1] & mask, x[2] & mask, x[3] & mask]
}

/// The answer to `PSCI_FEATURES` (DEN0022 5.1.15): 0 is "offered" and, of `CPU_SUSPEND`, also
/// "original power-state format, platform-coordinated".
pub fn features(function: u64) -> i64 {
    let is_offered = PsciCall::decode(&[function, 0, 0, 0]).is_some() || function == smccc::VERSION;
    if is_offered {
        psci::SUCCESS
    } else {
        psci::NOT_SUPPORTED
    }
}

/// MPIDR_EL1's affinity fields: Aff3 in bits 39:32, Aff2 to Aff0 in 23:0.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// Whether a vCPU is on, as `AFFINITY_INFO` and `CPU_ON` see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerState {
    /// It runs, or could.
    On,
    /// It does not.
    Off,
    /// A `CPU_ON` is under way.
    OnPending,
    /// It never came up, and can't be turned on.
    Absent,
}

impl CpuOn {
    /// Checks the arguments (DEN0022 5.6): `find` looks a vCPU up by affinity, `is_ram` says
    /// whether an address is one where the VM may have code. The state of the vCPU that is
    /// returned is the caller's to claim; [`already`] words a failure.
    pub fn check<V>(
        &self,
        find: impl FnOnce(u64) -> Option<V>,
        is_ram: impl FnOnce(u64) -> bool,
    ) -> Result<V, i64> {
        let vcpu = find_by_affinity(self.target, find)?;
        check_entry(self.entry, is_ram)?;
        Ok(vcpu)
    }
}

fn find_by_affinity<V>(target: u64, find: impl FnOnce(u64) -> Option<V>) -> Result<V, i64> {
    if target & !AFFINITY != 0 {
        return Err(psci::INVALID_PARAMETERS);
    }
    find(target).ok_or(psci::INVALID_PARAMETERS)
}

/// A64 code is word-aligned and in memory.
fn check_entry(entry: u64, is_ram: impl FnOnce(u64) -> bool) -> Result<(), i64> {
    if entry & 0b11 == 0 && is_ram(entry) || cfg!(mutant = "cpu-on-anywhere") {
        Ok(())
    } else {
        Err(psci::INVALID_ADDRESS)
    }
}

/// What `CPU_ON` answers about a vCPU that is not off.
pub fn already(state: PowerState) -> Result<(), i64> {
    match state {
        PowerState::Off => Ok(()),
        PowerState::On => Err(psci::ALREADY_ON),
        PowerState::OnPending => Err(psci::ON_PENDING),
        // DEN0022 5.6: a core that can't be powered up, for whatever physical reason.
        PowerState::Absent => Err(psci::INTERNAL_FAILURE),
    }
}

/// The answer to `AFFINITY_INFO` (DEN0022 5.7) from the VM's vCPUs: affinity and state of each.
/// Above level 0 a group is on if one of its vCPUs is.
pub fn affinity_info(
    target: u64,
    level: u64,
    vcpus: impl Iterator<Item = (u64, PowerState)>,
) -> i64 {
    // The affinity fields that count: those from `level` up. Lower ones are ignored.
    let counted = match level {
        0 => AFFINITY,
        1 => AFFINITY & !0xff,
        2 => AFFINITY & !0xffff,
        3 => AFFINITY & !0xff_ffff,
        #[cfg(mutant = "affinity-any-level")]
        _ => 0,
        #[cfg(not(mutant = "affinity-any-level"))]
        _ => return psci::INVALID_PARAMETERS,
    };
    if target & !AFFINITY != 0 {
        return psci::INVALID_PARAMETERS;
    }
    let mut answer = psci::INVALID_PARAMETERS;
    for (_, state) in vcpus.filter(|vcpu| (vcpu.0 ^ target) & counted == 0) {
        match state {
            PowerState::On => return psci::AFFINITY_ON,
            PowerState::OnPending => answer = psci::AFFINITY_ON_PENDING,
            PowerState::Off | PowerState::Absent if answer == psci::INVALID_PARAMETERS => {
                answer = psci::AFFINITY_OFF;
            }
            PowerState::Off | PowerState::Absent => {}
        }
    }
    answer
}

/// Bits of the original power-state format that must be zero: 31:26 and 23:17.
const POWER_STATE_RESERVED: u32 = 0xfcfe_0000;

/// A checked `CPU_SUSPEND`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspend {
    /// State is kept: wait for an interrupt and return SUCCESS.
    Standby,
    /// State may be lost: wait, then either start at `entry` with x0 = `context`, or return
    /// SUCCESS as if the request had been downgraded (DEN0022 5.4.4).
    PowerDown {
        /// Where to go on.
        entry: u64,
        /// x0 there.
        context: u64,
    },
}

/// Checks a `CPU_SUSPEND` (DEN0022 5.4).
pub fn check_suspend(
    power_state: u32,
    entry: u64,
    context: u64,
    is_ram: impl FnOnce(u64) -> bool,
) -> Result<Suspend, i64> {
    if power_state & POWER_STATE_RESERVED != 0 {
        return Err(psci::INVALID_PARAMETERS);
    }
    if u64::from(power_state) & psci::POWER_STATE_POWERDOWN == 0 {
        return Ok(Suspend::Standby);
    }
    check_entry(entry, is_ram)?;
    Ok(Suspend::PowerDown { entry, context })
}
