//! Cores of the host: turned on once, where their caller said, and never left asleep.

use abi::psci;
use engine::host::Next;
use loom_tests::explore_engine;
use loom_tests::host::Host;
use loom_tests::world::Size;

const SUCCESS: i64 = psci::SUCCESS;

/// A host of whose three cores the last is parked.
fn one_parked() -> Host {
    Host::boot(Size {
        cores: 3,
        parked: 1,
        ..Size::of(1)
    })
}

/// PSCI CPU_ON of the last core, with values by which its caller is known.
fn turn_on(host: &mut Host, by: u64) -> i64 {
    let (answer, next) = host.smc([psci::CPU_ON_64, 2, by << 12, by]);
    assert_eq!(next, Next::Resume);
    answer
}

/// Two cores turn on a third, which waits for it: one of them does, and it starts as that one said.
#[test]
fn cpu_on_against_cpu_on() {
    explore_engine(3, || {
        let mut host = one_parked();

        let third = host.on(2, |core| core.wait_parked());
        let second = host.on(1, |core| turn_on(core, 2));
        let answers = [turn_on(&mut host, 1), second.join().unwrap()];
        let (entry, context) = third.join().unwrap().expect("let go, it was released");

        let winner = answers.iter().position(|answer| *answer == SUCCESS);
        let by = winner.expect("it was off") as u64 + 1;
        assert_eq!((entry, context), (by << 12, by), "a mixture of two calls");
        let lost = answers[2 - by as usize];
        assert!(
            [psci::ON_PENDING, psci::ALREADY_ON].contains(&lost),
            "both turned it on: {answers:?}"
        );
        host.check();
    });
}

/// A core turns itself off while another turns it on again: it was on still, or it comes back where
/// that one said.
#[test]
fn cpu_on_against_cpu_off() {
    explore_engine(2, || {
        let mut host = Host::boot(Size::of(1));

        let turning_off = host.beside(|core| core.smc([psci::CPU_OFF, 0, 0, 0]));
        let (mut answer, _) = host.smc([psci::CPU_ON_64, 1, 1 << 12, 1]);
        assert_eq!(turning_off.join().unwrap(), (SUCCESS, Next::Park));

        if answer != SUCCESS {
            assert_eq!(answer, psci::ALREADY_ON);
            (answer, _) = host.smc([psci::CPU_ON_64, 1, 1 << 12, 1]);
            assert_eq!(answer, SUCCESS, "it is off");
        }
        let back = host.beside(|core| core.wait_parked());
        assert_eq!(back.join().unwrap(), Some((1 << 12, 1)));
        host.check();
    });
}
