//! The models of page words.

#![cfg(loom)]

loom_tests::ownership_suite!();
