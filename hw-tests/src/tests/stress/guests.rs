//! VMs come, their guests run, and the host answers.
//!
//! Invariant: a page with code is written and given only by the core that has the VM's place to itself.

use super::{
    arena,
    draw::argument_for,
    shot::Shot,
    worker::Worker,
    world::{Phase, VCPUS, add, sum},
};
use crate::{
    guest::{self, CALL_KEPT, CALL_WRONG, CODE, Program},
    vm::{self, ALL, fill},
};
use abi::{Call, ExitReason, Outcome, Status, VcpuHandle, VmHandle, limit};
use alloc::{format, vec::Vec};
use core::sync::atomic::Ordering;
use el1::{irq, probe, timer};

/// Microseconds that a core runs guests at least and at most.
const RUN_US: (u64, u64) = (200, 3000);
/// Runs in one step at most.
const RUNS: u64 = 6;
/// Times that a call is made again that must be done.
const AGAIN: u32 = 10_000;
/// Times that a VM is wanted where there are enough of which one ends another.
const FULL: u64 = 24;
/// RAM faults of which one is left for others to answer.
const LEAVE: u64 = 8;

impl Worker {
    /// A new VM, or the end of one where there are enough.
    pub fn raise(&mut self) {
        let more = sum(&self.world.totals.live) - sum(&self.world.wanted);
        if more >= 0 {
            let ends_one = more > 0 || self.lacks(Call::VmDestroy) || self.random.below(FULL) == 0;
            if let (true, Some(shot)) = (ends_one, self.draw(Call::VmDestroy)) {
                // Learned.
                let _ = self.fire(&shot);
            }
            return;
        }
        let Some(place) = self.world.take_place() else {
            return;
        };
        if !self.raise_at(place) {
            self.world.free(place);
        }
    }

    /// The call, with its VM; none if it was refused.
    fn create(&mut self) -> Option<VmHandle> {
        let Ok(shape) = vm::shape(VCPUS as u16, 0b10) else {
            return None;
        };
        let (ram, window) = (guest::RAM_SIZE, guest::WINDOW_SIZE);
        let mut shot = Shot::new(
            Call::VmCreate,
            &[
                shape.raw(),
                guest::GICR,
                guest::RAM,
                ram,
                guest::WINDOW,
                window,
            ],
        );
        let is_spoilt = self.random.below(8) == 0;
        if is_spoilt {
            shot.spoil(&mut self.random);
        }
        let vm = VmHandle::from_raw(self.fire(&shot).ok()?[0]);
        if is_spoilt {
            // Another VM than was meant.
            self.bring_home(vm);
            return None;
        }
        Some(vm)
    }

    /// Makes a VM for a place that is this core's; false if there is none.
    fn raise_at(&mut self, place: usize) -> bool {
        let world = self.world.clone();
        let code = world.places[place].code;
        if let Some((at, word)) = vm::find_other(code, 1, 0) {
            world.fail(format!("{at:#x} came home from a VM with {word:#x}"));
            return false;
        }
        let Some(vm) = self.create() else {
            return false;
        };
        add(&world.totals.live, 1);
        let program = Program::Keeper.code();
        // SAFETY: the page is the host's, of this place alone, and the program is less than a page.
        unsafe { (code as *mut u8).copy_from_nonoverlapping(program.as_ptr(), program.len()) };
        let shot = Shot::new(Call::VmMap, &[vm.raw(), code, CODE, 1, ALL.bits()]);
        if !self.insist(&shot) {
            fill(code, 1, 0);
            self.bring_home(vm);
            add(&world.totals.live, -1);
            return false;
        }
        // Nobody else can have brought it home yet.
        if probe::load(code).is_ok() {
            world.fail(format!("core {} reads code that it gave away", self.core));
        }
        let mut vcpus = Vec::new();
        let count = self.random.below(1 + VCPUS as u64);
        for index in 0..count {
            let argument = argument_for(vm, &mut self.random);
            let entry = Program::Keeper.entry();
            let shot = Shot::new(Call::VcpuCreate, &[vm.raw(), index, entry, argument]);
            match self.fire(&shot) {
                Ok(results) => vcpus.push(VcpuHandle::from_raw(results[0])),
                Err(_) => break,
            }
        }
        let mark = world.publish(place, vm, &vcpus);
        if self.random.below(2) == 0 {
            let start = Shot::about(Call::VmStart, mark, &[vm.raw()]);
            if let (Ok(_), Some(vcpu)) = (self.fire(&start), vcpus.first()) {
                let queue = Shot::about(Call::VcpuEnqueue, mark, &[vcpu.raw(), self.cpu]);
                // Learned.
                let _ = self.fire(&queue);
            }
        }
        true
    }

    /// Makes a call until it is done; false if that cannot be.
    fn insist(&mut self, shot: &Shot) -> bool {
        for _ in 0..AGAIN {
            match self.fire(shot) {
                Ok(_) => return true,
                Err(Status::Busy | Status::NoMemory) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Ends a VM that nobody else knows.
    fn bring_home(&mut self, vm: VmHandle) {
        let most = limit::RECLAIM_PAGES as u64;
        // It has neither vCPUs nor calls.
        let _ = self.fire(&Shot::new(Call::VmDestroy, &[vm.raw()]));
        for _ in 0..AGAIN {
            let shot = Shot::new(Call::VmReclaim, &[vm.raw(), most]);
            if let Ok([n, finished, ..]) = self.fire(&shot) {
                add(&self.world.totals.home, n as i64);
                if finished == 1 {
                    return;
                }
            }
        }
        self.world.fail(format!("VM {:#x} never ends", vm.raw()));
    }

    /// Runs this core's guests for a while.
    pub fn run_guests(&mut self) {
        for _ in 0..1 + self.random.below(RUNS) {
            let (least, most) = RUN_US;
            let micros = least + self.random.below(most - least);
            let budget = timer::frequency() * micros / 1_000_000;
            let Ok(results) = self.fire(&Shot::new(Call::CpuRun, &[budget])) else {
                return;
            };
            let reason = ExitReason::from_raw(results[0]);
            let vcpu = VcpuHandle::from_raw(results[1]);
            let details: [u64; 7] = core::array::from_fn(|index| results[2 + index]);
            match reason {
                Some(ExitReason::HostInterrupt) => irq::open_window(),
                Some(ExitReason::Budget) => return,
                Some(ExitReason::Idle) => {
                    let Some(shot) = self.draw(Call::VcpuEnqueue) else {
                        return;
                    };
                    // It may be of another core's liking, or wait.
                    let _ = self.fire(&shot);
                }
                Some(reason) => self.answer(reason, vcpu, details),
                None => self
                    .world
                    .fail(format!("CPU_RUN ends by {:#x}", results[0])),
            }
        }
    }

    fn answer(&mut self, reason: ExitReason, vcpu: VcpuHandle, details: [u64; 7]) {
        let world = self.world.clone();
        let is_rare = self.random.below(LEAVE) == 0;
        match reason {
            ExitReason::RamFault => {
                if let (false, Some(mark)) = (is_rare, world.vm_of(vcpu)) {
                    let shot = self.draw_page_for(mark, details[0]);
                    // Learned; the guest faults again if it was refused.
                    let _ = self.fire(&shot);
                }
            }
            ExitReason::Call if details[0] == CALL_WRONG => {
                let [_, at, found, expected, ..] = details;
                world.fail(format!(
                    "core {}, vCPU {:#x}: a guest reads {found:#x} at {at:#x}, not {expected:#x}",
                    self.core,
                    vcpu.raw()
                ));
            }
            ExitReason::Call | ExitReason::MmioRead => {
                if details[0] == CALL_KEPT {
                    world.records[self.core].keep(details[1]);
                }
                if let Some(known) = world.vcpu(vcpu) {
                    // Relaxed: a guess.
                    known.asks.store(1, Ordering::Relaxed);
                }
            }
            ExitReason::MmioWrite if is_rare => {
                let arguments = [vcpu.raw(), 0, 0, 0, 0, Outcome::Abort.raw()];
                let _ = self.fire(&Shot::new(Call::VcpuRespond, &arguments));
            }
            ExitReason::VcpuOn | ExitReason::VcpuReady => {
                for woken in details.into_iter().filter(|woken| *woken != 0) {
                    // As in `RamFault`: it is woken again.
                    let _ = self.fire(&Shot::new(Call::VcpuEnqueue, &[woken, self.cpu]));
                }
            }
            ExitReason::PageRelinquished => {
                let [_, pa, is_lost, ..] = details;
                add(&world.totals.home, 1);
                if is_lost != 0 || !world.arena.holds(pa) {
                    world.fail(format!("a guest gave up {pa:#x}, lost: {is_lost}"));
                }
                self.look_at(pa, arena::LOOK);
            }
            ExitReason::PoolEmpty => self.feed(),
            ExitReason::SystemOff | ExitReason::SystemReset => {
                if let Some(mark) = world.vm_of(vcpu) {
                    let shot = Shot::about(Call::VmDestroy, mark, &[mark.vm.raw()]);
                    let _ = self.fire(&shot);
                }
            }
            ExitReason::Fault => world.fail(format!(
                "core {}: vCPU {:#x} cannot go on: {details:x?}",
                self.core,
                vcpu.raw()
            )),
            _ => {}
        }
    }

    /// Brings a dying VM home as far as one call does.
    pub fn reclaim_some(&mut self, place: usize) -> bool {
        let Some((mark, Phase::Dying)) = self.world.mark(place) else {
            return false;
        };
        let arguments = [mark.vm.raw(), limit::RECLAIM_PAGES as u64];
        let result = self.fire(&Shot::about(Call::VmReclaim, mark, &arguments));
        // Stale: its end was told to another core, which frees the place.
        result != Err(Status::BadHandle)
    }
}
