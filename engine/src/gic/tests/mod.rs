//! A model of the hardware's virtual CPU interface, for tests of delivery: what the guest takes
//! and ends is what the list registers and active priorities say, as IHI0069 has it.

use super::deliver::{Runner, Shared};
use super::intid::{PrivateId, Spi};
use super::lr::{Group, ListRegister, State, hcr};
use super::private::Line;
use super::sgi::Scope;
use super::spi::SPI_WORDS;

mod delivery;
mod random;

type SharedHalf = Shared<SPI_WORDS>;
type RunnerHalf = Runner<SPI_WORDS>;

/// Four list registers, five priority and preemption bits.
const VTR: u64 = 4 << 29 | 4 << 26 | 3;
/// Both groups on, mask open, binary points at their finest.
const VMCR: u64 = 0xF8 << 24 | 2 << 21 | 3 << 18 | 0b11;
const SPLIT_END: u64 = 1 << 9;

/// One vCPU with the guest in it.
struct Machine {
    shared: SharedHalf,
    runner: RunnerHalf,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            shared: SharedHalf::new(),
            runner: RunnerHalf::new(VTR),
        };
        machine.prepare()
    }

    fn with_registers(count: u64) -> Self {
        let vtr = VTR & !0xF | (count - 1);
        let machine = Self {
            shared: SharedHalf::new(),
            runner: RunnerHalf::new(vtr),
        };
        machine.prepare()
    }

    fn prepare(mut self) -> Self {
        self.runner.ich.vmcr = VMCR;
        self.shared.private.enable(u32::MAX);
        for intid in 0..32 {
            self.shared.private.set_priority(private(intid), 0xA0);
        }
        self
    }

    /// Runs the guest: the closure acts while the list registers are loaded.
    fn run<T>(&mut self, guest: impl FnOnce(&mut Self) -> T) -> T {
        let _ = self.runner.fill(&self.shared);
        let value = guest(self);
        self.runner.drain(&self.shared);
        value
    }

    fn registers(&self) -> impl Iterator<Item = (usize, ListRegister)> + '_ {
        let all = self.runner.ich.lr.iter().enumerate();
        all.map(|(place, &raw)| (place, ListRegister::from_raw(raw)))
    }

    fn state(&self, intid: u64) -> State {
        let mut found = self.registers().filter(|(_, register)| {
            register.intid() == intid && register.state() != State::Invalid
        });
        let state = found
            .next()
            .map_or(State::Invalid, |(_, register)| register.state());
        assert!(
            found.next().is_none(),
            "an interrupt is in one list register"
        );
        state
    }

    fn set(&mut self, place: usize, register: ListRegister, state: State) {
        let raw = register.raw() & !(3 << 62);
        let bits = match state {
            State::Invalid => 0,
            State::Pending => 1,
            State::Active => 2,
            State::PendingActive => 3,
        };
        self.runner.ich.lr[place] = raw | bits << 62;
    }

    /// What the hardware would signal.
    fn signalled(&self) -> Option<(usize, ListRegister)> {
        let pending = self.registers().filter(|(_, register)| {
            register.state() == State::Pending
                && self
                    .runner
                    .ich
                    .would_signal(register.priority(), register.group())
        });
        pending.min_by_key(|(place, register)| (register.priority(), *place))
    }

    /// The guest reads ICC_IAR1_EL1.
    fn acknowledge(&mut self) -> Option<u64> {
        let (place, register) = self.signalled()?;
        self.set(place, register, State::Active);
        let level = 1 << (register.priority() >> 3);
        match register.group() {
            Group::Zero => self.runner.ich.ap0r[0] |= level,
            Group::One => self.runner.ich.ap1r[0] |= level,
        }
        Some(register.intid())
    }

    /// The guest writes ICC_EOIR1_EL1.
    fn end(&mut self, intid: u64) {
        let ich = &mut self.runner.ich;
        let levels = ich.ap0r[0] | ich.ap1r[0];
        let first = levels & levels.wrapping_neg();
        ich.ap0r[0] &= !first;
        ich.ap1r[0] &= !first;
        if ich.vmcr & SPLIT_END == 0 {
            self.leave(intid);
        }
    }

    /// Deactivation by the hardware.
    fn leave(&mut self, intid: u64) {
        let mut active = self
            .registers()
            .filter(|(_, register)| register.intid() == intid && register.state().is_active());
        let found = active.next();
        drop(active);
        match found {
            Some((place, register)) if register.state() == State::PendingActive => {
                self.set(place, register, State::Pending);
            }
            Some((place, register)) => self.set(place, register, State::Invalid),
            None => self.runner.ich.hcr += 1 << hcr::EOI_COUNT_SHIFT,
        }
    }

    /// Whether the maintenance interrupt is asserted.
    fn maintenance(&self) -> bool {
        let control = self.runner.ich.hcr;
        let ended = self.registers().any(|(_, register)| {
            register.state() == State::Invalid && register.raw() & 1 << 41 != 0
        });
        let none_pending = self
            .registers()
            .all(|(_, register)| register.state() != State::Pending);
        let count = control >> hcr::EOI_COUNT_SHIFT & hcr::EOI_COUNT_MAX;
        ended
            || control & hcr::NPIE != 0 && none_pending
            || control & hcr::LRENPIE != 0 && count != 0
    }

    fn raise(&self, sgi: u64) {
        assert!(
            self.shared
                .private
                .raise_sgi(private(sgi), Scope::BothGroups)
        );
    }

    fn drive_timer(&self, line: Line) {
        self.shared.private.set_line(PrivateId::VIRTUAL_TIMER, line);
    }
}

fn private(intid: u64) -> PrivateId {
    PrivateId::new(intid).unwrap()
}

fn spi(intid: u64) -> Spi {
    Spi::new(intid).unwrap()
}
