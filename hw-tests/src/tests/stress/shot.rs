//! One call to be made: what, with which arguments, and about which VM.

use super::world::Mark;
use crate::{guest::MMIO, random::Random};
use abi::Call;
use el1::machine;

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Which.
    pub call: Call,
    /// Its registers.
    pub arguments: [u64; 6],
    /// The VM that it is about, as it was when the call was thought of.
    pub about: Option<Mark>,
    /// A page of no arena that is the engine's if the call succeeds.
    pub stray: Option<u64>,
}

/// What an argument is, as far as it can be spoiled.
#[derive(Clone, Copy)]
enum Kind {
    /// A VM's or vCPU's handle.
    Handle,
    /// Address of a page.
    Pa,
    /// Where a guest sees a page.
    Ipa,
    /// How many.
    Count,
    /// A number of which few are good.
    Choice,
    /// Any number is good, and only some are meant.
    Free,
}

impl Shot {
    /// A call about no VM.
    pub fn new(call: Call, arguments: &[u64]) -> Self {
        let mut registers = [0; 6];
        registers[..arguments.len()].copy_from_slice(arguments);
        Self {
            call,
            arguments: registers,
            about: None,
            stray: None,
        }
    }

    /// A call about this VM.
    pub fn about(call: Call, mark: Mark, arguments: &[u64]) -> Self {
        Self {
            about: Some(mark),
            ..Self::new(call, arguments)
        }
    }

    /// Makes one of its arguments a bad one, which reaches no memory that is in use.
    pub fn spoil(&mut self, random: &mut Random) {
        let kinds = kinds(self.call);
        if kinds.is_empty() {
            return;
        }
        let index = random.below(kinds.len() as u64) as usize;
        let argument = &mut self.arguments[index];
        let choices: &[u64] = match kinds[index] {
            // Of no generation and slot that can be.
            Kind::Handle => &[*argument ^ 1 << 63, *argument | 0xffff, 0, u64::MAX],
            Kind::Pa => &[
                *argument | 8,
                u64::MAX,
                !0xfff,
                1 << 51,
                machine().distributor.start,
                machine().engine.first().map_or(8, |engine| engine.start),
            ],
            Kind::Ipa => &[*argument | 8, u64::MAX, !0xfff, 1 << 51, MMIO],
            Kind::Count => &[0, u64::MAX, 1 << 40],
            Kind::Choice => &[u64::MAX, 1 << 25, 1 << 41],
            Kind::Free => &[*argument],
        };
        *argument = choices[random.below(choices.len() as u64) as usize];
    }
}

/// The arguments of a call; none where a spoilt call could not come back or be undone.
fn kinds(call: Call) -> &'static [Kind] {
    use Kind::{Choice, Count, Free, Handle, Ipa, Pa};
    match call {
        Call::EngineInfo | Call::EngineDoorbell => &[Choice],
        Call::EngineDonate => &[Pa, Count],
        Call::EngineReclaim => &[Count],
        Call::VmCreate => &[Choice, Ipa, Ipa, Count, Ipa, Choice],
        Call::VmMap | Call::VmLend => &[Handle, Pa, Ipa, Count, Choice],
        Call::VmMapList => &[Handle, Pa, Count],
        Call::VmUnlend => &[Handle, Ipa, Count],
        Call::VmStart | Call::VmDestroy | Call::VcpuDequeue => &[Handle],
        Call::VmReclaim => &[Handle, Count],
        Call::VcpuCreate => &[Handle, Choice, Ipa, Free],
        Call::VcpuEnqueue => &[Handle, Choice],
        Call::CpuRun => &[],
        Call::VcpuRespond => &[Handle, Free, Free, Free, Free, Choice],
        Call::VcpuInject => &[Handle, Choice, Choice, Choice],
        Call::PageInfo | Call::PagePoison => &[Pa],
        Call::PageCensus => &[Choice, Count],
        Call::TraceRead | Call::StatsRead => &[Choice, Choice],
    }
}
