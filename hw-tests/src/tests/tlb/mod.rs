//! What one core takes away, no other core reaches through a translation that it still has: a file for each
//! way to lose something.
//!
//! The cores that lose it are at work all the time, and nothing gives them a reason to forget: hosts stay in
//! the host, guests in their guest, until they fault. Which of the engine's protections QEMU shows, and what
//! shows the others, is in docs/protections.md.

pub mod combined;
pub mod destroy;
pub mod donate;
mod hammer;
pub mod moves;
pub mod split;
pub mod storm;
pub mod unshare;
pub mod vmids;
pub mod walks;
