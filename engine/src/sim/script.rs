//! What guests are told to do, a step each, and what they saw of it.

use super::syndrome::Shape;
use std::boxed::Box;
use std::vec::Vec;

/// One step of a guest.
pub enum GuestOp {
    /// Loads 64 bits from an IPA into x9.
    Load(u64),
    /// Stores a marked value of the guest's own.
    Store(u64),
    /// Stores x9 after setting it to this value.
    StoreRaw(u64, u64),
    /// Fetches an instruction.
    Fetch(u64),
    /// A load whose syndrome does not describe it, such as a load of a pair.
    LoadPair(u64),
    /// Loads a part of a word into x9: for devices, since what is done to memory is done to words.
    LoadPart(u64, Shape),
    /// Stores a part of x9 after setting it to this value: likewise.
    StorePart(u64, Shape, u64),
    /// HVC #0 with x0–x6.
    Hvc([u64; 7]),
    /// SMC #0 with x0–x6.
    Smc([u64; 7]),
    /// WFI.
    Wfi,
    /// MRS (`true`) or MSR of x9, as the ISS of a trapped one says.
    Sysreg(u32),
    /// MSR of x9 to ICC_SGI1R_EL1 after setting it to this value.
    SendSgi(u64),
    /// A physical interrupt for the host arrives, and stays.
    Interrupt,
    /// A physical SError.
    SError,
    /// One that is taken with the next exit, whatever that is for: EL2 finds it when the registers are saved.
    LateSError,
    /// A load from there ends in a TLB conflict abort; it is not tried again.
    TlbConflict(u64),
    /// Any synchronous exception to EL2, whatever its syndrome says; it is not tried again.
    Trap(Box<AnyTrap>),
    /// Where a [`GuestOp::Trap`] was: says what became of it.
    Trapped,
    /// Says what all registers hold.
    Look,
    /// Says which list registers are in use.
    LookAtInterrupts,
    /// Arms the virtual timer for this physical count.
    SetTimer(u64),
    /// Enables both groups of interrupts, of any priority.
    EnableInterrupts,
    /// Something that another core does meanwhile.
    Elsewhere(Box<dyn FnOnce() + Send>),
}

/// A synchronous exception to EL2 with all that the engine may read of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnyTrap {
    /// General registers.
    pub x: [u64; 31],
    /// PSTATE, as SPSR_EL2 has it.
    pub pstate: u64,
    /// ESR_EL2.
    pub esr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// HPFAR_EL2.
    pub hpfar: u64,
}

/// A guest when it goes on after a trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AfterTrap {
    /// General registers.
    pub x: [u64; 31],
    /// Where it goes on.
    pub pc: u64,
    /// How.
    pub pstate: u64,
    /// ESR_EL1, ELR_EL1, SPSR_EL1 and FAR_EL1.
    pub exception: [u64; 4],
}

/// What a guest saw of one step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The value loaded.
    Value(u64),
    /// Stored: this value.
    Stored(u64),
    /// Fetched.
    Fetched,
    /// x0–x3 after a call.
    Returned([u64; 4]),
    /// The instruction was done by somebody else: what x9 holds.
    Emulated(u64),
    /// It ended in an exception: ESR_EL1.
    Exception(u64),
    /// It was started anew elsewhere, with this x0.
    Started(u64),
    /// General registers.
    Registers(Box<[u64; 31]>),
    /// The guest after a trap, and where its instruction is.
    Trapped(u64, Box<AfterTrap>),
    /// List registers that are not empty.
    Interrupts(Vec<u64>),
    /// Nothing to say.
    Done,
}
