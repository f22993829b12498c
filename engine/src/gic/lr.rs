//! The virtual CPU interface's registers as values: list registers (`ICH_LR<n>_EL2`, IHI0069) and
//! the struct that the platform loads before and stores after a guest's run.
//!
//! Invariant: only list registers below `lr_count` are ever other than zero, and the platform
//! loads all of these, so that no vCPU meets another's.

/// Most list registers that a CPU interface has.
pub const MAX_LIST_REGISTERS: usize = 16;
/// Most active-priority registers of each group.
pub const MAX_ACTIVE_PRIORITIES: usize = 4;
/// The priority bits that virtual interrupts have: the five that every GICv3 has, so that
/// comparing priorities here and in any hardware gives the same order.
pub const PRIORITY_MASK: u8 = 0xF8;

/// Interrupt group: which signal, and which enable bit of `ICH_VMCR_EL2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Signalled as FIQ.
    Zero,
    /// Signalled as IRQ.
    One,
}

/// What makes an interrupt pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An event, remembered until it is taken.
    Edge,
    /// A line, for as long as it is high: its end must be seen, to look at the line again.
    Level,
}

/// State of an interrupt in a list register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None there.
    Invalid,
    /// Pending.
    Pending,
    /// Active.
    Active,
    /// Active, and pending again.
    PendingActive,
}

impl State {
    /// Whether it is pending.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Pending | Self::PendingActive)
    }

    /// Whether it is active.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::PendingActive)
    }
}

/// One list register: state in bits 63:62, HW in 61 (never set here: no virtual interrupt is tied
/// to a physical one), group in 60, priority in 55:48, "tell of its end" in 41, vINTID in 31:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRegister(u64);

const STATE_SHIFT: u32 = 62;
const GROUP_ONE: u64 = 1 << 60;
const PRIORITY_SHIFT: u32 = 48;
const TELL_OF_END: u64 = 1 << 41;

impl ListRegister {
    /// An interrupt to be presented to the guest.
    pub const fn new(
        intid: u16,
        priority: u8,
        group: Group,
        trigger: Trigger,
        state: State,
    ) -> Self {
        let state = match state {
            State::Invalid => 0,
            State::Pending => 1,
            State::Active => 2,
            State::PendingActive => 3,
        };
        let group = match group {
            Group::Zero => 0,
            Group::One => GROUP_ONE,
        };
        let end = match trigger {
            Trigger::Edge => 0,
            Trigger::Level => TELL_OF_END,
        };
        Self(
            state << STATE_SHIFT | group | (priority as u64) << PRIORITY_SHIFT | end | intid as u64,
        )
    }

    /// What the hardware's register held.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// What the hardware's register is to hold.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The interrupt's number.
    pub const fn intid(self) -> u64 {
        self.0 & 0xFFFF_FFFF
    }

    /// Its state.
    pub const fn state(self) -> State {
        match self.0 >> STATE_SHIFT {
            0 => State::Invalid,
            1 => State::Pending,
            2 => State::Active,
            _ => State::PendingActive,
        }
    }

    /// Its trigger.
    pub const fn trigger(self) -> Trigger {
        if self.0 & TELL_OF_END == 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        }
    }

    /// Its priority.
    pub const fn priority(self) -> u8 {
        (self.0 >> PRIORITY_SHIFT) as u8
    }

    /// Its group.
    pub const fn group(self) -> Group {
        if self.0 & GROUP_ONE == 0 {
            Group::Zero
        } else {
            Group::One
        }
    }
}

/// `ICH_HCR_EL2` bits in use.
pub mod hcr {
    /// The virtual CPU interface is on.
    pub const EN: u64 = 1 << 0;
    /// Maintenance interrupt when an interrupt was ended that no list register holds.
    pub const LRENPIE: u64 = 1 << 2;
    /// Maintenance interrupt when no list register is pending.
    pub const NPIE: u64 = 1 << 3;
    /// Traps ICC_DIR_EL1.
    pub const TDIR: u64 = 1 << 14;
    /// Where the count of ends without list register begins.
    pub const EOI_COUNT_SHIFT: u32 = 27;
    /// Its largest value.
    pub const EOI_COUNT_MAX: u64 = 0x1F;
}

/// `ICH_VMCR_EL2` bits in use.
mod vmcr {
    pub const VENG0: u64 = 1 << 0;
    pub const VENG1: u64 = 1 << 1;
    pub const VCBPR: u64 = 1 << 4;
    pub const VEOIM: u64 = 1 << 9;
    pub const VBPR1_SHIFT: u32 = 18;
    pub const VBPR0_SHIFT: u32 = 21;
    pub const VPMR_SHIFT: u32 = 24;
}

/// The registers of a vCPU's virtual CPU interface. The platform writes all of them before a run
/// of the guest, `lr` up to `lr_count` and the active priorities up to
/// [`Ich::active_priority_registers`], and reads `lr`, `hcr`, `vmcr` and the active priorities
/// back after it. While no guest runs, it keeps `ICH_HCR_EL2` zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ich {
    /// List registers.
    pub lr: [u64; MAX_LIST_REGISTERS],
    /// How many of them the hardware has.
    pub lr_count: u8,
    /// How many of them, from the first on, were filled for this run.
    pub lr_used: u8,
    /// How many preemption bits its priorities have.
    pub preemption_bits: u8,
    /// `ICH_HCR_EL2`.
    pub hcr: u64,
    /// `ICH_VMCR_EL2`: the guest's view of its CPU interface's controls.
    pub vmcr: u64,
    /// `ICH_AP0R<n>_EL2`.
    pub ap0r: [u64; MAX_ACTIVE_PRIORITIES],
    /// `ICH_AP1R<n>_EL2`.
    pub ap1r: [u64; MAX_ACTIVE_PRIORITIES],
}

impl Ich {
    /// The state after reset, on hardware that describes itself with this `ICH_VTR_EL2`.
    pub const fn new(vtr: u64) -> Self {
        Self {
            lr: [0; MAX_LIST_REGISTERS],
            lr_count: (vtr & 0xF) as u8 + 1,
            lr_used: 0,
            preemption_bits: (vtr >> 26 & 7) as u8 + 1,
            hcr: 0,
            vmcr: 0,
            ap0r: [0; MAX_ACTIVE_PRIORITIES],
            ap1r: [0; MAX_ACTIVE_PRIORITIES],
        }
    }

    /// Back to the state after reset.
    pub fn reset(&mut self) {
        let (lr_count, preemption_bits) = (self.lr_count, self.preemption_bits);
        *self = Self {
            lr_count,
            preemption_bits,
            ..Self::new(0)
        };
    }

    /// How many active-priority registers of each group the hardware has: 32 levels in each.
    pub const fn active_priority_registers(&self) -> usize {
        match self.preemption_bits {
            7.. => 4,
            6 => 2,
            _ => 1,
        }
    }

    /// Whether the guest lets interrupts of this group through.
    pub const fn is_enabled(&self, group: Group) -> bool {
        let bit = match group {
            Group::Zero => vmcr::VENG0,
            Group::One => vmcr::VENG1,
        };
        self.vmcr & bit != 0
    }

    /// Whether ending an interrupt only drops the priority, and ICC_DIR_EL1 deactivates it.
    pub const fn splits_end(&self) -> bool {
        self.vmcr & vmcr::VEOIM != 0
    }

    /// Whether the hardware would signal a pending interrupt (IHI0069, "Preemption"): its group is
    /// enabled, its priority above the mask, and its group priority above the running priority.
    /// Where a change of the binary point since the running interrupt began leaves room for two
    /// readings, the answer is yes: a vCPU that runs in vain is better than one that sleeps.
    pub fn would_signal(&self, priority: u8, group: Group) -> bool {
        let mask = (self.vmcr >> vmcr::VPMR_SHIFT) as u8;
        self.is_enabled(group)
            && priority < mask
            && u32::from(self.group_priority(priority, group)) < self.running_priority()
    }

    /// The part of a priority that decides about preemption.
    fn group_priority(&self, priority: u8, group: Group) -> u8 {
        let point0 = (self.vmcr >> vmcr::VBPR0_SHIFT & 7) as u32 + 1;
        let point1 = (self.vmcr >> vmcr::VBPR1_SHIFT & 7) as u32;
        let subpriority_bits = match group {
            Group::Zero => point0,
            Group::One if self.vmcr & vmcr::VCBPR != 0 => point0.min(7),
            Group::One => point1,
        };
        priority & 0xFFu8.checked_shl(subpriority_bits).unwrap_or(0)
    }

    /// The most urgent active group priority; 256, which everything precedes, if there is none.
    fn running_priority(&self) -> u32 {
        let shift = 8u32.saturating_sub(u32::from(self.preemption_bits));
        let mut levels_before = 0;
        for (zero, one) in self.ap0r.iter().zip(&self.ap1r) {
            let levels = (zero | one) as u32;
            if levels != 0 {
                return (levels_before + levels.trailing_zeros()) << shift;
            }
            levels_before += u32::BITS;
        }
        256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QEMU's: four list registers, five priority and preemption bits.
    const VTR: u64 = 4 << 29 | 4 << 26 | 3;

    #[test]
    fn fields_have_the_places_of_the_manual() {
        let lr = ListRegister::new(27, 0xA0, Group::One, Trigger::Level, State::Pending);
        assert_eq!(lr.raw(), 0x50A0_0200_0000_001B);
        let lr = ListRegister::new(33, 0x08, Group::Zero, Trigger::Edge, State::PendingActive);
        assert_eq!(lr.raw(), 0xC008_0000_0000_0021);
    }

    #[test]
    fn a_list_register_gives_back_what_went_in() {
        let states = [
            State::Invalid,
            State::Pending,
            State::Active,
            State::PendingActive,
        ];
        for state in states {
            for trigger in [Trigger::Edge, Trigger::Level] {
                for group in [Group::Zero, Group::One] {
                    let lr = ListRegister::new(1019, 0xF8, group, trigger, state);
                    let lr = ListRegister::from_raw(lr.raw());
                    assert_eq!((lr.intid(), lr.priority()), (1019, 0xF8));
                    assert_eq!(
                        (lr.state(), lr.trigger(), lr.group()),
                        (state, trigger, group)
                    );
                }
            }
        }
    }

    #[test]
    fn the_hardware_s_description_is_understood() {
        let ich = Ich::new(VTR);
        assert_eq!((ich.lr_count, ich.preemption_bits), (4, 5));
        assert_eq!(ich.active_priority_registers(), 1);
        assert_eq!(Ich::new(6 << 26 | 15).active_priority_registers(), 4);
        assert_eq!(Ich::new(5 << 26).active_priority_registers(), 2);
        assert_eq!(Ich::new(u64::MAX).lr_count as usize, MAX_LIST_REGISTERS);
    }

    #[test]
    fn reset_keeps_only_the_description() {
        let mut ich = Ich::new(VTR);
        ich.lr = [7; 16];
        (ich.hcr, ich.vmcr) = (1, u64::MAX);
        (ich.ap0r, ich.ap1r) = ([9; 4], [9; 4]);
        ich.reset();
        assert_eq!(ich, Ich::new(VTR));
    }

    #[test]
    fn mask_and_group_hold_an_interrupt_back() {
        let mut ich = Ich::new(VTR);
        assert!(
            !ich.would_signal(0, Group::One),
            "mask 0 and group off after reset"
        );
        ich.vmcr = 0xF0 << 24 | vmcr::VENG1;
        assert!(ich.would_signal(0xA0, Group::One));
        assert!(!ich.would_signal(0xA0, Group::Zero), "group 0 is off");
        assert!(
            !ich.would_signal(0xF0, Group::One),
            "the mask itself is not above the mask"
        );
    }

    #[test]
    fn only_a_higher_group_priority_preempts() {
        let mut ich = Ich::new(VTR);
        ich.vmcr = 0xF8 << 24 | vmcr::VENG1 | vmcr::VENG0 | 3 << vmcr::VBPR1_SHIFT;
        ich.ap1r[0] = 1 << (0xA0 >> 3);
        assert!(ich.would_signal(0x98, Group::One));
        assert!(!ich.would_signal(0xA0, Group::One));
        ich.vmcr |= 7 << vmcr::VBPR1_SHIFT;
        ich.ap1r[0] = 1 << (0x80 >> 3);
        assert!(
            ich.would_signal(0x78, Group::One),
            "one bit decides: 0 against 1"
        );
        assert!(
            !ich.would_signal(0x98, Group::One),
            "the same group priority: 1 against 1"
        );
        ich.ap0r[0] = 1;
        assert!(!ich.would_signal(0, Group::Zero), "priority 0 runs");
    }

    #[test]
    fn seven_bits_spread_over_four_registers() {
        let mut ich = Ich::new(6 << 26);
        ich.vmcr = 0xFF << 24 | vmcr::VENG1;
        ich.ap1r[2] = 1 << 16; // level 80: priority 160
        assert!(ich.would_signal(0x98, Group::One));
        assert!(!ich.would_signal(0xA0, Group::One));
    }

    #[test]
    fn a_common_binary_point_is_group_0_s() {
        let mut ich = Ich::new(VTR);
        ich.vmcr = 0xFF << 24 | vmcr::VENG1 | vmcr::VCBPR | 7 << vmcr::VBPR0_SHIFT;
        ich.ap1r[0] = 1 << (0x90 >> 3);
        assert!(ich.would_signal(0x78, Group::One));
        ich.ap1r[0] = 1 << (0x78 >> 3);
        assert!(
            ich.would_signal(0x70, Group::One),
            "0 against 0x78: the generous reading"
        );
        ich.ap1r[0] = 1;
        assert!(!ich.would_signal(0x70, Group::One));
    }
}
