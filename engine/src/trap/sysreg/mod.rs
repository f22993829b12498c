//! Which system registers each side may see, and with which values.
//!
//! Two policies, table driven: for guests everything is listed, for the host the feature-ID space
//! is and the rest of what traps is refused. Invariants: a feature field or register without a row
//! is hidden; a field's value never exceeds what its row names, so a later core's features stay
//! hidden until a row admits them; no row of one side depends on the other.
//!
//! The tables are written for these traps (Arm ARM D19.2.48 HCR_EL2, D19.3 MDCR_EL2):
//!
//! | control | guest | host |
//! | --- | --- | --- |
//! | HCR_EL2.TID3, TID5, TIDCP, TACR, TLOR | set | set |
//! | HCR_EL2.TERR, TSW | set | clear |
//! | HCR_EL2.TID1, TID2 | clear: identification and cache geometry are the core's | clear |
//! | HCR_EL2.FIEN, EnSCXT, ATA, AMVOFFEN; all of HCRX_EL2 | clear | clear |
//! | MDCR_EL2.TDRA, TDOSA, TDA | set: debug registers are not switched | clear |
//! | MDCR_EL2.TPM, TPMCR, TPMS, TTRF; E2PB, E2TB | trap | trap |
//! | CPTR_EL2.TTA, TAM, TZ, TSM | trap | trap |
//! | CNTHCTL_EL2.EL1PCEN (EL1PCTEN lets the counter be read) | traps the timer | open |
//! | ICC_SRE_EL2.Enable | clear | set |

mod access;
mod features;
mod id;
mod number;

#[cfg(test)]
mod tests;

pub use access::{MDSCR_GUEST, SgiGroup, SysregOutcome, answer_host, guest_read, guest_write};
pub use features::Order;
pub use id::IdRegisters;
pub use number::{SysregId, reg};
