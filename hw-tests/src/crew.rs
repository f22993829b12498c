//! VMs with a vCPU on each core but the first, all at work while the first core takes something away.
//!
//! A VM has at most 64 vCPUs, so that on larger machines there are several; the last vCPU of each is a helper,
//! which does the first core's steps. Each of the others runs the puppet's
//! [`SWEEP`], with the MMU on, and tells its rounds in a lent page; each has words of its own in the pages that
//! it sweeps. Invariants: a vCPU runs on its own core from the first round on, and nothing but the host's own
//! interrupt takes it out of the guest, so that the core has no reason to lose a translation; whoever
//! waits stops waiting when any core has failed.

use crate::{
    guest::{PAGING, Program, SWEEP, WINDOW, WINDOW_SIZE},
    outcome::{OrFail, Stop, TestResult, check, check_eq},
    paging, puppet, team,
    vm::{TestVm, find_other, in_full},
};
use abi::{ExitReason, VcpuHandle, limit, psci};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use el1::{
    PAGE,
    call::{self, Exit},
    cpu, irq, timer,
};

/// Where a VM's vCPUs tell their rounds.
const PROGRESS: u64 = WINDOW + WINDOW_SIZE - PAGE;
/// From the word of one vCPU to that of the next.
const PROGRESS_STRIDE: u64 = PAGE / limit::VCPUS_PER_VM as u64;
/// Members of a VM: all its vCPUs but the helper.
const MEMBERS: usize = limit::VCPUS_PER_VM - 1;
/// Where the words of vCPUs begin in the pages that they sweep.
const WORDS: u64 = 64;

/// One VM and its vCPUs' cores.
pub struct Crew {
    /// The VM.
    pub vm: TestVm,
    progress: u64,
}

/// All VMs; vCPU `n` of all of them runs on core `n + 1`.
pub struct Fleet {
    /// The VMs.
    pub crews: Vec<Crew>,
    /// Somebody has failed, or the first core is done.
    is_over: AtomicBool,
    /// vCPUs that have left their sweep.
    left: Vec<AtomicBool>,
}

/// A vCPU of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its number in the fleet.
    pub number: usize,
    /// Which VM it is of.
    pub crew: usize,
    /// Its number there.
    pub index: usize,
}

impl Member {
    /// The vCPU `number` of a fleet.
    pub const fn new(number: usize) -> Self {
        Self {
            number,
            crew: number / MEMBERS,
            index: number % MEMBERS,
        }
    }

    /// Offset of its words in each page.
    pub const fn word(self) -> u64 {
        WORDS + self.index as u64 * 8
    }

    /// The step that sweeps `pages` pages from `address` on.
    pub const fn sweep(self, address: u64, pages: u64) -> [u64; 4] {
        let progress = PROGRESS + self.index as u64 * PROGRESS_STRIDE;
        [SWEEP, address + self.word(), pages, progress]
    }
}

/// Makes the words zero that vCPUs count in, in pages that the test holds.
pub fn clear_words(start: u64, count: u64) {
    for page in (start..start + count * PAGE).step_by(PAGE as usize) {
        for word in (0..limit::VCPUS_PER_VM as u64).map(|index| page + WORDS + index * 8) {
            // SAFETY: the caller's page.
            unsafe { (word as *mut u64).write_volatile(0) };
        }
    }
}

impl Fleet {
    /// VMs for all cores but the first, with the MMU on; each vCPU waits for a step. `prepare` gives a new VM
    /// its memory and says where its alias leads to. Skips where there is one core.
    pub fn muster(prepare: impl Fn(usize, &mut TestVm) -> TestResult<u64>) -> TestResult<Self> {
        let cores = cpu::all().len() - 1;
        if cores == 0 {
            return Err(Stop::Skip(String::from("one core")));
        }
        let mut crews = Vec::new();
        while crews.len() * MEMBERS < cores {
            let number = crews.len();
            let vcpus = (cores - number * MEMBERS).min(MEMBERS) + 1;
            let mut vm = puppet::start(vcpus as u16)?;
            let target = prepare(number, &mut vm)?;
            paging::prepare(&mut vm, target)?;
            let progress = vm.lend(PROGRESS)?;
            let first = vm.vcpus[0];
            for index in 1..vcpus {
                let entry = Program::Puppet.entry();
                puppet::hvc(first, [psci::CPU_ON_64, index as u64, entry, 0])?;
                vm.enqueue(index)?;
                puppet::collect(vm.vcpus[index])?;
            }
            for index in 0..vcpus {
                let reply = puppet::step(vm.vcpus[index], [PAGING, paging::ROOT, 0, 0])?;
                check_eq!(reply.esr, 0, "the MMU of vCPU {index}");
            }
            crews.push(Crew { vm, progress });
        }
        Ok(Self {
            crews,
            is_over: AtomicBool::new(false),
            left: (0..cores).map(|_| AtomicBool::new(false)).collect(),
        })
    }

    /// A guest's call by the helper of a VM, on this core.
    pub fn call(&self, crew: usize, function: u64, ipa: u64) -> TestResult {
        let vcpus = &self.crews[crew].vm.vcpus;
        let helper = vcpus.last().copied().or_fail("a helper")?;
        let reply = puppet::hvc(helper, [function, ipa, 0, 0])?;
        check_eq!(reply.x[0], 0, "the helper's call {function:#x} of {ipa:#x}");
        Ok(())
    }

    /// All vCPUs at work.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        (0..self.left.len()).map(Member::new)
    }

    /// The vCPU's handle.
    pub fn vcpu(&self, member: Member) -> VcpuHandle {
        self.crews[member.crew].vm.vcpus[member.index]
    }

    /// Rounds that the vCPU has told.
    pub fn rounds(&self, member: Member) -> u64 {
        let word = self.crews[member.crew].progress + member.index as u64 * PROGRESS_STRIDE;
        // SAFETY: a lent page of the host's, in which the guest alone writes.
        unsafe { (word as *const u64).read_volatile() }
    }

    /// Whether the vCPU has left its sweep.
    fn has_left(&self, member: Member) -> bool {
        // Acquire: pairs with the Release in `play`.
        self.left[member.number].load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.is_over.load(Ordering::Acquire)
    }

    fn end(&self) {
        // Release: pairs with the Acquire in `is_over`.
        self.is_over.store(true, Ordering::Release);
        team::rouse();
    }

    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) -> TestResult {
        let came = team::wait_for(|| self.is_over() || condition());
        check!(came && !self.is_over(), "{what}");
        Ok(())
    }

    /// Waits until each vCPU has made `more` whole rounds from now on.
    pub fn wait_for_rounds(&self, more: u64) -> TestResult {
        let before: Vec<u64> = self.members().map(|member| self.rounds(member)).collect();
        self.wait_for("a vCPU does not go on", || {
            // A round may have been half done.
            self.members()
                .all(|member| self.rounds(member) > before[member.number] + more)
        })
    }

    /// Waits until all vCPUs have left their sweep.
    pub fn wait_until_left(&self) -> TestResult {
        self.wait_for("a vCPU stays", || {
            self.members().all(|member| self.has_left(member))
        })
    }

    /// Waits until each vCPU has left its sweep. One that goes on for a whole round is still at
    /// what it has lost: that is told by number of rounds, not by time.
    pub fn wait_for_faults(&self) -> TestResult {
        for member in self.members() {
            let before = self.rounds(member);
            let goes_on = || self.rounds(member) > before + 1;
            self.wait_for("a vCPU does nothing", || self.has_left(member) || goes_on())?;
            check!(
                self.has_left(member) || !goes_on(),
                "vCPU {} of VM {} goes on",
                member.index,
                member.crew
            );
        }
        Ok(())
    }

    /// Gives each vCPU its step, has all run on their cores, and `act` on the first one; `judge` says what to
    /// think of how a vCPU left its guest, `None` if it was still at work when `act` was done.
    pub fn sail(
        self: &Arc<Self>,
        step: impl Fn(&Self, Member) -> [u64; 4] + Send + Sync + 'static,
        act: impl Fn(&Self) -> TestResult + Send + Sync + 'static,
        judge: impl Fn(&Self, Member, Option<Exit>) -> TestResult + Send + Sync + 'static,
    ) -> TestResult {
        let fleet = self.clone();
        team::everywhere(move |core| {
            let Some(number) = core.checked_sub(1) else {
                let result = fleet.wait_for_rounds(0).and_then(|()| act(&fleet));
                // The core that failed first says why.
                let is_first = !fleet.is_over();
                fleet.end();
                return if is_first { result } else { Ok(()) };
            };
            let member = Member::new(number);
            let step = step(&fleet, member);
            let result = fleet.play(member, step).and_then(|exit| {
                // Release: pairs with the Acquire in `has_left`.
                fleet.left[number].store(exit.is_some(), Ordering::Release);
                judge(&fleet, member, exit)
            });
            if result.is_err() {
                fleet.end();
            }
            result
        })
    }

    /// Runs the member's vCPU on this core until the host is needed for it.
    fn play(&self, member: Member, step: [u64; 4]) -> TestResult<Option<Exit>> {
        puppet::give(self.vcpu(member), step)?;
        let end = team::deadline();
        while timer::now() < end {
            if self.is_over() {
                return Ok(None);
            }
            timer::arm(end);
            let exit = call::cpu_run(0).or_fail("CPU_RUN")?;
            match exit.reason {
                Some(ExitReason::HostInterrupt) => irq::open_window(),
                _ => {
                    timer::disarm();
                    return Ok(Some(exit));
                }
            }
        }
        Err(Stop::Fail(String::from("the guest runs on")))
    }

    /// Ends all VMs: what they had comes home zero. With `is_gone` the test has destroyed them itself.
    pub fn destroy(self: Arc<Self>, is_gone: bool) -> TestResult {
        let fleet = Arc::into_inner(self).or_fail("the fleet alone")?;
        fleet.crews.into_iter().try_for_each(|mut crew| {
            if is_gone {
                crew.vm.note_gone();
            }
            crew.vm.destroy()
        })
    }
}

/// Requires that the vCPU left for want of a page from `first` to before `end`.
pub fn faulted(
    fleet: &Fleet,
    member: Member,
    exit: Option<Exit>,
    first: u64,
    end: u64,
) -> TestResult {
    let Some(exit) = exit else {
        return Err(Stop::Fail(String::from("the vCPU never faulted")));
    };
    check!(
        exit.reason == Some(ExitReason::RamFault)
            && exit.vcpu == fleet.vcpu(member)
            && (first..end).contains(&exit.details[0]),
        "vCPU {} left with {exit:x?}",
        member.index
    );
    Ok(())
}

/// Requires that the vCPU was at work to the end.
pub fn undisturbed(_: &Fleet, member: Member, exit: Option<Exit>) -> TestResult {
    check!(exit.is_none(), "vCPU {} left with {exit:x?}", member.index);
    Ok(())
}

/// Milliseconds between two looks at pages that must not change any more.
const LOOK_MS: u64 = 2;
/// How often these are looked at.
const LOOKS: usize = 20;

/// Requires that nobody stores to these runs of the host's any more, as (address, pages): many looks find
/// the same.
pub fn check_still(runs: &[(u64, u64)]) -> TestResult {
    let read = |at: u64| {
        // SAFETY: the host's page; who may still write it is the question.
        unsafe { (at as *const u64).read_volatile() }
    };
    let words = || {
        runs.iter()
            .flat_map(|(start, count)| (*start..start + count * PAGE).step_by(8))
    };
    let before: Vec<u64> = words().map(read).collect();
    for look in 0..LOOKS {
        for (at, old) in words().zip(&before) {
            let now = read(at);
            check!(
                now == *old,
                "look {look}: {at:#x} was {old:#x}, is {now:#x}"
            );
        }
        team::nap(LOOK_MS);
    }
    Ok(())
}

/// Requires that runs which came home are zero and stay so.
pub fn check_zero(runs: &[(u64, u64)]) -> TestResult {
    for look in 0..LOOKS {
        for (start, count) in runs {
            let other = find_other(*start, *count, 0);
            check_eq!(other, None, "look {look} at {start:#x}");
        }
        team::nap(LOOK_MS);
    }
    Ok(())
}

/// Requires that the call took back `n` pages, made again while it answers BUSY.
pub fn unlend(vm: &TestVm, ipa: u64, n: u64) -> TestResult {
    in_full("VM_UNLEND", n, |done, left| {
        call::vm_unlend(vm.handle, ipa + done * PAGE, left)
    })
}
