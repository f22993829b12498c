//! The models of pins, residency and run queues.

#![cfg(loom)]

loom_tests::percpu_suite!();
