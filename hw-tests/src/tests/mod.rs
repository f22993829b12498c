//! The tests, a file for each subject; every file lists its own.

mod absent;
mod arguments;
pub mod attack;
pub mod bench;
mod canary;
mod churn;
mod cores;
mod engine_memory;
mod figures;
mod flushing;
mod interrupts;
mod late;
mod order;
mod psci;
mod redistributors;
mod remains;
mod roundtrip;
mod sharing;
mod slices;
mod smc;
mod stress;
mod teardown;
mod thousand;
mod tlb;
mod vcpu_arguments;

use crate::runner::Test;

/// All tests, in the order in which they run.
pub const ALL: &[&[Test]] = &[
    cores::TESTS,
    engine_memory::TESTS,
    roundtrip::TESTS,
    smc::TESTS,
    canary::TESTS,
    psci::TESTS,
    sharing::TESTS,
    interrupts::TESTS,
    redistributors::TESTS,
    slices::TESTS,
    tlb::donate::TESTS,
    tlb::combined::TESTS,
    tlb::walks::TESTS,
    tlb::split::TESTS,
    tlb::unshare::TESTS,
    tlb::destroy::TESTS,
    tlb::vmids::TESTS,
    tlb::moves::TESTS,
    tlb::storm::TESTS,
    arguments::TESTS,
    vcpu_arguments::TESTS,
    churn::TESTS,
    thousand::TESTS,
    late::TESTS,
];

/// Measurements and the stress, which take long, and tests of memory errors: they run only where the filter
/// names them, as they want a machine of their own.
pub const ON_REQUEST: &[&[Test]] = &[
    absent::TESTS,
    bench::cores::TESTS,
    bench::longest::TESTS,
    figures::TESTS,
    flushing::TESTS,
    order::TESTS,
    remains::TESTS,
    stress::TESTS,
    teardown::TESTS,
];

pub use absent::is_there as has_absent_ram;
pub use remains::leave_if_wanted;
