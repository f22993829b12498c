//! The physical GICv3: distributor by the boot core, own redistributor and CPU interface by each
//! core.
//!
//! Invariants: the distributor is written under [`DISTRIBUTOR`]'s lock; a redistributor is touched
//! by its own core only. All interrupts are Group 1 with one priority. GIC architecture: IHI0069.

use crate::{
    Lock, cpu,
    machine::{Range, machine},
    timer,
};
use aarch64_cpu::asm::barrier;
use arm_gic::{
    IntId, InterruptGroup, UniqueMmioPointer,
    gicv3::{
        GicCpuInterface, GicDistributor, GicRedistributor, Group, SgiTarget, SgiTargetGroup,
        registers::{Gicd, GicrSgi},
    },
};
use core::ptr::NonNull;

/// Priority of every interrupt of ours.
const PRIORITY: u8 = 0x80;
/// GICR_TYPER in a redistributor's RD_base frame (IHI0069 12.11.35).
const GICR_TYPER: u64 = 0x8;
const TYPER_VLPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const FRAME: u64 = 0x2_0000;

static DISTRIBUTOR: Lock<()> = Lock::new(());

/// Runs `f` on the distributor.
fn with_distributor<T>(f: impl FnOnce(&mut GicDistributor<'_>) -> T) -> T {
    let _guard = DISTRIBUTOR.lock();
    let base = NonNull::new(machine().distributor.start as *mut Gicd).expect("checked at boot");
    // SAFETY: the distributor's registers are mapped as Device memory; the lock makes this the only
    // pointer to them.
    f(&mut GicDistributor::new(unsafe {
        UniqueMmioPointer::new(base)
    }))
}

/// Base of this core's redistributor: the frame whose TYPER has our affinity (bits 63:32).
fn find_redistributor() -> Option<u64> {
    let mpidr = cpu::mpidr();
    let affinity = (mpidr >> 8 & 0xff00_0000 | mpidr & 0x00ff_ffff) << 32;
    for &Range { start, size } in &machine().redistributors {
        let mut frame = start;
        while frame < start + size {
            // SAFETY: redistributor frames are mapped as Device memory; the read has no side
            // effect.
            let typer = unsafe { ((frame + GICR_TYPER) as *const u64).read_volatile() };
            if typer & 0xffff_ffff_0000_0000 == affinity {
                return Some(frame);
            }
            if typer & TYPER_LAST != 0 {
                break;
            }
            // GICv4 redistributors have two frames more (IHI0069 12.10).
            frame += if typer & TYPER_VLPIS == 0 {
                FRAME
            } else {
                2 * FRAME
            };
        }
    }
    None
}

/// Runs `f` on this core's redistributor.
fn with_redistributor<T>(f: impl FnOnce(&mut GicRedistributor<'_>) -> T) -> T {
    let cell = &cpu::this().redistributor;
    if cell.get() == 0 {
        cell.set(find_redistributor().expect("the GIC has a redistributor for every core"));
    }
    let base = NonNull::new(cell.get() as *mut GicrSgi).expect("just set");
    // SAFETY: mapped as Device memory; this core alone touches its redistributor, and `f` can't
    // reach this function with another pointer alive, as interrupt handlers don't configure the
    // GIC.
    f(&mut GicRedistributor::new(unsafe {
        UniqueMmioPointer::new(base)
    }))
}

/// Sets the distributor up: affinity routing, Group 1 on, all SPIs off. Once, on one core.
pub fn init_distributor() {
    with_distributor(|gicd| gicd.configure_default_settings());
}

/// Sets this core's redistributor and CPU interface up, with its timer's interrupt and all SGIs on.
pub fn init_core() {
    GicCpuInterface::enable_system_register_el1();
    with_redistributor(|gicr| {
        // Already awake is as good.
        let _ = gicr.mark_core_awake();
        gicr.configure_default_settings();
        for intid in (0..IntId::SGI_COUNT)
            .map(IntId::sgi)
            .chain([private(timer::INTID)])
        {
            gicr.set_interrupt_priority(intid, PRIORITY)
                .expect("private");
            gicr.set_group(intid, Group::Group1NS).expect("private");
            gicr.enable_interrupt(intid, true).expect("private");
        }
    });
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    barrier::isb(barrier::SY);
    cpu::this().has_gic.set(true);
}

fn private(intid: u32) -> IntId {
    IntId::ppi(intid - 16)
}

/// Turns an SGI of this core's on or off.
pub fn enable_sgi(sgi: u32, on: bool) {
    let sgi = IntId::sgi(sgi);
    with_redistributor(|gicr| gicr.enable_interrupt(sgi, on).expect("an SGI"));
}

/// Turns an SPI on or off and routes it to this core.
pub fn enable_spi(intid: u32) {
    let spi = IntId::spi(intid - 32);
    with_distributor(|gicd| {
        gicd.set_interrupt_priority(spi, PRIORITY).expect("an SPI");
        gicd.set_routing(spi, Some(cpu::mpidr())).expect("an SPI");
        gicd.enable_interrupt(spi, true).expect("an SPI");
    });
}

/// Sends `sgi` to the core with affinity `mpidr`.
pub fn send_sgi(sgi: u32, mpidr: u64) {
    // What was written before is seen by the core that takes the interrupt.
    barrier::dsb(barrier::ISHST);
    let target = SgiTarget::List {
        affinity3: (mpidr >> 32) as u8,
        affinity2: (mpidr >> 16) as u8,
        affinity1: (mpidr >> 8) as u8,
        target_list: 1 << (mpidr & 0xf),
    };
    GicCpuInterface::send_sgi(IntId::sgi(sgi), target, SgiTargetGroup::CurrentGroup1)
        .expect("an SGI");
    barrier::isb(barrier::SY);
}

/// Acknowledges the highest pending interrupt.
pub(crate) fn acknowledge() -> Option<u32> {
    let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1);
    intid.map(u32::from)
}

/// Ends an interrupt that [`acknowledge`] returned.
pub(crate) fn end(intid: u32) {
    let id = match intid {
        0..16 => IntId::sgi(intid),
        16..32 => private(intid),
        _ => IntId::spi(intid - 32),
    };
    GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
}
