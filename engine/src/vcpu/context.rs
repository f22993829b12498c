//! The register state of a vCPU, as plain data.
//!
//! Invariants: a [`Context`] is touched only by the holder of its vCPU's run ticket; its layout is
//! `repr(C)` because the world switch in `arch` reads it from assembly by offsets taken with
//! `offset_of!`. Nothing here is ever shown to the host but what `exit` selects.

use crate::gic::{Runner, spi::SPI_WORDS};
use crate::trap::sysreg::IdRegisters;

/// x0–x30, the program counter and PSTATE of whoever was interrupted.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Frame {
    /// x0–x30.
    pub x: [u64; 31],
    /// ELR_EL2: where it goes on.
    pub pc: u64,
    /// SPSR_EL2: with which PSTATE.
    pub pstate: u64,
}

/// The host's frame; a name of its own so that a guest's can't be passed for it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct HostFrame(pub Frame);

/// PSTATE of a fresh EL1: EL1h, DAIF masked.
pub const PSTATE_EL1H_MASKED: u64 = 0x3c5;

impl Frame {
    /// All registers zero, at `pc`, EL1h with interrupts masked: PSCI's entry state (DEN0022 6.4).
    pub const fn new(pc: u64, x0: u64) -> Self {
        let mut x = [0; 31];
        x[0] = x0;
        Self {
            x,
            pc,
            pstate: PSTATE_EL1H_MASKED,
        }
    }

    /// Register `index` as an instruction sees it: 31 is XZR.
    pub fn reg(&self, index: u8) -> u64 {
        self.x.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Writes register `index`; 31 is XZR, whose writes vanish.
    pub fn set_reg(&mut self, index: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(index)) {
            *x = value;
        }
    }

    /// SPSR bits that end with an instruction which is stepped over (Arm ARM D1.3.5): SS, a pending single step.
    pub const STEP: u64 = 1 << 21;
    /// ... and BTYPE, a pending check of a branch's target.
    pub const BRANCH_TYPE: u64 = 0b11 << 10;

    /// Steps over the trapped A64 instruction.
    pub fn skip_instruction(&mut self) {
        self.pc = self.pc.wrapping_add(4);
        self.pstate &= !(Self::BRANCH_TYPE | Self::STEP);
    }
}

/// The EL1 and EL0 system registers that a guest owns and the hardware holds one copy of.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
#[expect(
    missing_docs,
    reason = "each field is the Arm ARM register of its name"
)]
pub struct El1Regs {
    pub sctlr: u64,
    pub cpacr: u64,
    pub ttbr0: u64,
    pub ttbr1: u64,
    pub tcr: u64,
    pub mair: u64,
    pub amair: u64,
    pub vbar: u64,
    pub contextidr: u64,
    pub esr: u64,
    pub far: u64,
    pub afsr0: u64,
    pub afsr1: u64,
    pub par: u64,
    pub elr: u64,
    pub spsr: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub tpidr_el1: u64,
    pub cntkctl: u64,
    pub csselr: u64,
    pub mdscr: u64,
    /// APIAKey, APIBKey, APDAKey, APDBKey, APGAKey; low then high half each.
    pub pauth_keys: [u64; 10],
}

impl El1Regs {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            sctlr: 0,
            cpacr: 0,
            ttbr0: 0,
            ttbr1: 0,
            tcr: 0,
            mair: 0,
            amair: 0,
            vbar: 0,
            contextidr: 0,
            esr: 0,
            far: 0,
            afsr0: 0,
            afsr1: 0,
            par: 0,
            elr: 0,
            spsr: 0,
            sp_el0: 0,
            sp_el1: 0,
            tpidr_el0: 0,
            tpidrro_el0: 0,
            tpidr_el1: 0,
            cntkctl: 0,
            csselr: 0,
            mdscr: 0,
            pauth_keys: [0; 10],
        }
    }
}

/// The virtual timer (Arm ARM D12): the guest's CNTV_CTL_EL0 and CNTV_CVAL_EL0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct VirtualTimer {
    /// CNTV_CTL_EL0: ENABLE bit 0, IMASK bit 1, ISTATUS bit 2.
    pub ctl: u64,
    /// CNTV_CVAL_EL0.
    pub cval: u64,
    /// CNTVOFF_EL2.
    pub offset: u64,
}

impl VirtualTimer {
    /// Is the timer's output high at physical count `now`?
    pub fn is_asserted(&self, now: u64) -> bool {
        self.ctl & 0b11 == 0b01 && now.wrapping_sub(self.offset) >= self.cval
    }

    /// Physical count at which the output goes high; `None` if it is off or masked.
    pub fn deadline(&self) -> Option<u64> {
        (self.ctl & 0b11 == 0b01).then(|| self.cval.saturating_add(self.offset))
    }
}

/// V0–V31, FPCR and FPSR.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct FpRegs {
    /// V0–V31, low then high half each.
    pub v: [u64; 64],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

impl FpRegs {
    /// All zero, as after PSCI CPU_ON.
    pub const fn new() -> Self {
        Self {
            v: [0; 64],
            fpcr: 0,
            fpsr: 0,
        }
    }
}

impl Default for FpRegs {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything of a vCPU that the hardware holds while it runs.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct Context {
    /// General registers.
    pub frame: Frame,
    /// EL1 system registers.
    pub el1: El1Regs,
    /// Virtual timer.
    pub timer: VirtualTimer,
    /// What MPIDR_EL1 reads as (VMPIDR_EL2).
    pub vmpidr: u64,
    /// What MIDR_EL1 reads as (VPIDR_EL2).
    pub vpidr: u64,
    /// Interrupts; its `ich` is the GIC's list registers and virtual CPU interface.
    pub gic: Runner<SPI_WORDS>,
    /// FP/SIMD registers; loaded on first use in a run.
    pub fp: FpRegs,
}

/// What every guest sees of the real machine.
#[derive(Clone, Copy, Debug)]
pub struct GuestMachine {
    /// MIDR_EL1.
    pub midr: u64,
    /// ICH_VTR_EL2: list registers and priority bits of the cores' virtual interfaces.
    pub ich_vtr: u64,
    /// The feature-ID registers of the weakest core.
    pub id: IdRegisters,
}

/// SCTLR_EL1 after a warm reset: MMU and caches off, RES1 bits set (Arm ARM D19.2.137).
pub const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

impl Context {
    /// The state in which PSCI starts a core: EL1h, MMU off, `x0` given (DEN0022 6.4).
    pub fn new(entry: u64, x0: u64, vmpidr: u64, machine: &GuestMachine, counter: u64) -> Self {
        Self {
            frame: Frame::new(entry, x0),
            el1: El1Regs {
                sctlr: SCTLR_EL1_RESET,
                ..El1Regs::default()
            },
            timer: VirtualTimer {
                ctl: 0,
                cval: 0,
                offset: counter,
            },
            vmpidr,
            vpidr: machine.midr,
            gic: Runner::new(machine.ich_vtr),
            fp: FpRegs::new(),
        }
    }

    /// Back to that state, for PSCI CPU_ON of a core that was on before. What the distributor and
    /// redistributor hold of a core outlives its being off: which interrupts are pending or active.
    pub fn restart(&mut self, entry: u64, x0: u64) {
        let Self {
            frame,
            el1,
            timer,
            vmpidr: _,
            vpidr: _,
            gic,
            fp,
        } = self;
        *frame = Frame::new(entry, x0);
        *el1 = El1Regs {
            sctlr: SCTLR_EL1_RESET,
            ..El1Regs::default()
        };
        *timer = VirtualTimer {
            ctl: 0,
            cval: 0,
            offset: timer.offset,
        };
        gic.restart();
        *fp = FpRegs::new();
    }
}

/// What a guest stopped at, while its other registers are the core's still: for an answer that needs no more
/// than this.
#[derive(Debug)]
pub enum Stop<'a> {
    /// A synchronous exception.
    Sync {
        /// The general registers, which an answer may change.
        frame: &'a mut Frame,
        /// ESR_EL2.
        esr: u64,
    },
    /// A physical IRQ or FIQ is pending.
    Interrupt {
        /// The guest's timer, read back and off.
        timer: &'a VirtualTimer,
        /// Its interrupts, read back, which an answer may drain and fill.
        gic: &'a mut Runner<SPI_WORDS>,
    },
}

/// Why a guest stopped, with the syndrome registers that belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GuestExit {
    /// A synchronous exception: ESR_EL2, FAR_EL2, HPFAR_EL2.
    Sync {
        /// ESR_EL2.
        esr: u64,
        /// FAR_EL2.
        far: u64,
        /// HPFAR_EL2; valid for aborts only.
        hpfar: u64,
    },
    /// A physical IRQ or FIQ is pending.
    Interrupt,
    /// A physical SError, with ESR_EL2.
    SError {
        /// ESR_EL2.
        esr: u64,
    },
}
