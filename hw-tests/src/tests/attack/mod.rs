//! An attacker in the host's seat, and one in a guest's.
//!
//! A case is a test with a line of text: who attacks, by what mechanism, the documented refusal that must
//! come, and the numbers of the bugs of `docs/scenarios.md` that it tries. `cargo xtask attacks` makes
//! `docs/attacks.md` of these lines and of how the tests ended.
//!
//! Layout: [`case`] what a case is; `stage` the victim that every case is played in front of; `known`
//! the texts of tests that lie elsewhere; the other files are the attacks, one subject each.

mod answers;
mod beside;
mod calls;
mod case;
mod encodings;
mod fixed;
mod floods;
mod groups;
mod guest_registers;
mod host_registers;
mod known;
mod memory;
mod regimes;
mod stage;
mod translations;
mod worlds;

use crate::{
    outcome::TestResult,
    random::Random,
    runner::{Needs, Test},
};
use case::By;
pub use case::Case;

/// The tests of this folder.
pub const TESTS: &[&[Test]] = &[
    memory::TESTS,
    fixed::TESTS,
    calls::TESTS,
    answers::TESTS,
    host_registers::TESTS,
    guest_registers::TESTS,
    translations::TESTS,
    floods::TESTS,
    worlds::TESTS,
    regimes::TESTS,
];

/// Texts of all cases.
const CASES: &[&[Case]] = &[
    known::CASES,
    memory::CASES,
    fixed::CASES,
    calls::CASES,
    answers::CASES,
    host_registers::CASES,
    guest_registers::CASES,
    translations::CASES,
    floods::CASES,
    worlds::CASES,
    regimes::CASES,
];

/// What the filter says to select the cases, and nothing else.
pub const FILTER: &str = "@attack";

/// The case that the test called `name` is, if it is one.
pub fn find(name: &str) -> Option<&'static Case> {
    let mut all = CASES.iter().copied().flatten();
    all.find(|case| case.name == name)
}

/// Runs a test; if it is a case that lies elsewhere, in front of a victim. (Those that lie here have theirs.)
pub fn run(test: &Test, random: &mut Random) -> TestResult {
    let is_case = known::CASES.iter().any(|case| case.name == test.name);
    match test.needs {
        Needs::Engine if is_case => stage::play_in_front(test.run, random),
        _ => (test.run)(random),
    }
}
