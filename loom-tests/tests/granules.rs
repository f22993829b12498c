//! The models of granules.

#![cfg(loom)]

loom_tests::granules_suite!();
