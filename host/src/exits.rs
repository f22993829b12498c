//! What the host does about each exit of `CPU_RUN`.
//!
//! Invariants: every MMIO read and every call is answered before the core runs on; an access to no
//! device is an abort in the guest, never a value. A guest that ended gets no answers.

use crate::{
    fate, fdt,
    gicd::{self, Injection},
    host::Host,
    memory::{self, insist},
    vm::Guest,
};
use abi::{ExitReason, Outcome, Status, VcpuHandle};
use core::sync::atomic::Ordering;
use el1::{call, call::Exit, irq, println};

/// What the core does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run on.
    Run,
    /// Sleep until an interrupt or the counter reaches this.
    Sleep(u64),
}

/// Handles an exit.
pub fn handle(host: &Host, exit: &Exit) -> Next {
    match exit.reason {
        Some(ExitReason::HostInterrupt) => {
            irq::open_window();
            return Next::Run;
        }
        Some(ExitReason::Budget | ExitReason::ListFull) => return Next::Run,
        Some(ExitReason::Idle) => return Next::Sleep(exit.details[0]),
        _ => {}
    }
    match host.find_vcpu(exit.vcpu) {
        Some((guest, _)) => handle_guest(host, guest, exit),
        None => println!("host: exit {:?} of no vCPU of ours", exit.reason),
    }
    Next::Run
}

fn handle_guest(host: &Host, guest: &Guest, exit: &Exit) {
    let [d0, d1, d2, ..] = exit.details;
    match exit.reason {
        Some(ExitReason::RamFault) => fault_in(host, guest, d0),
        Some(ExitReason::MmioRead) => {
            let (x0, outcome) = match read_device(guest, d0, d1) {
                Some(value) => (value, Outcome::Complete),
                None => (0, Outcome::Abort),
            };
            respond(guest, exit.vcpu, x0, outcome);
        }
        Some(ExitReason::MmioWrite) => {
            if !write_device(guest, d0, d1, d2) {
                respond(guest, exit.vcpu, 0, Outcome::Abort);
            }
        }
        // No call is the host's to answer: SMCCC's "not supported".
        Some(ExitReason::Call) => respond(guest, exit.vcpu, u64::MAX, Outcome::Complete),
        Some(ExitReason::VcpuOn) => host.enqueue(VcpuHandle::from_raw(d0)),
        Some(ExitReason::VcpuReady) => {
            let ready = exit.details.into_iter().take_while(|raw| *raw != 0);
            ready.for_each(|raw| host.enqueue(VcpuHandle::from_raw(raw)));
        }
        Some(ExitReason::LevelEnded) => {
            let intid = d0 as u32;
            guest
                .gicd
                .lock()
                .resample(intid, |injection: Injection| guest.inject(injection));
        }
        Some(ExitReason::PageRelinquished) => {
            guest.ram.lock().forget(d0);
            if d2 == 1 {
                println!("host: guest {}: memory error in {d1:#x}", guest.id);
            }
        }
        Some(ExitReason::SystemOff) => host.end_guest(guest, "off"),
        Some(ExitReason::SystemReset) => {
            let reason = fate::name_reset(&guest.report.lock());
            host.end_guest(guest, reason);
        }
        Some(ExitReason::Fault) => host.end_guest(guest, "fault"),
        Some(ExitReason::PoolEmpty) => {
            if memory::feed_engine().is_err() {
                host.end_guest(guest, "lack of engine memory");
            }
        }
        Some(ExitReason::VcpuOff) => {}
        Some(
            ExitReason::HostInterrupt
            | ExitReason::Budget
            | ExitReason::ListFull
            | ExitReason::Idle,
        )
        | None => host.end_guest(guest, "an exit that the host does not know"),
    }
}

fn fault_in(host: &Host, guest: &Guest, ipa: u64) {
    let result = guest.ram.lock().fault_in(ipa);
    match result {
        // The vCPU is still queued: a page in transition faults again.
        Err(Status::Busy) => {}
        // Release: pairs with the Acquire in `run::is_attackable`.
        Ok(()) => guest.has_faulted.store(true, Ordering::Release),
        Err(_) if guest.has_ended() => {}
        Err(status) => {
            println!(
                "host: guest {}: no page for {ipa:#x}: {}",
                guest.id,
                status.name()
            );
            host.end_guest(guest, "lack of memory");
        }
    }
}

fn respond(guest: &Guest, vcpu: VcpuHandle, x0: u64, outcome: Outcome) {
    if let Err(status) = insist(|| call::vcpu_respond(vcpu, [x0, 0, 0, 0], outcome))
        && !guest.has_ended()
    {
        println!("host: guest {}: VCPU_RESPOND: {}", guest.id, status.name());
    }
}

/// Offset of `ipa` in the device at `base`.
fn offset_in(ipa: u64, base: u64, size: u64) -> Option<u64> {
    ipa.checked_sub(base).filter(|offset| *offset < size)
}

fn read_device(guest: &Guest, ipa: u64, size: u64) -> Option<u64> {
    if let Some(offset) = offset_in(ipa, fdt::GICD, gicd::SIZE) {
        return Some(guest.gicd.lock().read(offset, size));
    }
    if let Some(offset) = offset_in(ipa, fdt::UART, fdt::UART_SIZE) {
        return Some(u64::from(guest.read_uart(offset & !3)));
    }
    guest.count_abort();
    None
}

/// False if there is no device there.
fn write_device(guest: &Guest, ipa: u64, size: u64, data: u64) -> bool {
    if let Some(offset) = offset_in(ipa, fdt::GICD, gicd::SIZE) {
        let mut gicd = guest.gicd.lock();
        gicd.write(offset, size, data, |injection| guest.inject(injection));
        return true;
    }
    if let Some(offset) = offset_in(ipa, fdt::UART, fdt::UART_SIZE) {
        if let Some(byte) = guest.with_uart(|uart| uart.write(offset & !3, data as u32)) {
            guest.take_output(byte);
        }
        return true;
    }
    guest.count_abort();
    false
}
