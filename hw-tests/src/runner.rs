//! Runs the tests that the command line selects and prints their lines.
//!
//! Invariant: every selected test is named before it begins, and gives exactly one line when it is
//! over; the closing line counts them.

use crate::{
    args::Args,
    census, events,
    outcome::{Stop, TestResult},
    random::Random,
    team,
    tests::{self, attack, bench},
};
use alloc::string::String;
use el1::{call, machine, machine::Conduit, println, psci, timer};

/// What a test needs beneath it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but cores and memory.
    Machine,
    /// The engine.
    Engine,
    /// The engine; pages end up poisoned.
    Poison,
    /// The engine, and RAM that is not there. What of it a test uses ends up poisoned.
    AbsentRam,
}

/// A test.
pub struct Test {
    /// `file::function`.
    pub name: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// The test itself; random choices come from its argument.
    pub run: fn(&mut Random) -> TestResult,
}

/// Registers functions of a test file under `file::function`.
macro_rules! register {
    ($file:literal: $($function:ident),+ $(,)?) => {
        /// The tests of this file.
        pub const TESTS: &[$crate::runner::Test] = &[$($crate::runner::Test {
            name: concat!($file, "::", stringify!($function)),
            needs: $crate::runner::Needs::Engine,
            run: $function,
        }),+];
    };
}

pub(crate) use register;

/// SGI that the engine may use for kicks.
pub const DOORBELL: u64 = 0;

/// The boot core's way through the run.
pub fn main() -> ! {
    let machine = machine();
    let args = Args::parse(machine.bootargs);
    // Under the engine PSCI goes by SMC; on the bare virtual machine at EL1 by HVC.
    let with_engine = machine.conduit == Conduit::Smc;
    println!(
        "hwtests: {} cores, seed={} filter={:?}",
        machine.cores.len(),
        args.seed,
        args.filter
    );
    let ready = prepare(with_engine);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let (on_request, bench): (&[&[Test]], _) = match args.filter {
        "" => (&[], &[][..]),
        _ => (tests::ON_REQUEST, bench::TESTS),
    };
    let all = tests::ALL
        .iter()
        .chain(attack::TESTS)
        .chain(on_request)
        .chain(bench);
    let selected = all.copied().flatten().filter(|test| match args.filter {
        attack::FILTER => attack::find(test.name).is_some(),
        _ => args.selects(test.name),
    });
    for test in selected {
        println!("begin {}", test.name);
        if let Some(case) = attack::find(test.name) {
            println!("{case}");
        }
        let begin = timer::now();
        let result = match (&ready, with_engine || test.needs == Needs::Machine) {
            (Err(stop), _) => Err(stop.clone()),
            (_, false) => Err(Stop::Skip(String::from("no engine beneath"))),
            _ => run_counted(test, args.seed, with_engine),
        };
        match result {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok", test.name);
            }
            Err(Stop::Fail(reason)) => {
                failed += 1;
                println!("test {} ... FAILED: {reason}", test.name);
                if with_engine {
                    events::show(machine.cores.len());
                }
            }
            Err(Stop::Skip(reason)) => {
                skipped += 1;
                println!("test {} ... skipped: {reason}", test.name);
            }
        }
        let micros = (timer::now() - begin) * 1_000_000 / timer::frequency();
        println!("took {micros} us");
    }
    if let Err(Stop::Fail(reason)) = tests::leave_if_wanted() {
        failed += 1;
        println!("test remains::leave ... FAILED: {reason}");
    }
    println!("@hwtests passed={passed} failed={failed} skipped={skipped}");
    psci::system_off()
}

fn prepare(with_engine: bool) -> TestResult {
    if with_engine {
        census::feed_engine()?;
        call::engine_doorbell(DOORBELL)
            .map_err(|status| Stop::Fail(alloc::format!("ENGINE_DOORBELL: {}", status.name())))?;
    }
    team::start(with_engine);
    Ok(())
}

/// Runs a test; with an engine beneath the census must come out as it went in.
fn run_counted(test: &Test, seed: u64, with_engine: bool) -> TestResult {
    // The stream follows from the name, so that a filter does not change what a test draws.
    let mut random = Random::new(seed, name_hash(test.name));
    if !with_engine {
        return (test.run)(&mut random);
    }
    if test.needs == Needs::AbsentRam && !tests::has_absent_ram() {
        return Err(Stop::Skip(String::from("all RAM is there")));
    }
    let before = census::take()?;
    attack::run(test, &mut random)?;
    match test.needs {
        Needs::Poison | Needs::AbsentRam => census::check_same_but_poisoned(&before),
        _ => census::check_same(&before),
    }
}

/// FNV-1a.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
