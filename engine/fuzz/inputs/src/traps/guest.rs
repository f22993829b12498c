//! What a guest's trap may come to, by its syndrome alone.

use abi::{ExitReason, smccc};
use engine::sim::{AfterTrap, AnyTrap};

use super::syndrome::{ICC_SGI0R, ICC_SGI1R, SYSREG, Said, class};
use super::value::{GICR, RAM, RAM_SIZE};

/// BTYPE and SS of PSTATE, which an instruction that is over has ended.
const ENDED: u64 = 0b11 << 10 | 1 << 21;
/// PSTATE.M of EL1h, and DAIF.
const EL1H_MASKED: u64 = 0b0101 | 0xf << 6;

/// How the host answered an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Not at all.
    None,
    /// With these in x0 to x3.
    Values([u64; 4]),
    /// With an abort.
    Abort,
}

/// The address of an abort, page and offset.
fn address(trap: &AnyTrap) -> u64 {
    (trap.hpfar >> 4 & ((1 << 40) - 1)) << 12 | trap.far & 0xfff
}

fn is_ram(address: u64) -> bool {
    (RAM..RAM + RAM_SIZE).contains(&address)
}

/// In the frames of some vCPU that the VM may have.
fn is_redistributor(address: u64, vcpus: u64) -> bool {
    (GICR..GICR + vcpus * 0x2_0000).contains(&address)
}

/// What the trap's register holds; the last is the zero register.
fn held(trap: &AnyTrap, said: Said) -> u64 {
    trap.x.get(said.register()).copied().unwrap_or(0)
}

/// Is it a call that is the host's to answer (docs/interface.md)?
fn is_for_host(function: u64) -> bool {
    let function = function & 0xffff_ffff;
    let number = function & 0xff_ffff;
    let owner = function >> 24 & 0x3f;
    let known = matches!(number, 0x80..=0xff | 0x200..=0xfeff);
    function & smccc::FAST != 0 && owner == 6 && known
}

/// The host is told `details` for `reason`: is that what the trap is about, and no more? `vcpus` the VM may have.
pub fn check_exit(trap: &AnyTrap, reason: ExitReason, details: [u64; 7], vcpus: u64) {
    let said = Said::of(trap.esr);
    let is_call = matches!(said.class, class::HVC | class::SMC);
    let is_abort = matches!(said.class, class::DATA | class::FETCH);
    let page = address(trap) & !0xfff;
    let expected = match reason {
        ExitReason::RamFault if is_call => [trap.x[1], 0, 0, 0, 0, 0, 0],
        ExitReason::RamFault => {
            assert!(is_abort && said.has_address() && is_ram(page));
            [page, 0, 0, 0, 0, 0, 0]
        }
        ExitReason::MmioRead | ExitReason::MmioWrite => {
            let address = address(trap);
            assert!(said.is_plain() && said.has_address(), "{said:?}");
            assert!(!is_ram(address) && !is_redistributor(address, vcpus));
            assert_eq!(reason == ExitReason::MmioWrite, said.is_write());
            let data = match reason {
                ExitReason::MmioWrite => held(trap, said) & said.mask(),
                _ => 0,
            };
            [address, said.bytes(), data, 0, 0, 0, 0]
        }
        ExitReason::Call => {
            assert!(is_call && said.iss & 0xffff == 0 && is_for_host(trap.x[0]));
            let mut all = [0; 7];
            all.copy_from_slice(&trap.x[..7]);
            all
        }
        ExitReason::Fault => {
            assert!(is_abort || said.class == class::ILLEGAL, "{said:?}");
            assert_eq!(details[1..], [0; 6]);
            return;
        }
        ExitReason::VcpuOn | ExitReason::PageRelinquished => {
            assert!(is_call);
            assert_eq!(details[3..], [0; 4]);
            return;
        }
        ExitReason::VcpuOff
        | ExitReason::SystemOff
        | ExitReason::SystemReset
        | ExitReason::PoolEmpty => {
            assert!(is_call);
            [0; 7]
        }
        ExitReason::Idle => {
            assert!(is_call || said.class == class::WFX, "{said:?}");
            return;
        }
        // It goes on, and has been seen to by then; or siblings have work.
        _ => return,
    };
    assert_eq!(details, expected, "what the host is told");
}

/// The guest goes on at `after`; its instruction is at `at`.
pub fn check_after(trap: &AnyTrap, at: u64, after: &AfterTrap, answer: Answer, vcpus: u64) {
    let said = Said::of(trap.esr);
    let mut x = trap.x;
    let took_exception = after.pc < 0x800;
    match said.class {
        class::HVC | class::SMC => {
            assert!(!took_exception, "an exception after a call");
            // Done, or to be tried again.
            let again = after.x == trap.x && after.pc == at;
            assert!(again || after.pc == at + 4, "goes on at {:#x}", after.pc);
            x[..4].copy_from_slice(&after.x[..4]);
            if let Answer::Values(values) = answer {
                x[..4].copy_from_slice(&values);
            }
        }
        class::WFX => assert_eq!(after.pc, at + 4),
        class::SYSREG if !took_exception => {
            assert_eq!(after.pc, at + 4);
            if !said.is_write()
                && let Some(value) = after.x.get(said.register())
            {
                x[said.register()] = *value;
            }
        }
        class::DATA | class::FETCH if after.pc == at => {
            assert_eq!(answer, Answer::None, "an answer that did nothing");
            assert_eq!(after.pstate, trap.pstate);
        }
        class::DATA if after.pc == at + 4 => {
            assert!(said.is_plain() && said.has_address(), "{said:?} was done");
            let address = address(trap);
            assert!(!is_ram(address));
            assert!(
                is_redistributor(address, vcpus)
                    || matches!(answer, Answer::Values(_))
                    || said.is_write()
            );
            if !said.is_write() && said.register() < 31 {
                let value = after.x[said.register()];
                assert_eq!(value, said.loaded(value), "more than was asked for");
                x[said.register()] = match answer {
                    Answer::Values([value, ..]) => said.loaded(value),
                    _ => value,
                };
            }
        }
        _ => assert!(took_exception, "{said:?}: goes on at {:#x}", after.pc),
    }
    assert_eq!(after.x, x, "registers after {said:x?}");
    if took_exception {
        check_exception(trap, at, after);
    } else if after.pc == at + 4 && said.class != class::HVC {
        assert_eq!(after.pstate, trap.pstate & !ENDED);
    }
}

/// An exception at EL1, as hardware takes one (Arm ARM D1.3.1.5, J1.1.1).
fn check_exception(trap: &AnyTrap, at: u64, after: &AfterTrap) {
    let said = Said::of(trap.esr);
    let is_lower = trap.pstate & 0x10 != 0 || trap.pstate & 0b1100 == 0;
    let from = match (
        trap.pstate & 0x10 != 0,
        trap.pstate & 0b1100,
        trap.pstate & 1,
    ) {
        (true, ..) => 0x600,
        (_, 0, _) => 0x400,
        (_, _, 0) => 0x000,
        _ => 0x200,
    };
    assert_eq!(after.pc, from, "the vector");
    assert_eq!(after.pstate & (0x1f | 0xf << 6), EL1H_MASKED);
    let [esr, elr, spsr, far] = after.exception;
    assert_eq!((elr, spsr), (at, trap.pstate));
    let class = esr >> 26;
    match said.class {
        class::DATA | class::FETCH => {
            let same = u64::from(!is_lower);
            assert_eq!(class, said.class + same, "the class of an abort");
            let status = esr & 0x3f;
            // Synchronous external abort, of the access or of a walk.
            assert!(status == 0b01_0000 || status & !0b11 == 0b01_0100);
            assert_eq!(far, trap.far);
        }
        _ => assert_eq!(class, 0, "an undefined instruction"),
    }
}

/// SGIs pending for a vCPU with this affinity, after a trap of the one with affinity 0: all in the first and none but
/// those in the second. One of Group 0 is for who has put it there, which its frames say.
pub fn sgis_after(trap: &AnyTrap, before: u32, affinity: u64) -> (u32, u32) {
    let said = Said::of(trap.esr);
    let register = said.iss & SYSREG;
    let is_one = register == ICC_SGI1R || register == ICC_SGI0R;
    if said.class != class::SYSREG || !is_one || !said.is_write() {
        return (before, before);
    }
    let value = held(trap, said);
    let field = |at: u32| value >> at & 0xff;
    let cluster = field(48) << 32 | field(32) << 16 | field(16) << 8 | (value >> 44 & 0xf) << 4;
    let is_listed = cluster == affinity & !0xf && value >> (affinity & 0xf) & 1 != 0;
    let is_meant = value >> 40 & 1 != 0 || is_listed;
    let after = before | u32::from(is_meant) << (value >> 24 & 0xf);
    let least = if register == ICC_SGI1R { after } else { before };
    (least, after)
}

/// Which private interrupts of the `index`th vCPU may be enabled after a trap: of `before`, all in the first and none
/// but those in the second.
pub fn enabled_after(trap: &AnyTrap, before: u32, index: u64) -> (u32, u32) {
    let said = Said::of(trap.esr);
    let offset = address(trap).wrapping_sub(GICR + index * 0x2_0000);
    let is_write = said.class == class::DATA
        && said.is_plain()
        && said.has_address()
        && said.is_write()
        && said.bytes() == 4;
    let bits = held(trap, said) as u32;
    match offset {
        0x1_0100 if is_write => (before, before | bits),
        0x1_0180 if is_write => (before & !bits, before & !bits),
        _ => (before, before),
    }
}
