//! Every core comes up, knows who it is, and does its share of state-changing calls.
//!
//! Scenario 9: a core that other cores see is complete. Scenario 26: CPU_ON of a core that is on.

use crate::{
    guest::{GICR, RAM},
    outcome::{OrFail, TestResult, check, check_eq, complete, refused},
    random::Random,
    runner::{Needs, Test},
    team,
    vm::{self, ALL, destroy, find_other, insist, take_patterned},
};
use abi::{InfoIndex, Status};
use el1::{PAGE, call, cpu, pages, psci};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    Test {
        name: "cores::all_come_up",
        needs: Needs::Machine,
        run: all_come_up,
    },
    Test {
        name: "cores::each_is_known_to_the_engine",
        needs: Needs::Engine,
        run: each_is_known_to_the_engine,
    },
    Test {
        name: "cores::each_changes_state_100_times",
        needs: Needs::Engine,
        run: each_changes_state_100_times,
    },
    Test {
        name: "cores::running_core_is_already_on",
        needs: Needs::Engine,
        run: running_core_is_already_on,
    },
];

/// Lend-and-unlend rounds of a core: two calls each.
const ROUNDS: u64 = 50;

fn all_come_up(_: &mut Random) -> TestResult {
    check_eq!(team::count_online(), cpu::all().len(), "cores online");
    team::everywhere(|index| {
        check_eq!(cpu::this().index, index, "own index");
        check_eq!(cpu::mpidr(), cpu::all()[index].mpidr, "MPIDR_EL1");
        Ok(())
    })
}

fn each_is_known_to_the_engine(_: &mut Random) -> TestResult {
    let cores = cpu::all().len();
    let known = call::engine_info(InfoIndex::Cpus).or_fail("ENGINE_INFO")?;
    check_eq!(known, cores as u64, "cores of the engine");
    team::everywhere(|index| {
        let number = call::engine_info(InfoIndex::ThisCpu).or_fail("ENGINE_INFO")?;
        check_eq!(number, team::engine_cpu(index), "engine number");
        Ok(())
    })?;
    for index in 0..cores {
        let number = team::engine_cpu(index);
        check!(
            number < known,
            "core {index} has number {number} of {known}"
        );
        let twin = (0..index).find(|other| team::engine_cpu(*other) == number);
        check_eq!(twin, None, "core with the number of core {index}");
    }
    Ok(())
}

fn each_changes_state_100_times(_: &mut Random) -> TestResult {
    let size = cpu::all().len() as u64 * PAGE;
    let shape = vm::shape(1, 0b01)?;
    let target = insist(|| call::vm_create(shape, GICR, (RAM, size), (0, 0)));
    let target = target.or_fail("VM_CREATE")?;
    let result = team::everywhere(move |index| {
        let pa = take_patterned(1, PAGE)?;
        let ipa = RAM + index as u64 * PAGE;
        for _ in 0..ROUNDS {
            let lent = insist(|| call::vm_lend(target, pa, ipa, 1, ALL));
            complete("VM_LEND", lent, 1)?;
            let back = insist(|| call::vm_unlend(target, ipa, 1));
            complete("VM_UNLEND", back, 1)?;
        }
        check_eq!(find_other(pa, 1, vm::PATTERN), None, "content after unlend");
        refused(
            "VM_UNLEND",
            call::vm_unlend(target, ipa, 1),
            Status::NotMapped,
        )?;
        // SAFETY: lent and taken back: the page is ours alone again.
        unsafe { pages::give(pa, 1) };
        Ok(())
    });
    let home = destroy(target)?;
    result?;
    check_eq!(home, 0, "pages left in the VM");
    Ok(())
}

fn running_core_is_already_on(_: &mut Random) -> TestResult {
    team::everywhere(|index| {
        let other = (index + 1) % cpu::all().len();
        for target in [index, other] {
            let answer = psci::cpu_on(cpu::all()[target].mpidr, 0x1000, 0);
            check_eq!(
                answer,
                Err(psci::Error::AlreadyOn),
                "CPU_ON of core {target}"
            );
        }
        let answer = psci::cpu_on(0xff_00ff_fffe, 0x1000, 0);
        check_eq!(
            answer,
            Err(psci::Error::InvalidParameters),
            "CPU_ON of nobody"
        );
        Ok(())
    })
}
