use super::*;

#[test]
fn every_identifier_decodes_or_is_refused() {
    let offered = [0x8400_0000u64, 0xc400_0000]
        .into_iter()
        .flat_map(|base| (0..0x1_0000).map(move |number| base + number))
        .filter(|&function| PsciCall::decode(&[function, 0, 0, 0]).is_some());
    let expected = [
        0x8400_0000,
        0x8400_0001,
        0x8400_0002,
        0x8400_0003,
        0x8400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0xc400_0001,
        0xc400_0003,
        0xc400_0004,
    ];
    assert!(offered.eq(expected));
    for function in expected {
        assert_eq!(features(function), 0);
        // The upper half of x0 is no part of the identifier.
        assert!(PsciCall::decode(&[function | 0xdead << 32, 0, 0, 0]).is_some());
    }
    // SMCCC_VERSION is discovered here (DEN0028 7.2.1); SYSTEM_SUSPEND and MIGRATE are not there.
    assert_eq!(features(0x8000_0000), 0);
    for function in [
        0x8400_0005,
        0x8400_0007,
        0x8400_000e,
        0x8400_0012,
        0xc400_0002,
        u64::MAX,
    ] {
        assert_eq!(features(function), -1);
    }
}

#[test]
fn the_32_bit_form_cuts_its_arguments() {
    let x = [0, 0xaaaa_0000_0001, 0xbbbb_4000_0000, 0xcccc_0000_0007];
    let short = PsciCall::decode(&[psci::CPU_ON, x[1], x[2], x[3]]);
    assert_eq!(
        short,
        Some(PsciCall::CpuOn(CpuOn {
            target: 1,
            entry: 0x4000_0000,
            context: 7
        }))
    );
    let long = PsciCall::decode(&[psci::CPU_ON_64, x[1], x[2], x[3]]);
    assert_eq!(
        long,
        Some(PsciCall::CpuOn(CpuOn {
            target: x[1],
            entry: x[2],
            context: x[3]
        }))
    );
}

fn on(target: u64, entry: u64) -> Result<usize, i64> {
    CpuOn {
        target,
        entry,
        context: 0,
    }
    .check(
        |affinity| {
            [0u64, 1, 0x1_0000_0000]
                .iter()
                .position(|&known| known == affinity)
        },
        |address| (0x4000_0000..0x5000_0000).contains(&address),
    )
}

#[test]
fn cpu_on_blames_the_target_before_the_address() {
    assert_eq!(on(1, 0x4000_0000), Ok(1));
    assert_eq!(on(0x1_0000_0000, 0x4fff_fffc), Ok(2));
    assert_eq!(on(2, 0x4000_0000), Err(psci::INVALID_PARAMETERS));
    assert_eq!(on(2, 1), Err(psci::INVALID_PARAMETERS));
    // MPIDR_EL1's own copy of bits 31 and 24 is not an affinity field.
    assert_eq!(on(1 << 31, 0x4000_0000), Err(psci::INVALID_PARAMETERS));
    assert_eq!(on(1 << 40 | 1, 0x4000_0000), Err(psci::INVALID_PARAMETERS));
    for entry in [0, 0x4000_0002, 0x5000_0000, u64::MAX] {
        assert_eq!(on(1, entry), Err(psci::INVALID_ADDRESS));
    }
    assert_eq!(already(PowerState::Off), Ok(()));
    assert_eq!(already(PowerState::On), Err(-4));
    assert_eq!(already(PowerState::OnPending), Err(-5));
}

#[test]
fn affinity_info_of_cores_and_groups() {
    use PowerState::*;
    let vcpus = [
        (0x000, On),
        (0x001, Off),
        (0x100, Off),
        (0x101, OnPending),
        (0x200, Off),
    ];
    let ask = |target, level| affinity_info(target, level, vcpus.into_iter());
    assert_eq!(ask(0, 0), psci::AFFINITY_ON);
    assert_eq!(ask(1, 0), psci::AFFINITY_OFF);
    assert_eq!(ask(0x101, 0), psci::AFFINITY_ON_PENDING);
    assert_eq!(ask(2, 0), psci::INVALID_PARAMETERS);
    // Groups; the fields below the level are ignored.
    assert_eq!(ask(0x0ff, 1), psci::AFFINITY_ON);
    assert_eq!(ask(0x100, 1), psci::AFFINITY_ON_PENDING);
    assert_eq!(ask(0x200, 1), psci::AFFINITY_OFF);
    assert_eq!(ask(0x300, 1), psci::INVALID_PARAMETERS);
    assert_eq!(ask(0, 2), psci::AFFINITY_ON);
    assert_eq!(ask(0, 3), psci::AFFINITY_ON);
    for (target, level) in [(0, 4), (0, u64::MAX), (1 << 24, 0), (u64::MAX, 3)] {
        assert_eq!(ask(target, level), psci::INVALID_PARAMETERS);
    }
}

#[test]
fn suspend_checks_the_entry_only_if_state_is_lost() {
    let ask = |state, entry| check_suspend(state, entry, 5, |address| address == 0x4000_0000);
    assert_eq!(ask(0, u64::MAX), Ok(Suspend::Standby));
    assert_eq!(ask(0x0300_ffff, 1), Ok(Suspend::Standby));
    let down = Suspend::PowerDown {
        entry: 0x4000_0000,
        context: 5,
    };
    assert_eq!(ask(0x0001_0000, 0x4000_0000), Ok(down));
    assert_eq!(ask(0x0001_0000, 0x4000_0004), Err(psci::INVALID_ADDRESS));
    for reserved in (17..24).chain(26..32) {
        assert_eq!(
            ask(1 << reserved, 0x4000_0000),
            Err(psci::INVALID_PARAMETERS)
        );
    }
}
