//! The host's device tree, from fixtures of real shape (see `device_tree.rs`), from trees made by
//! hand, and from damaged ones.

mod by_hand;
mod common;
mod damaged;
mod fixtures;
