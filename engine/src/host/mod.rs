//! The demoted host: what its traps mean and what it is answered.
//!
//! | file | what |
//! | --- | --- |
//! | `trap` | one exit of the host to its consequence |
//! | `fault` | stage-2 faults: its own memory, device frames that the engine guards, everything else |
//! | `psci` | its PSCI calls: cores parked at EL2 |
//! | `boot` | its stage-2 at the start |
//! | `leftovers` | RAM that outlived a reset, zeroed before that |
//! | `core` | the state of one of its cores |
//! | `park` | the word that lets a parked core go |

pub mod boot;
pub mod core;
pub mod fault;
pub mod leftovers;
pub mod park;
mod psci;
mod trap;

pub use trap::Next;
