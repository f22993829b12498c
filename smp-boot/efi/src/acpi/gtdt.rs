//! The Generic Timer Description Table (5.2.25): the interrupts of each core's timers.

use super::u32_at;

/// Flags of an interrupt: it is by edge, not by level.
const EDGE: u32 = 1 << 0;
/// It is active when low.
const LOW: u32 = 1 << 1;
/// The timer runs on when its core sleeps.
const ALWAYS_ON: u32 = 1 << 2;

/// One timer's interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInterrupt {
    /// Its INTID, a PPI: 16 to 31.
    pub intid: u32,
    /// By edge, not by level.
    pub is_edge: bool,
    /// Active when low.
    pub is_low: bool,
}

/// The timers' interrupts, those that the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// EL1 physical timer, secure.
    pub secure: Option<TimerInterrupt>,
    /// EL1 physical timer.
    pub physical: Option<TimerInterrupt>,
    /// EL1 virtual timer.
    pub virtual_: Option<TimerInterrupt>,
    /// EL2 physical timer.
    pub hypervisor: Option<TimerInterrupt>,
    /// They run on when their core sleeps.
    pub is_always_on: bool,
}

/// Reads the table.
pub fn read(table: &[u8]) -> Timers {
    let timer = |at: usize| {
        let (intid, flags) = (u32_at(table, at)?, u32_at(table, at + 4)?);
        (16..32).contains(&intid).then_some(TimerInterrupt {
            intid,
            is_edge: flags & EDGE != 0,
            is_low: flags & LOW != 0,
        })
    };
    Timers {
        secure: timer(48),
        physical: timer(56),
        virtual_: timer(64),
        hypervisor: timer(72),
        is_always_on: u32_at(table, 60).is_some_and(|flags| flags & ALWAYS_ON != 0),
    }
}
