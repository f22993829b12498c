//! Who owns each page, and how that changes without a lock.
//!
//! Every page has one word, or shares one with the 2 MiB or 1 GiB around it (`word`, `tree`). A
//! settled word says whose the page is; an operation first *claims* the page (`claim`), does what has
//! to be done to tables and TLBs, and then *commits* the new state, or rolls back. Which transitions
//! exist is a pure function (`state`); what has to be done first is shown by values that only the code
//! which did it can make (`proof`). `look` tells, without a claim.
//!
//! ```text
//!                 boot            boot
//!   HostFixed <---------- Reserved ----------+
//!                            | boot          |
//!            ENGINE_DONATE   v    VM_MAP     |
//!   Owned(Engine) <====== Owned(Host) =====> Owned(Vm) ===+
//!        |                 ^  ^   ^              ^        | MEM_SHARE
//!        +=================+  |   +==============+        v
//!          ENGINE_RECLAIM     |    RELINQUISH,   +== Shared(Vm,Host,1)
//!                             |    RECLAIM         MEM_UNSHARE, RECLAIM
//!                             v
//!                    Shared(Host,Vm,k)  LEND k+1, UNLEND and RECLAIM k-1
//!
//!   A whole 2 MiB of a dying VM may be Scrubbing(Vm, done) between Owned(Vm) and Owned(Host).
//!   === passes through Claimed;  any settled page state ====> Poisoned by PAGE_POISON,
//!   and by the operations that zero it, if it has an error
//! ```
//!
//! Invariants: each page has exactly one owner or is claimed by exactly one operation; a claim that
//! is dropped leaves the page as it was; no safe code outside this crate can write a word but
//! through a claim.

#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

mod addr;
mod census;
mod claim;
#[cfg(all(test, not(loom)))]
mod claim_tests;
#[cfg(all(test, not(loom)))]
mod fold_tests;
#[cfg(all(test, not(loom)))]
mod for_tests;
mod look;
#[cfg(all(test, not(loom)))]
mod look_tests;
mod proof;
#[cfg(all(test, not(loom)))]
mod proof_tests;
#[cfg(all(test, not(loom)))]
mod slices_tests;
mod state;
#[cfg(all(test, not(loom)))]
mod state_tests;
mod table;
mod touched;
#[cfg(all(test, not(loom)))]
mod touched_tests;
mod tree;
#[cfg(all(test, not(loom)))]
mod tree_tests;
mod word;

pub use addr::{FAN_OUT_SHIFT, Granule, GranuleSize, Ipa, PAGE_SIZE, Pa, Pfn};
pub use census::Census;
pub use claim::{Claim, Hold, PageClaim, RunClaim, WholeClaim};
pub use look::Uniform;
pub use proof::{Coverage, Flushed, HOST_VMID, Scrubbed};
pub use state::{Needs, is_claimable, is_lent, is_shared_by_vm, transition};
pub use table::{PageTable, Refused};
pub use word::{Op, Owner, State, VmSlot, Word};
