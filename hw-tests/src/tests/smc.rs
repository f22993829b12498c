//! The host's SMCs reach the firmware by an allow-list only, and standard calls keep x4–x17 (SMCCC
//! 1.2, DEN0028 2.6).

use crate::{
    outcome::{OrFail, TestResult, check, check_eq},
    random::Random,
    registers::{self, Registers},
    runner::register,
    team,
};
use abi::{CALL_UID, Call, Counter, InfoIndex, Status, psci, smccc};
use el1::{call, machine::machine};

register!(
    "smc": calls_off_the_list_are_refused,
    unknown_hypercalls_are_refused,
    discovery_answers,
    own_calls_zero_their_results,
    every_info_is_told_or_refused,
);

/// FF-A (DEN0077A), services of silicon and platform vendors, trusted applications and OSes, PSCI
/// calls that would act on the machine below the engine, and numbers that nobody has.
const OFF_THE_LIST: &[u64] = &[
    0x8400_0060,
    0x8400_0063,
    0x8400_0066,
    0xC400_0066,
    0xC400_006B,
    0xC400_0071,
    0xC400_0072,
    0xC400_0073,
    0x8400_0077,
    0x8400_00EF,
    0xC200_0000,
    0xC300_0001,
    0x8200_FF01,
    0xB000_0000,
    0xB200_0000,
    0xFF00_0000,
    psci::SYSTEM_SUSPEND_64,
    psci::SYSTEM_RESET2_64,
    0x8400_0007,
    0x8400_000B,
    0xC600_0100,
    0xC600_0000,
    0,
    1,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
];

const NOT_SUPPORTED: u64 = smccc::NOT_SUPPORTED as u64;

/// Makes a call of which only x0 may change.
fn check_refused(name: &str, function: u64, invoke: fn(&mut Registers)) -> TestResult {
    let mut after = Registers::of_host();
    after.x[0] = function;
    let mut expected = after.clone();
    expected.x[0] = NOT_SUPPORTED;
    invoke(&mut after);
    for n in 0..31 {
        check_eq!(after.x[n], expected.x[n], "x{n} after {name} {function:#x}");
    }
    check_eq!(
        after.v,
        expected.v,
        "FP registers after {name} {function:#x}"
    );
    Ok(())
}

fn calls_off_the_list_are_refused(random: &mut Random) -> TestResult {
    let denied = || call::stats_read(team::engine_cpu(0), Counter::SmcDenied.raw());
    let before = denied().or_fail("STATS_READ")?;
    for function in OFF_THE_LIST {
        check_refused("SMC", *function, registers::smc)?;
    }
    // Anywhere among FF-A's numbers, 32 and 64 bits.
    for _ in 0..100 {
        let number = 0x60 + random.below(0x90);
        let base = [0x8400_0000, 0xC400_0000][random.below(2) as usize];
        check_refused("SMC", base | number, registers::smc)?;
    }
    let counted = denied().or_fail("STATS_READ")? - before;
    check_eq!(
        counted,
        OFF_THE_LIST.len() as u64 + 100,
        "calls counted as denied"
    );
    Ok(())
}

fn unknown_hypercalls_are_refused(random: &mut Random) -> TestResult {
    for function in [
        0xC600_0104,
        0xC600_0107,
        0xC600_011D,
        0xC600_01FF,
        0xC600_0080,
        0x8600_0100,
        0x4600_0100,
        smccc::KVM_FEATURES,
        smccc::KVM_MEM_SHARE,
        psci::VERSION,
        psci::CPU_ON_64,
        0,
        u64::MAX,
    ] {
        check_refused("HVC", function, registers::hvc)?;
    }
    for _ in 0..200 {
        let function = random.next() & 0xffff_ffff;
        let is_known = Call::from_function_id(function).is_some()
            || matches!(function, smccc::VERSION | smccc::VENDOR_HYP_CALL_UID);
        if !is_known {
            check_refused("HVC", function, registers::hvc)?;
        }
    }
    Ok(())
}

fn discovery_answers(_: &mut Random) -> TestResult {
    let mut x = Registers::of_host();
    x.x[0] = smccc::VENDOR_HYP_CALL_UID;
    let given = x.clone();
    registers::hvc(&mut x);
    check_eq!(x.x[..4], CALL_UID.map(u64::from), "UID");
    check_eq!(x.x[4..], given.x[4..], "x4–x30 after the UID");

    for invoke in [registers::hvc as fn(&mut Registers), registers::smc] {
        let mut x = Registers::of_host();
        x.x[0] = smccc::VERSION;
        let given = x.clone();
        invoke(&mut x);
        check_eq!(x.x[0], smccc::VERSION_1_2, "SMCCC_VERSION");
        check_eq!(x.x[1..], given.x[1..], "x1–x30 after SMCCC_VERSION");
    }

    let mut x = Registers::of_host();
    x.x[0] = psci::VERSION;
    let given = x.clone();
    registers::smc(&mut x);
    check_eq!(x.x[0], psci::VERSION_1_1, "PSCI_VERSION");
    check_eq!(x.x[1..], given.x[1..], "x1–x30 after PSCI_VERSION");
    Ok(())
}

/// Nothing that the engine had in its registers is left in a result that the call does not use.
fn own_calls_zero_their_results(_: &mut Random) -> TestResult {
    for known in Call::ALL {
        // No call makes sense of these; CPU_RUN is bounded by its argument, and at 0 some machines have RAM.
        let mut x = Registers::of_host();
        x.x[0] = known.function_id();
        x.x[1..7].fill(0);
        match known {
            Call::CpuRun => x.x[1] = 1,
            Call::PagePoison => x.x[1] = machine().ram_end(),
            _ => {}
        }
        let given = x.clone();
        registers::hvc(&mut x);
        let used = match x.x[0] {
            0 => known.results(),
            _ => 0,
        };
        for n in 1 + used..=17 {
            check_eq!(x.x[n], 0, "x{n} after {}", known.name());
        }
        check_eq!(x.x[18..], given.x[18..], "x18–x30 after {}", known.name());
        check_eq!(x.v, given.v, "FP registers after {}", known.name());
        check_eq!(x.nzcv, given.nzcv, "flags after {}", known.name());
    }
    Ok(())
}

/// Some are told from the vectors, others are counted first, others there are not.
fn every_info_is_told_or_refused(_: &mut Random) -> TestResult {
    let indices = InfoIndex::ALL.map(InfoIndex::raw);
    let beyond = InfoIndex::ALL.len() as u64;
    for index in indices.into_iter().chain([beyond, 1 << 32, u64::MAX]) {
        let mut x = Registers::of_host();
        (x.x[0], x.x[1]) = (Call::EngineInfo.function_id(), index);
        let given = x.clone();
        registers::hvc(&mut x);
        let known = indices.contains(&index);
        let status = if known {
            Status::Success
        } else {
            Status::OutOfRange
        };
        check_eq!(
            x.x[0],
            status.raw() as u64,
            "status of ENGINE_INFO {index:#x}"
        );
        check!(known || x.x[1] == 0, "x1 of ENGINE_INFO {index:#x}");
        check_eq!(x.x[2..18], [0; 16], "x2–x17 of ENGINE_INFO {index:#x}");
        check_eq!(
            x.x[18..],
            given.x[18..],
            "x18–x30 of ENGINE_INFO {index:#x}"
        );
    }
    let told = |index| call::engine_info(index).or_fail("ENGINE_INFO");
    let cpus = told(InfoIndex::Cpus)?;
    let version = u64::from(abi::VERSION_MAJOR) << 16 | u64::from(abi::VERSION_MINOR);
    check_eq!(told(InfoIndex::Version)?, version, "version");
    check!(
        told(InfoIndex::ThisCpu)? < cpus,
        "this core is beyond {cpus}"
    );
    check_eq!(told(InfoIndex::MaxVms)?, abi::limit::VMS as u64, "VMs");
    check!(told(InfoIndex::FreePages)? > 0, "free pages");
    Ok(())
}
