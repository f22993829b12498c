//! Which call comes next, and with which arguments.
//!
//! Most calls are meant to succeed, on VMs and pages that many cores want at the same time. A kind that has not yet
//! succeeded on this core is drawn more often, and so are guests' turns where none has looked at its pages.

use super::{
    arena::BLOCK,
    record::Ending,
    shot::Shot,
    worker::Worker,
    world::{Mark, Phase, VCPUS, sum},
};
use crate::{
    guest::{CODE, DATA, KEPT_PAGES, KEY_BITS, Program, WINDOW},
    random::Random,
    vm::ALL,
};
use abi::{Call, Counter, InfoIndex, InjectKind, Outcome, VmHandle, limit};
use core::sync::atomic::Ordering;
use el1::{PAGE, cpu};

/// How often each kind of call is drawn.
const WEIGHTS: [(Call, u64); Call::ALL.len()] = [
    (Call::EngineInfo, 2),
    (Call::EngineDoorbell, 1),
    (Call::EngineDonate, 3),
    (Call::EngineReclaim, 3),
    (Call::VmCreate, 4),
    (Call::VmMap, 10),
    (Call::VmMapList, 4),
    (Call::VmLend, 6),
    (Call::VmUnlend, 5),
    (Call::VmStart, 4),
    (Call::VmDestroy, 1),
    (Call::VmReclaim, 12),
    (Call::VcpuCreate, 5),
    (Call::VcpuEnqueue, 10),
    (Call::VcpuDequeue, 4),
    (Call::CpuRun, 16),
    (Call::VcpuRespond, 8),
    (Call::VcpuInject, 4),
    (Call::PageInfo, 4),
    (Call::PagePoison, 1),
    (Call::PageCensus, 1),
    (Call::TraceRead, 2),
    (Call::StatsRead, 2),
];
/// Draws of which one is of a kind that has not succeeded here.
const MISSING: u64 = 2;
/// Pages that the engine is given or gives back more than at the start.
const ENGINE_SWING: i64 = 512;
/// Pages of a list.
const LIST: u64 = 24;
/// Pages that guests find in their window.
const WINDOW_PAGES: u64 = 16;
/// SGIs that the engine may ring with.
const DOORBELLS: [u64; 3] = [0, 2, 3];

/// What a vCPU of `vm` starts with: the VM's key, and above it where its own random numbers begin.
pub fn argument_for(vm: VmHandle, random: &mut Random) -> u64 {
    let key = u64::from(vm.slot()) << 16 | vm.generation() & 0xffff;
    key & ((1 << KEY_BITS) - 1) | random.next() << KEY_BITS
}

impl Worker {
    /// The kind of the next call.
    pub fn choose(&mut self) -> Call {
        if self.random.below(MISSING) == 0 {
            let start = self.random.below(Call::ALL.len() as u64) as usize;
            let calls = Call::ALL.iter().cycle().skip(start).take(Call::ALL.len());
            let mut missing = calls.filter(|call| self.lacks(**call));
            if let Some(call) = missing.next() {
                return *call;
            }
            if self.world.records[self.core].kept() == 0 {
                return Call::CpuRun;
            }
        }
        let all = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.below(all);
        for (call, weight) in WEIGHTS {
            if left < weight {
                return call;
            }
            left -= weight;
        }
        Call::CpuRun
    }

    /// Whether no call of this kind has succeeded here.
    pub fn lacks(&self, call: Call) -> bool {
        self.world.records[self.core].count(call, Ending::Success) == 0
    }

    /// A call of this kind, most likely a good one; none if there is nothing to make it on.
    pub fn draw(&mut self, call: Call) -> Option<Shot> {
        let random = &mut self.random;
        let cpus = cpu::all().len() as u64;
        Some(match call {
            Call::EngineInfo => {
                let all = InfoIndex::ALL;
                let index = all[random.below(all.len() as u64) as usize];
                Shot::new(call, &[index.raw()])
            }
            Call::EngineDoorbell => {
                let sgi = DOORBELLS[random.below(DOORBELLS.len() as u64) as usize];
                Shot::new(call, &[sgi])
            }
            Call::EngineDonate => return self.draw_donation(),
            Call::EngineReclaim => {
                if sum(&self.world.totals.engine) < -ENGINE_SWING {
                    return None;
                }
                let most = limit::ENGINE_RECLAIM_PAGES as u64;
                Shot::new(call, &[1 + random.below(most)])
            }
            Call::VmMap | Call::VmLend | Call::VmMapList | Call::VmUnlend => {
                return self.draw_memory(call);
            }
            Call::VmStart => self.draw_on(call, Phase::Building)?,
            Call::VmDestroy => {
                let phase = [Phase::Running, Phase::Building][random.below(2) as usize];
                self.draw_on(call, phase)?
            }
            Call::VmReclaim => {
                let mut shot = self.draw_on(call, Phase::Dying)?;
                shot.arguments[1] = 1 + self.random.below(limit::RECLAIM_PAGES as u64);
                shot
            }
            Call::VcpuCreate => {
                let mark = self.world.find(Phase::Building, random)?;
                let (mpidr, argument) = (random.below(VCPUS as u64), argument_for(mark.vm, random));
                let entry = Program::Keeper.entry();
                Shot::about(call, mark, &[mark.vm.raw(), mpidr, entry, argument])
            }
            Call::VcpuEnqueue | Call::VcpuDequeue | Call::VcpuInject => {
                return self.draw_vcpu(call);
            }
            Call::VcpuRespond => {
                let vcpu = match self.random.below(8) {
                    0 => return self.draw_vcpu(call),
                    _ => self.world.take_asking(&mut self.random)?,
                };
                let outcome = match self.random.below(8) {
                    0 => Outcome::Abort,
                    _ => Outcome::Complete,
                };
                Shot::new(call, &[vcpu.raw(), 0, 0, 0, 0, outcome.raw()])
            }
            Call::PageInfo => Shot::new(call, &[self.world.arena.any(random) + random.below(PAGE)]),
            Call::PagePoison => {
                if self.poison_left == 0 {
                    return None;
                }
                Shot::new(call, &[self.world.arena.any(random)])
            }
            Call::PageCensus => {
                let grain = limit::CENSUS_GRAIN as u64;
                let first = random.below(self.world.words / grain) * grain;
                Shot::new(call, &[first, (1 + random.below(4)) * grain])
            }
            Call::TraceRead => Shot::new(call, &[random.below(cpus), random.below(64)]),
            Call::StatsRead => {
                let all = Counter::ALL;
                let index = all[random.below(all.len() as u64) as usize];
                Shot::new(call, &[random.below(cpus), index.raw()])
            }
            Call::VmCreate | Call::CpuRun => return None,
        })
    }

    /// Brings about what a call of this kind needs.
    pub fn make_way_for(&mut self, call: Call) {
        let shot = match call {
            Call::EngineReclaim => return self.feed(),
            Call::VmReclaim if self.lacks(call) => self.draw(Call::VmDestroy),
            Call::VmReclaim | Call::VcpuRespond | Call::VmDestroy => return self.run_guests(),
            Call::VcpuEnqueue | Call::VcpuDequeue | Call::VcpuInject => self.draw(Call::VmStart),
            Call::PagePoison => self.draw(Call::PageInfo),
            _ => None,
        };
        match shot {
            // As in `step`.
            Some(shot) => drop(self.fire(&shot)),
            None => self.raise(),
        }
    }

    /// A call that takes a VM and no more.
    fn draw_on(&mut self, call: Call, phase: Phase) -> Option<Shot> {
        let mark = self.world.find(phase, &mut self.random)?;
        Some(Shot::about(call, mark, &[mark.vm.raw()]))
    }

    fn draw_donation(&mut self) -> Option<Shot> {
        if sum(&self.world.totals.engine) > ENGINE_SWING {
            return self.draw(Call::EngineReclaim);
        }
        if self.random.below(2) == 0
            && let Some(stray) = self.world.take_stray()
        {
            let mut shot = Shot::new(Call::EngineDonate, &[stray, 1]);
            shot.stray = Some(stray);
            return Some(shot);
        }
        let (pa, n) = self.world.arena.any_run(&mut self.random, 16);
        Some(Shot::new(Call::EngineDonate, &[pa, n]))
    }

    /// A VM that pages can be given to.
    fn find_receiver(&mut self) -> Option<Mark> {
        let phase = match self.random.below(4) {
            0 => Phase::Building,
            _ => Phase::Running,
        };
        self.world.find(phase, &mut self.random)
    }

    fn draw_memory(&mut self, call: Call) -> Option<Shot> {
        let mark = self.find_receiver()?;
        let vm = mark.vm.raw();
        let all = KEPT_PAGES * VCPUS as u64;
        let random = &mut self.random;
        let arena = &self.world.arena;
        Some(match call {
            Call::VmMap if random.below(8) == 0 => {
                let pa = arena.any_block(random);
                Shot::about(call, mark, &[vm, pa, DATA, BLOCK, ALL.bits()])
            }
            Call::VmMap => {
                let (pa, n) = arena.any_run(random, 8);
                let ipa = DATA + random.below(all) * PAGE;
                Shot::about(call, mark, &[vm, pa, ipa, n, ALL.bits()])
            }
            Call::VmLend => {
                let (pa, n) = arena.any_run(random, 4);
                let ipa = WINDOW + random.below(WINDOW_PAGES) * PAGE;
                Shot::about(call, mark, &[vm, pa, ipa, n, ALL.bits()])
            }
            Call::VmUnlend => {
                // Relaxed: a guess.
                let lent = self.world.places[mark.place].lent.load(Ordering::Relaxed);
                let ipa = match random.below(4) {
                    0 => WINDOW + random.below(WINDOW_PAGES) * PAGE,
                    _ => lent.max(WINDOW),
                };
                Shot::about(call, mark, &[vm, ipa, 1 + random.below(3)])
            }
            _ => {
                let n = 1 + random.below(LIST);
                for entry in 0..n {
                    let pa = arena.any(random);
                    let ipa = DATA + random.below(all) * PAGE;
                    let at = (self.list + entry * 16) as *mut u64;
                    // SAFETY: the list's page is this worker's own; a list has at most 256 entries.
                    unsafe {
                        at.write_volatile(pa);
                        at.add(1).write_volatile(ipa | ALL.bits());
                    }
                }
                Shot::about(call, mark, &[vm, self.list, n])
            }
        })
    }

    fn draw_vcpu(&mut self, call: Call) -> Option<Shot> {
        let mark = self.world.find(Phase::Running, &mut self.random)?;
        let vcpu = self.world.any_vcpu(mark, &mut self.random)?.raw();
        if call == Call::VcpuDequeue && self.random.below(2) == 0 {
            // Most vCPUs are on no queue, or run.
            let _ = self.fire(&Shot::about(Call::VcpuEnqueue, mark, &[vcpu, self.cpu]));
        }
        let random = &mut self.random;
        Some(match call {
            Call::VcpuEnqueue => {
                // Most of all here, where it is run.
                let cpu = match random.below(4) {
                    0 => random.below(cpu::all().len() as u64),
                    _ => self.cpu,
                };
                Shot::about(call, mark, &[vcpu, cpu])
            }
            Call::VcpuInject => {
                let kinds = InjectKind::ALL;
                let kind = kinds[random.below(kinds.len() as u64) as usize];
                let intid = 32 + random.below(limit::SPIS as u64);
                let arguments = [vcpu, intid, kind.raw(), random.below(128)];
                Shot::about(call, mark, &arguments)
            }
            _ => Shot::about(call, mark, &[vcpu]),
        })
    }

    /// Where a guest that faulted at `ipa` gets its page from, by which call.
    pub fn draw_page_for(&mut self, mark: Mark, ipa: u64) -> Shot {
        let (call, vm) = (Call::VmMap, mark.vm.raw());
        let pa = self.world.arena.any(&mut self.random);
        let rights = ALL.bits();
        match ipa {
            WINDOW.. => Shot::about(Call::VmLend, mark, &[vm, pa, ipa, 1, rights]),
            CODE..DATA => Shot::about(call, mark, &[vm, pa, ipa, 1, rights]),
            _ if self.random.below(4) == 0 => {
                let block = self.world.arena.any_block(&mut self.random);
                let offset = ipa % (BLOCK * PAGE);
                let n = 1 + self.random.below(16).min(BLOCK - 1 - offset / PAGE);
                Shot::about(call, mark, &[vm, block + offset, ipa, n, rights])
            }
            _ => Shot::about(call, mark, &[vm, pa, ipa, 1, rights]),
        }
    }
}
