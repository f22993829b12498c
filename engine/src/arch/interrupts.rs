//! Physical interrupts as the engine meets them: it never takes one, it looks, and kicks.
//!
//! Invariants: no interrupt of the host's is acknowledged or dropped here; only the doorbell is
//! consumed, and only by clearing its pending state.

use super::redistributor::Redistributor;
use super::regs::*;

/// ISR_EL1: FIQ pending, IRQ pending.
const FIQ: u64 = 1 << 6;
const IRQ: u64 = 1 << 7;
/// The CPU interface's special INTIDs begin here: nothing, or nothing of Group 1.
const SPECIAL: u64 = 1020;
/// How often to look again after dropping a doorbell or a line that is on its way down.
const LOOKS: usize = 16;
/// The engine's own lines, which are low while it runs: the maintenance interrupt, since ICH_HCR_EL2
/// is zero, and both timers, which are off.
const ENGINE_LINES: [u64; 3] = [25, 26, 27];

/// The generic timer's count. ISB first, so that it is not read ahead of time (Arm ARM D12.2.1).
pub fn counter() -> u64 {
    #[cfg(not(mutant = "counter-no-isb"))]
    isb();
    CNTPCT_EL0.get()
}

/// How much it counts in a second.
pub fn counter_hz() -> u64 {
    CNTFRQ_EL0.get()
}

/// Sends SGI `sgi` to the core with these affinity fields (IHI0069 12.2.20).
pub fn send_sgi(mpidr: u64, sgi: u8) {
    let affinity = |shift: u32| mpidr >> shift & 0xff;
    let aff0 = affinity(0);
    let value = affinity(32) << 48
        | (aff0 >> 4) << 44
        | affinity(16) << 32
        | u64::from(sgi & 0xf) << 24
        | affinity(8) << 16
        | 1 << (aff0 & 0xf);
    ICC_SGI1R_EL1.set(value);
    #[cfg(not(mutant = "sgi-no-isb"))]
    isb();
}

/// Is an interrupt other than `doorbell` waiting for the host? Drops doorbells. What the host masks
/// by priority counts too: it decides what to do with it.
pub fn host_interrupt_pending(redistributor: &Redistributor, doorbell: Option<u8>) -> bool {
    let pmr = ICC_PMR_EL1.get();
    ICC_PMR_EL1.set(0xff);
    #[cfg(not(mutant = "look-no-pmr-isb"))]
    isb();
    let pending = look(redistributor, doorbell);
    ICC_PMR_EL1.set(pmr);
    pending
}

/// Looks at what is pending, a bounded number of times.
fn look(redistributor: &Redistributor, doorbell: Option<u8>) -> bool {
    for _ in 0..LOOKS {
        let pending = ISR_EL1.get();
        if pending & FIQ != 0 {
            return true;
        }
        if pending & IRQ == 0 {
            return false;
        }
        let intid = ICC_HPPIR1_EL1.get();
        match doorbell {
            Some(sgi) if u64::from(sgi) == intid => redistributor.drop_pending(sgi.into()),
            _ if ENGINE_LINES.contains(&intid) || intid >= SPECIAL => {}
            _ => return true,
        }
        #[cfg(not(mutant = "look-no-isb"))]
        isb();
    }
    // Whatever it is, it stays: let the host look.
    true
}

/// Reads a register of `size` bytes at `pa`.
pub fn device_read(pa: u64, size: u8) -> u64 {
    let at = pa as usize;
    // SAFETY: the caller asks for registers of the GIC only, which are mapped at VA = PA as device
    // memory; a naturally aligned access of these sizes is theirs to answer.
    unsafe {
        match size {
            1 => u64::from((at as *const u8).read_volatile()),
            2 => u64::from((at as *const u16).read_volatile()),
            4 => u64::from((at as *const u32).read_volatile()),
            _ => (at as *const u64).read_volatile(),
        }
    }
}

/// Writes a register of `size` bytes at `pa`.
pub fn device_write(pa: u64, size: u8, value: u64) {
    let at = pa as usize;
    // SAFETY: as for `device_read`.
    unsafe {
        match size {
            1 => (at as *mut u8).write_volatile(value as u8),
            2 => (at as *mut u16).write_volatile(value as u16),
            4 => (at as *mut u32).write_volatile(value as u32),
            _ => (at as *mut u64).write_volatile(value),
        }
    }
}
