//! What every case of this folder is played in front of: a victim, a VM of its own on the boot core.
//!
//! Invariants: before the attack the victim fills its memory and its registers from a seed and digests them;
//! after it, its own digest is the same, a call of the host's is answered, and every page of it comes home
//! zeroed. (The census is the runner's.)

use crate::{
    guest::{DATA, DIGEST_WORDS, Gadget},
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    team,
    vm::{TestVm, take_patterned},
};
use abi::{InfoIndex, VcpuHandle};
use el1::{PAGE, call};

/// Pages that the victim digests.
pub const VICTIM_PAGES: u64 = DIGEST_WORDS * 8 / PAGE;

/// The victim.
pub struct Victim {
    vm: TestVm,
    pa: u64,
    digest: u64,
}

/// What an attack has at hand.
pub struct Stage<'a> {
    /// Random choices.
    pub random: &'a mut Random,
    /// Whom it must not reach.
    pub victim: &'a Victim,
}

impl Victim {
    fn start(seed: u64) -> TestResult<Self> {
        let mut vm = puppet::start(1)?;
        vm.put_gadgets()?;
        let pa = take_patterned(VICTIM_PAGES, PAGE)?;
        vm.donate(pa, DATA, VICTIM_PAGES)?;
        let armed = puppet::gadget(vm.vcpus[0], Gadget::Arm, DATA, seed)?;
        check_eq!(armed.esr, 0, "the victim's own fault");
        let digest = digest(vm.vcpus[0], 0)?;
        Ok(Self { vm, pa, digest })
    }

    /// Its first secret page.
    pub fn pa(&self) -> u64 {
        self.pa
    }

    /// The VM.
    pub fn vm(&self) -> &TestVm {
        &self.vm
    }

    /// Requires that it finds itself as it was.
    pub fn check_unharmed(&self) -> TestResult {
        self.pulse()()
    }

    /// The same, asked by an answer with another x3.
    pub fn check_unharmed_after(&self, x3: u64) -> TestResult {
        let digest = digest(self.vm.vcpus[0], x3)?;
        check_eq!(digest, self.digest, "the victim's digest");
        Ok(())
    }

    /// The same for a job, which can hold on to nothing.
    pub fn pulse(&self) -> impl Fn() -> TestResult + Send + Sync + use<> {
        let (vcpu, before) = (self.vm.vcpus[0], self.digest);
        move || {
            check_eq!(digest(vcpu, 0)?, before, "the victim's digest");
            Ok(())
        }
    }
}

/// The gadget has no use for `x3`, which the answer that starts it carries.
fn digest(vcpu: VcpuHandle, x3: u64) -> TestResult<u64> {
    let reply = puppet::gadget(vcpu, Gadget::Digest, DATA, x3)?;
    check_eq!(reply.esr, 0, "the victim's own fault");
    check_eq!(reply.exits, [], "exits of the victim");
    Ok(reply.x[0])
}

/// Plays an attack.
pub fn play(attack: fn(&mut Stage<'_>) -> TestResult, random: &mut Random) -> TestResult {
    with_victim(random, |victim, random| {
        attack(&mut Stage { random, victim })
    })
}

/// Plays one that has nothing to do with the victim.
pub fn play_in_front(attack: fn(&mut Random) -> TestResult, random: &mut Random) -> TestResult {
    with_victim(random, |_, random| attack(random))
}

fn with_victim(
    random: &mut Random,
    attack: impl FnOnce(&Victim, &mut Random) -> TestResult,
) -> TestResult {
    // The first secret word is an invalid descriptor: a walk that gets to read it ends differently from one
    // that does not.
    let victim = Victim::start(random.next() & !0b11)?;
    attack(&victim, random)?;
    victim.check_unharmed()?;
    let cpu = call::engine_info(InfoIndex::ThisCpu).or_fail("ENGINE_INFO")?;
    check!(cpu == team::engine_cpu(0), "another core: {cpu}");
    victim.vm.destroy()
}

/// Registers the attacks of a file: `Host function [scenarios] "mechanism" => "refusal";`
macro_rules! attacks {
    ($file:literal: $($by:ident $function:ident [$($scenario:literal),*] $mechanism:literal => $refusal:literal;)+) => {
        /// The tests of this file.
        pub(super) const TESTS: &[$crate::runner::Test] = &[$($crate::runner::Test {
            name: concat!("attack::", $file, "::", stringify!($function)),
            needs: $crate::runner::Needs::Engine,
            run: |random| $crate::tests::attack::stage::play($function, random),
        }),+];

        /// Their texts.
        pub(super) const CASES: &[$crate::tests::attack::Case] = &[$($crate::tests::attack::Case {
            name: concat!("attack::", $file, "::", stringify!($function)),
            by: $crate::tests::attack::By::$by,
            scenarios: &[$($scenario),*],
            mechanism: $mechanism,
            refusal: $refusal,
        }),+];
    };
}

pub(super) use attacks;
