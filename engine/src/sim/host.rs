//! The host as its engine sees it beside calls: SMCs, loads and stores with the faults they take.
//!
//! Invariant: an access ends, or the host has taken the architectural exception with its own address.

use super::access::{Fault, Want};
use super::check;
use super::hardware::HostException;
use super::machine::Machine;
use super::syndrome::{Shape, abort_registers, esr};
use crate::host::Next;
use crate::vcpu::context::{Frame, HostFrame};

/// The host's VBAR_EL1.
pub const HOST_VECTORS: u64 = 0x7000_0000;
/// Where the host's instructions are.
const HOST_PC: u64 = 0x5000_0000;
/// Faults that one access of the host may meet before it counts as hanging.
const HOST_TRIES: usize = 8;

/// The host's access failed: ESR_EL1 of the exception that it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostAbort {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
}

impl Machine {
    /// An SMC of the host: x0–x3 after it, and what the core does next.
    pub fn host_smc(&self, cpu: usize, x: [u64; 4]) -> ([u64; 4], Next) {
        let mut frame = HostFrame(Frame::new(HOST_PC, 0));
        frame.0.x[..4].copy_from_slice(&x);
        let next = self.on_core(cpu, |token| {
            self.engine()
                .host_trap(token, &mut frame, 0x17 << 26 | 1 << 25, 0, 0)
        });
        let x = frame.0.x;
        ([x[0], x[1], x[2], x[3]], next)
    }

    /// Any synchronous exception of the host's: the host with these registers, what the core does next, and what the
    /// host took at EL1.
    pub fn host_trap(
        &self,
        cpu: usize,
        frame: Frame,
        [esr, far, hpfar]: [u64; 3],
    ) -> (Frame, Next, Option<HostException>) {
        let mut host = HostFrame(frame);
        let next = self.on_core(cpu, |token| {
            self.engine().host_trap(token, &mut host, esr, far, hpfar)
        });
        let taken = self.sim().inner().cores[cpu].exception.take();
        (host.0, next, taken)
    }

    /// An access of the host, its stage-2 faults taken to the engine as hardware does.
    ///
    /// # Panics
    /// If it hangs, or an invariant is broken.
    #[track_caller]
    pub fn host_access(&self, cpu: usize, address: u64, want: Want) -> Result<u64, HostAbort> {
        let value = self.host_access_unchecked(cpu, address, want);
        check::assert_all(self, &|| {
            std::format!("host {want:?} at {address:#x} on core {cpu}")
        });
        value
    }

    /// The same without the checks.
    ///
    /// # Panics
    /// If it hangs.
    #[track_caller]
    pub fn host_access_unchecked(
        &self,
        cpu: usize,
        address: u64,
        want: Want,
    ) -> Result<u64, HostAbort> {
        for _ in 0..HOST_TRIES {
            let fault = match self.sim().access(cpu, address, want) {
                Ok(value) => return Ok(value),
                // Not routed to EL2: the host's EL1 takes it itself.
                Err(Fault::External) => {
                    return Err(HostAbort {
                        esr: esr(0x25, 0b01_0000),
                        far: address,
                    });
                }
                Err(fault) => fault,
            };
            let mut frame = HostFrame(Frame::new(HOST_PC, 0));
            let (esr, far, hpfar) = abort_registers(address, want, Some(Shape::WORD), fault);
            let next = self.on_core(cpu, |token| {
                self.engine().host_trap(token, &mut frame, esr, far, hpfar)
            });
            assert_eq!(next, Next::Resume);
            if let Some(taken) = self.sim().inner().cores[cpu].exception.take() {
                assert_eq!(frame.0.pc & !0x7ff, HOST_VECTORS);
                assert_eq!((taken.elr, taken.far), (HOST_PC, address));
                return Err(HostAbort {
                    esr: taken.esr,
                    far: taken.far,
                });
            }
            assert!(matches!(frame.0.pc, HOST_PC) || frame.0.pc == HOST_PC + 4);
            if frame.0.pc != HOST_PC {
                return Ok(frame.0.x[9]);
            }
        }
        panic!("the host's {want:?} at {address:#x} hangs");
    }

    /// An access of the host's ends in a TLB conflict abort.
    ///
    /// # Panics
    /// If it is not simply tried again.
    pub fn host_conflict(&self, cpu: usize, address: u64) {
        let mut frame = HostFrame(Frame::new(HOST_PC, 0));
        // A data abort from EL1, TLB conflict (Arm ARM D19.2.37, DFSC).
        let esr = 0x24 << 26 | 1 << 25 | 0b11_0000;
        let next = self.on_core(cpu, |token| {
            let hpfar = address >> 12 << 4;
            self.engine()
                .host_trap(token, &mut frame, esr, address, hpfar)
        });
        assert_eq!((next, frame.0.pc), (Next::Resume, HOST_PC));
        let taken = self.sim().inner().cores[cpu].exception.take();
        assert!(taken.is_none(), "the host was told: {taken:?}");
    }

    /// A load of the host.
    #[track_caller]
    pub fn host_load(&self, cpu: usize, address: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::Load)
    }

    /// A store of the host: the value, which says that it is the host's.
    #[track_caller]
    pub fn host_store(&self, cpu: usize, address: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::Store)
    }

    /// A store of a value as it is: lists of VM_MAP_LIST.
    #[track_caller]
    pub fn host_store_raw(&self, cpu: usize, address: u64, value: u64) -> Result<u64, HostAbort> {
        self.host_access(cpu, address, Want::StoreRaw(value))
    }
}
