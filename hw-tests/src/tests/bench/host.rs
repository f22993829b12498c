//! The host's cheapest ways into the engine and back.

use super::{rounds, tell};
use crate::{
    measure,
    outcome::{TestResult, check_eq},
    random::Random,
    runner::register,
};
use abi::{Call, EngineInfoArgs, InfoIndex, psci, smccc};

register!("bench": host_null, host_info, host_psci_version);

/// A function of the vendor's range that the engine does not know (DEN0028 2.5).
const UNKNOWN: u64 = 0xc600_7fff;

fn host_null(_: &mut Random) -> TestResult {
    let ticks = rounds(|_| {
        let (ticks, x) = measure::hvc(UNKNOWN, &[]);
        check_eq!(x[0], smccc::NOT_SUPPORTED as u64, "x0 of an unknown call");
        Ok(ticks)
    })?;
    tell("host_null", 1, &ticks)
}

fn host_info(_: &mut Random) -> TestResult {
    let index = InfoIndex::Version.raw();
    let arguments = EngineInfoArgs { index }.to_registers();
    let ticks = rounds(|_| {
        let (ticks, x) = measure::hvc(Call::EngineInfo.function_id(), &arguments);
        check_eq!(x[0], 0, "status of ENGINE_INFO");
        Ok(ticks)
    })?;
    tell("host_info", 1, &ticks)
}

fn host_psci_version(_: &mut Random) -> TestResult {
    let ticks = rounds(|_| {
        let (ticks, x) = measure::smc(psci::VERSION, &[]);
        check_eq!(x[0] >> 16, 1, "PSCI's major version");
        Ok(ticks)
    })?;
    tell("host_psci_version", 1, &ticks)
}
