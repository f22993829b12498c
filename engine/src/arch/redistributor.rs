//! A core's GICv3 redistributor, as far as the engine itself uses it (IHI0069 12.11).
//!
//! Invariants: the RD_base frame is the engine's (the host's accesses trap); the SGI_base frame is
//! the host's, which may write it at any time from any core, so nothing here relies on what it
//! wrote before: at worst a host that undoes it loses its own wake-ups.

use super::regs::dsb_sy;

/// SGI_base frame.
const SGI_FRAME: u64 = 0x1_0000;
const GICR_IGROUPR0: u64 = SGI_FRAME + 0x0080;
const GICR_ISENABLER0: u64 = SGI_FRAME + 0x0100;
const GICR_ICENABLER0: u64 = SGI_FRAME + 0x0180;
const GICR_ISPENDR0: u64 = SGI_FRAME + 0x0200;
const GICR_ICPENDR0: u64 = SGI_FRAME + 0x0280;
const GICR_ISACTIVER0: u64 = SGI_FRAME + 0x0300;
const GICR_ICACTIVER0: u64 = SGI_FRAME + 0x0380;
const GICR_IPRIORITYR: u64 = SGI_FRAME + 0x0400;
const GICR_WAKER: u64 = 0x0014;

/// GICR_WAKER.ProcessorSleep and ChildrenAsleep.
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;

/// How often [`Redistributor::wake`] looks before it gives up: far beyond any hardware's time.
const WAKE_PATIENCE: u32 = 1_000_000;

/// One core's redistributor.
#[derive(Clone, Copy, Debug)]
pub struct Redistributor {
    /// RD_base, mapped at VA = PA as device memory.
    base: u64,
}

/// How a private interrupt was set up before the engine took it over.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    was_enabled: bool,
    priority: u8,
}

impl Redistributor {
    /// The redistributor whose RD_base frame is mapped at `base`.
    pub const fn new(base: u64) -> Self {
        Self { base }
    }

    /// Reads a 32-bit register.
    fn get(&self, offset: u64) -> u32 {
        // SAFETY: `base` is a redistributor's, mapped as devices are; the offsets above are inside
        // its two frames and aligned.
        unsafe { (self.base.wrapping_add(offset) as usize as *const u32).read_volatile() }
    }

    /// Writes a 32-bit register.
    fn set(&self, offset: u64, value: u32) {
        // SAFETY: as for `get`.
        unsafe { (self.base.wrapping_add(offset) as usize as *mut u32).write_volatile(value) };
    }

    /// Tells the redistributor that its core takes interrupts, and waits a bounded time for it.
    pub fn wake(&self) {
        let waker = self.get(GICR_WAKER);
        if waker & PROCESSOR_SLEEP == 0 {
            return;
        }
        self.set(GICR_WAKER, waker & !PROCESSOR_SLEEP);
        for _ in 0..WAKE_PATIENCE {
            if self.get(GICR_WAKER) & CHILDREN_ASLEEP == 0 {
                return;
            }
        }
    }

    /// Makes these private interrupts enabled ones of Group 1. One look where they are already, as after the first time.
    pub fn enable_private<const N: usize>(&self, intids: [u32; N]) {
        let bits = intids.map(|intid| 1 << (intid & 31));
        let all = bits.iter().fold(0, |all, bit| all | bit);
        let enabled = self.get(GICR_ISENABLER0);
        if enabled & all == all {
            return;
        }
        for (intid, bit) in intids.into_iter().zip(bits) {
            if enabled & bit == 0 {
                let _ = self.take_over_private(intid);
            }
        }
    }

    /// Makes the private interrupt `intid` an enabled Group 1 interrupt of the highest priority.
    /// Returns what it was, once the GIC has seen the change.
    pub fn take_over_private(&self, intid: u32) -> Before {
        let bit = 1 << (intid & 31);
        let before = Before {
            was_enabled: self.get(GICR_ISENABLER0) & bit != 0,
            priority: self.priority(intid),
        };
        self.set(GICR_IGROUPR0, self.get(GICR_IGROUPR0) | bit);
        self.set_priority(intid, 0);
        self.set(GICR_ISENABLER0, bit);
        self.complete();
        before
    }

    /// Undoes [`Redistributor::take_over_private`], but for the group, which is the same for all
    /// of a Non-secure host's interrupts.
    pub fn give_back_private(&self, intid: u32, before: Before) {
        if !before.was_enabled {
            self.set(GICR_ICENABLER0, 1 << (intid & 31));
        }
        self.set_priority(intid, before.priority);
        self.complete();
    }

    /// Makes the private interrupt `intid` active: pending or not, it is not signalled. Returns once
    /// the GIC has seen the write.
    pub fn activate(&self, intid: u32) {
        self.set(GICR_ISACTIVER0, 1 << (intid & 31));
        self.complete();
    }

    /// Undoes [`Redistributor::activate`].
    pub fn deactivate(&self, intid: u32) {
        self.set(GICR_ICACTIVER0, 1 << (intid & 31));
    }

    /// Is the private interrupt `intid` pending?
    pub fn is_pending(&self, intid: u32) -> bool {
        self.get(GICR_ISPENDR0) & 1 << (intid & 31) != 0
    }

    /// Drops a pending SGI without acknowledging it: an acknowledge would take whatever is the
    /// most urgent by then, and so perhaps an interrupt of the host's. Returns once the GIC has
    /// seen the write.
    pub fn drop_pending(&self, intid: u32) {
        self.set(GICR_ICPENDR0, 1 << (intid & 31));
        self.complete();
    }

    /// Returns once the GIC has seen all writes: a read of the same frame comes back after them.
    fn complete(&self) {
        let _ = self.get(GICR_ISPENDR0);
        #[cfg(not(mutant = "gic-no-dsb"))]
        dsb_sy();
    }

    /// The priority of a private interrupt.
    fn priority(&self, intid: u32) -> u8 {
        let offset = GICR_IPRIORITYR + u64::from(intid & 31);
        // SAFETY: as for `get`; priority registers may be accessed by bytes (IHI0069 12.11.20).
        unsafe { (self.base.wrapping_add(offset) as usize as *const u8).read_volatile() }
    }

    /// Sets the priority of a private interrupt; 0 is the most urgent.
    fn set_priority(&self, intid: u32, priority: u8) {
        let offset = GICR_IPRIORITYR + u64::from(intid & 31);
        // SAFETY: as for `priority`.
        unsafe { (self.base.wrapping_add(offset) as usize as *mut u8).write_volatile(priority) };
    }
}
