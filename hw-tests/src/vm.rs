//! VMs of the tests: made, given memory, run on this core, destroyed and looked at afterwards.
//!
//! Invariants: every page that a [`TestVm`] took is in `donated` or `lent` until its VM is gone,
//! and goes back to the allocator then; a VM that a failing test leaves is destroyed when it goes
//! out of scope. Donated pages are never zero when they leave, so that zero on return proves a
//! scrub.

use crate::{
    guest::{self, Program},
    outcome::{OrFail, Stop, TestResult, check, complete},
    team,
};
use abi::{ExitReason, InfoIndex, MapAttrs, Status, VcpuHandle, VmHandle, VmShape, limit};
use alloc::{format, vec::Vec};
use core::hint;
use el1::{
    PAGE, Range,
    call::{self, Batch, Exit},
    irq, pages, println, timer,
};

/// Every right.
pub const ALL: MapAttrs = MapAttrs::READ
    .union(MapAttrs::WRITE)
    .union(MapAttrs::EXECUTE);
/// What pages hold before they are donated.
pub const PATTERN: u64 = 0xb1b2_b3b4_b5b6_b7b8;
/// Times that a call is made again after BUSY.
const BUSY_LIMIT: u32 = 100_000;
/// Milliseconds that a core runs guests before it looks at the clock.
const SLICE_MS: u64 = 20;
/// Milliseconds until a guest that says nothing has failed.
const SILENCE_MS: u64 = 60_000;

/// A VM.
pub struct TestVm {
    /// Its handle.
    pub handle: VmHandle,
    /// Its vCPUs, in order of creation.
    pub vcpus: Vec<VcpuHandle>,
    donated: Vec<Range>,
    lent: Vec<u64>,
    is_gone: bool,
}

/// Takes pages, every word of them non-zero.
pub fn take_patterned(count: u64, align: u64) -> TestResult<u64> {
    let start = pages::take(count, align).or_fail("free pages")?;
    fill(start, count, PATTERN);
    Ok(start)
}

/// Writes `value` to every word of pages that the test holds.
pub fn fill(start: u64, count: u64, value: u64) {
    for at in (start..start + count * PAGE).step_by(8) {
        // SAFETY: the pages are RAM, mapped one to one, taken by the caller for itself alone.
        unsafe { (at as *mut u64).write_volatile(value) };
    }
}

/// The first word of these pages that is not `value`, as address and content.
pub fn find_other(start: u64, count: u64, value: u64) -> Option<(u64, u64)> {
    (start..start + count * PAGE)
        .step_by(8)
        // SAFETY: the pages are the host's, mapped one to one, and nobody writes them.
        .map(|at| (at, unsafe { (at as *const u64).read_volatile() }))
        .find(|(_, word)| *word != value)
}

/// Makes a call again while it answers BUSY.
pub fn insist<T>(mut call: impl FnMut() -> Result<T, Status>) -> Result<T, Status> {
    for _ in 0..BUSY_LIMIT {
        match call() {
            Err(Status::Busy) => hint::spin_loop(),
            result => return result,
        }
    }
    Err(Status::Busy)
}

/// Makes a batch's calls, asking `part` for so many pages behind the first ones, until all `n` are done.
pub fn in_full(
    what: &str,
    n: u64,
    mut part: impl FnMut(u64, u64) -> Result<Batch, Status>,
) -> TestResult {
    let mut done = 0;
    while done < n {
        let batch = insist(|| part(done, n - done)).or_fail(what)?;
        check!(
            batch.done > 0 && batch.reason == Status::Success,
            "{what}: {} of {n} pages behind {done}, {}",
            batch.done,
            batch.reason.name()
        );
        done += batch.done;
    }
    check!(done == n, "{what}: {done} of {n} pages");
    Ok(())
}

/// The shape of a VM with so many vCPUs; `lendable` has a bit for each RAM range.
pub fn shape(vcpus: u16, lendable: u8) -> TestResult<VmShape> {
    let most = call::engine_info(InfoIndex::IpaBits).or_fail("ENGINE_INFO")?;
    Ok(VmShape {
        vcpus,
        ipa_bits: most.min(40) as u16,
        lendable,
    })
}

impl TestVm {
    /// A VM without memory.
    pub fn create(vcpus: u16) -> TestResult<Self> {
        let ram = (guest::RAM, guest::RAM_SIZE);
        let window = (guest::WINDOW, guest::WINDOW_SIZE);
        let shape = shape(vcpus, 0b10)?;
        let handle =
            insist(|| call::vm_create(shape, guest::GICR, ram, window)).or_fail("VM_CREATE")?;
        Ok(Self {
            handle,
            vcpus: Vec::new(),
            donated: Vec::new(),
            lent: Vec::new(),
            is_gone: false,
        })
    }

    /// A running VM with `program` on its first vCPU, which is queued on this core. The others are
    /// off.
    pub fn run_program(program: Program, vcpus: u16) -> TestResult<Self> {
        let mut vm = Self::create(vcpus)?;
        vm.put_code(program)?;
        for index in 0..u64::from(vcpus) {
            vm.add_vcpu(index, program.entry())?;
        }
        vm.start()?;
        vm.enqueue(0)?;
        Ok(vm)
    }

    /// Donates the program's code.
    pub fn put_code(&mut self, program: Program) -> TestResult {
        self.put(guest::CODE, program.code())
    }

    /// Donates the gadgets' code, for a puppet to call.
    pub fn put_gadgets(&mut self) -> TestResult {
        self.put(guest::GADGETS, guest::gadgets())
    }

    /// Donates pages with `code` in them.
    fn put(&mut self, ipa: u64, code: &[u8]) -> TestResult {
        let count = (code.len() as u64).div_ceil(PAGE);
        let pa = take_patterned(count, PAGE)?;
        // SAFETY: the pages were just taken and hold the code.
        unsafe { (pa as *mut u8).copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        self.donate(pa, ipa, count)
    }

    /// Donates pages that came from the allocator.
    pub fn donate(&mut self, pa: u64, ipa: u64, count: u64) -> TestResult {
        self.own(pa, count);
        in_full("VM_MAP", count, |done, left| {
            call::vm_map(self.handle, pa + done * PAGE, ipa + done * PAGE, left, ALL)
        })
    }

    /// Notes donated pages, so that they are looked at and given back at the end.
    pub fn own(&mut self, pa: u64, count: u64) {
        self.donated.push(Range {
            start: pa,
            size: count * PAGE,
        });
    }

    /// Takes a page, zeroed, and lends it at `ipa`.
    pub fn lend(&mut self, ipa: u64) -> TestResult<u64> {
        let pa = pages::take(1, PAGE).or_fail("free page")?;
        fill(pa, 1, 0);
        self.lent.push(pa);
        let result = insist(|| call::vm_lend(self.handle, pa, ipa, 1, ALL));
        complete("VM_LEND", result, 1)?;
        Ok(pa)
    }

    /// Creates a vCPU with this affinity.
    pub fn add_vcpu(&mut self, mpidr: u64, entry: u64) -> TestResult {
        let vcpu = insist(|| call::vcpu_create(self.handle, mpidr, entry, 0));
        self.vcpus.push(vcpu.or_fail("VCPU_CREATE")?);
        Ok(())
    }

    /// Starts it.
    pub fn start(&self) -> TestResult {
        insist(|| call::vm_start(self.handle)).or_fail("VM_START")
    }

    /// Queues a vCPU on this core.
    pub fn enqueue(&self, index: usize) -> TestResult {
        let core = team::engine_cpu(el1::cpu::this().index);
        insist(|| call::vcpu_enqueue(self.vcpus[index], core)).or_fail("VCPU_ENQUEUE")
    }

    /// Ends it: nothing of it is left and every page that it had is zero and usable.
    pub fn destroy(mut self) -> TestResult {
        self.reclaim()?;
        for run in core::mem::take(&mut self.donated) {
            let count = run.size / PAGE;
            let dirty = find_other(run.start, count, 0);
            fill(run.start, count, PATTERN);
            // SAFETY: the VM is gone, its pages came from the allocator and are unused.
            unsafe { pages::give(run.start, count) };
            if let Some((at, word)) = dirty {
                return Err(Stop::Fail(format!("{at:#x} came home with {word:#x}")));
            }
        }
        Ok(())
    }

    /// Forgets a page that left the VM by itself, and returns it to the allocator.
    pub fn give_back(&mut self, pa: u64) {
        if let Some(at) = self.donated.iter().position(|run| run.start == pa) {
            let run = self.donated.swap_remove(at);
            // SAFETY: the caller says that the page is the host's again, and unused.
            unsafe { pages::give(run.start, run.size / PAGE) };
        }
    }

    /// Notes that the test has destroyed and reclaimed it itself.
    pub fn note_gone(&mut self) {
        self.is_gone = true;
    }

    fn reclaim(&mut self) -> TestResult {
        if !self.is_gone {
            destroy(self.handle)?;
            self.is_gone = true;
        }
        for page in core::mem::take(&mut self.lent) {
            // SAFETY: the VM is gone, the page came from the allocator and is unused.
            unsafe { pages::give(page, 1) };
        }
        Ok(())
    }
}

impl Drop for TestVm {
    fn drop(&mut self) {
        match self.reclaim() {
            Ok(()) => {
                for run in &self.donated {
                    // SAFETY: as in `destroy`.
                    unsafe { pages::give(run.start, run.size / PAGE) };
                }
            }
            Err(stop) => println!("a test's VM stays: {stop:?}"),
        }
    }
}

/// VM_DESTROY until nothing of it is inside the engine.
pub fn destroyed(vm: VmHandle) -> TestResult {
    let mut inside = 1;
    for _ in 0..BUSY_LIMIT {
        (inside, _) = call::vm_destroy(vm).or_fail("VM_DESTROY")?;
        if inside == 0 {
            break;
        }
        hint::spin_loop();
    }
    check!(inside == 0, "VM_DESTROY: {inside} still inside");
    Ok(())
}

/// VM_DESTROY until nothing is inside, then VM_RECLAIM until the slot is free. How many pages came
/// home.
pub fn destroy(vm: VmHandle) -> TestResult<u64> {
    destroyed(vm)?;
    let mut total = 0;
    for _ in 0..BUSY_LIMIT {
        let most = limit::RECLAIM_PAGES as u64;
        let (n, finished) = insist(|| call::vm_reclaim(vm, most)).or_fail("VM_RECLAIM")?;
        total += n;
        if finished {
            return Ok(total);
        }
    }
    Err(Stop::Fail(format!("VM_RECLAIM never ends, {total} pages")))
}

/// Runs this core's vCPUs until the host is needed for one of them, or all wait (`Idle`).
pub fn run() -> TestResult<Exit> {
    let patience = timer::now() + timer::ticks(SILENCE_MS);
    while timer::now() < patience {
        let exit = call::cpu_run(timer::ticks(SLICE_MS)).or_fail("CPU_RUN")?;
        match exit.reason {
            Some(ExitReason::HostInterrupt) => irq::open_window(),
            Some(ExitReason::Budget) => {}
            Some(_) => return Ok(exit),
            None => return Err(Stop::Fail(format!("CPU_RUN: unknown reason {exit:x?}"))),
        }
    }
    Err(Stop::Fail(format!("no exit in {SILENCE_MS} ms")))
}
