//! What a trap of the host may come to, by its syndrome alone.

use engine::host::Next;
use engine::sim::HostException;
use engine::vcpu::context::Frame;

use super::syndrome::{Said, class};

/// The host's VBAR_EL1 on the simulated machine.
const VECTORS: u64 = 0x7000_0000;
const ENDED: u64 = 0b11 << 10 | 1 << 21;

/// The host goes on with `after`, having taken an exception or not.
pub fn check(
    before: &Frame,
    [esr, far, _]: [u64; 3],
    after: &Frame,
    next: Next,
    taken: Option<HostException>,
) {
    let said = Said::of(esr);
    let mut x = before.x;
    if let Some(taken) = taken {
        let allowed = ![class::HVC, class::SMC, class::WFX].contains(&said.class);
        assert!(allowed, "an exception after {said:x?}");
        assert_eq!(after.pc & !0x7ff, VECTORS);
        assert_eq!(after.pstate & 0x1f, 0b0101);
        assert_eq!(taken.elr, before.pc);
        let class = taken.esr >> 26;
        match said.class {
            class::DATA | class::FETCH => {
                assert!(class == said.class || class == said.class + 1);
                // An access that failed, and nothing of why.
                assert!(matches!(
                    taken.esr & 0x3f,
                    0b01_0000 | 0b01_0100..=0b01_0111
                ));
                assert_eq!(taken.far, far);
            }
            _ => assert_eq!(class, 0, "an undefined instruction"),
        }
        assert_eq!((next, after.x), (Next::Resume, x));
        return;
    }
    let done = before.pc + 4;
    match said.class {
        class::HVC => {
            x[..18].copy_from_slice(&after.x[..18]);
            assert_eq!((next, after.pc), (Next::Resume, before.pc));
        }
        class::SMC => {
            x[..4].copy_from_slice(&after.x[..4]);
            assert_eq!(after.pc, done);
        }
        class::WFX => assert_eq!((next, after.pc), (Next::Resume, done)),
        class::SYSREG => {
            assert!(
                !said.is_write(),
                "a write of the host's was done: {said:x?}"
            );
            assert_eq!((next, after.pc), (Next::Resume, done));
            if let Some(value) = after.x.get(said.register()) {
                x[said.register()] = *value;
            }
        }
        // Tried again: no access is done for the host on a machine without redistributors.
        class::DATA | class::FETCH => {
            assert_eq!((next, after.pc), (Next::Resume, before.pc));
            assert_eq!(after.pstate, before.pstate);
        }
        _ => panic!("{said:x?} went by"),
    }
    assert_eq!(after.x, x, "registers after {said:x?}");
    if after.pc == done {
        assert_eq!(after.pstate, before.pstate & !ENDED);
    }
}
