//! vCPUs: their registers, their life on a core, and what their traps mean.
//!
//! | file | what |
//! | --- | --- |
//! | `context` | registers as plain data |
//! | `slot` | the shared slot and who may touch what |
//! | `run` | CPU_RUN: the core's loop over its queue |
//! | `pick` | which vCPU of a core plays next |
//! | `near` | answers within a run, with EL1's registers left where they are |
//! | `exit` | one guest exit to one verdict |
//! | `abort` | stage-2 faults: RAM to come, MMIO, redistributor frames |
//! | `calls` | HVC and SMC of guests: PSCI, SMCCC, memory sharing |
//! | `interrupts` | injecting, SGIs, the virtual timer |

pub mod abort;
pub mod calls;
pub mod context;
pub mod exit;
pub mod interrupts;
mod near;
pub(crate) mod pick;
pub mod run;
pub mod slot;
