//! Cores of the host: turned on once, where their caller said, and never left asleep.

use abi::psci;
use engine::host::Next;
use loom::sync::{Condvar, Mutex};
use loom_tests::host::Host;
use loom_tests::world::Size;
use loom_tests::{Arc, explore_engine};

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

/// A core turns itself off and parks while another turns it on again: it was on still, and can be
/// turned on when it is off; or it comes back where that one said. Either way it does not sleep on.
#[test]
fn cpu_on_against_cpu_off() {
    explore_engine(2, || {
        let mut host = Host::boot(Size::of(1));
        let is_off = Arc::new((Mutex::new(false), Condvar::new()));

        let told = is_off.clone();
        let back = host.beside(move |core| {
            assert_eq!(core.smc([psci::CPU_OFF, 0, 0, 0]), (SUCCESS, Next::Park));
            *told.0.lock().unwrap() = true;
            told.1.notify_one();
            core.wait_parked()
        });
        let (mut answer, _) = host.smc([psci::CPU_ON_64, 1, 1 << 12, 1]);
        if answer != SUCCESS {
            assert_eq!(answer, psci::ALREADY_ON);
            let mut is_told = is_off.0.lock().unwrap();
            while !*is_told {
                is_told = is_off.1.wait(is_told).unwrap();
            }
            drop(is_told);
            (answer, _) = host.smc([psci::CPU_ON_64, 1, 1 << 12, 1]);
            assert_eq!(answer, SUCCESS, "it is off");
        }
        assert_eq!(back.join().unwrap(), Some((1 << 12, 1)));
        host.check();
    });
}
