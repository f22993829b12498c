//! Calls that cores make at the same time about the same few pages and VMs, and loads and stores of words of these pages
//! meanwhile, noted with when each began and ended, for `cargo xtask linear --cpus N`, which asks the specification for
//! an order.
//!
//! Three cores are a team, with pages and VMs that no other team touches. In each round its first core makes two VMs and
//! stores to each page, all three make random calls and touch random pages, whosever these are by then, and the first
//! ends both VMs, looks where each page is, and loads what it holds: between rounds nobody is in
//! a call, and the next begins with every page the host's. In every other round the last core runs a guest, which touches them
//! too (`guest`). All is printed when nobody works any more.
//!
//! What the engine returns out of its pool may be any page that was ever donated. So the first team alone donates and
//! takes back, when the pool has been emptied of what others donated (`pool`).
//!
//! Invariants: what a core notes is its own until then; no two stores of a test have one value, and none stores 0.

mod draw;
mod guest;
mod note;
mod pool;

use crate::{
    census,
    guest::{GICR, RAM},
    outcome::{OrFail, TestResult, check},
    random::Random,
    runner::{Needs, Test},
    team,
    vm::shape,
};
use abi::{Call, Status};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use el1::{PAGE, call, cpu, gic, irq, machine, pages, println, timer};
use note::{Invocation, Note, What, Words};
use spin::mutex::SpinMutex;

/// The tests of this file.
pub const TESTS: &[Test] = &[Test {
    name: "order::calls_at_once",
    needs: Needs::Engine,
    run: calls_at_once,
}];

/// Cores of a team.
const TEAM: usize = 3;
/// Blocks of 2 MiB that are a team's, their size, pages of each that calls are about, and most pages of a run, which may
/// begin with the last of these.
const BLOCKS: usize = 2;
const BLOCK_BYTES: u64 = 2 << 20;
const PAGES: u64 = 2;
const MOST_PAGES: u64 = 2;
/// Calls of a core in a round; rounds of a team at most, and of all together: what is noted lies in the heap until it is told.
const CALLS: usize = 6;
/// Loads and stores before each of these calls, at most, and the words of a page that they touch: the first and the last.
const TOUCHES: u64 = 2;
const WORDS: [u64; 2] = [0, PAGE - 8];
const ROUNDS: usize = 400;
const ALL_ROUNDS: usize = 800;
/// VMs of a round, vCPUs of each, and bytes of its RAM: two blocks, and one for a guest's program.
const VMS: usize = 2;
const VCPUS: u64 = 2;
const RAM_BYTES: u64 = 3 * BLOCK_BYTES;
/// Entries of a list.
const LIST: u64 = 2;
/// Times that the first core asks for a VM to be brought home.
const PATIENCE: u32 = 1000;
/// SGI that wakes a core which waits for its team.
const WAKE: u32 = 1;

/// Three cores, and what they share.
struct Team {
    cores: Vec<usize>,
    /// Is it the one that donates pages to the engine, and takes them back?
    has_pool: bool,
    blocks: [u64; BLOCKS],
    /// A page for lists for each core, in 2 MiB of the team's own: where pages can be one granule, who claims one is in
    /// the way of who claims another.
    lists: [u64; TEAM],
    /// A page behind these, for a guest's program.
    program: u64,
    /// How often cores have come to the end of a part.
    came: AtomicU64,
    is_over: AtomicBool,
    vms: [AtomicU64; VMS],
    /// vCPUs of the round, 0 where there is none.
    vcpus: [AtomicU64; VMS * VCPUS as usize],
    /// The one of them that is the round's guest, or 0.
    guest: AtomicU64,
    notes: Vec<SpinMutex<Vec<Note>>>,
}

fn calls_at_once(_: &mut Random) -> TestResult {
    let args = crate::args::Args::parse(machine().bootargs);
    let before = census::take()?;
    let count = cpu::all().len();
    check!(count >= TEAM, "{count} cores, and {TEAM} are wanted");
    let bits = shape(VCPUS as u16, 0b1)?.ipa_bits;
    let mut teams = Vec::new();
    for first in (0..count / TEAM).map(|number| number * TEAM) {
        teams.push(Team::new(first)?);
    }
    let teams = Arc::new(teams);
    let others = pool::empty()?;
    let end = timer::now() + timer::ticks(args.seconds * 1000);
    let rounds = ROUNDS.min(ALL_ROUNDS / teams.len());
    let shared = teams.clone();
    team::everywhere(move |core| match shared.get(core / TEAM) {
        Some(team) => team.work(core % TEAM, args.seed, (rounds, end)),
        None => Ok(()),
    })?;
    for (number, team) in teams.iter().enumerate() {
        team.tell(number, bits);
    }
    for team in Arc::into_inner(teams).or_fail("the teams")? {
        team.give_back();
    }
    pool::refill(others)?;
    let after = census::take()?;
    check!(
        (after.vm, after.shared, after.claimed) == (before.vm, before.shared, before.claimed),
        "pages are left: {after:?}, before: {before:?}"
    );
    Ok(())
}

impl Team {
    fn new(first: usize) -> TestResult<Self> {
        let block = || pages::take(BLOCK_BYTES / PAGE, BLOCK_BYTES).or_fail("2 MiB of RAM");
        let lists = block()?;
        Ok(Self {
            cores: (first..first + TEAM).collect(),
            has_pool: first == 0,
            blocks: [block()?, block()?],
            lists: core::array::from_fn(|seat| lists + seat as u64 * PAGE),
            program: lists + TEAM as u64 * PAGE,
            came: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            vms: [const { AtomicU64::new(0) }; VMS],
            vcpus: [const { AtomicU64::new(0) }; VMS * VCPUS as usize],
            guest: AtomicU64::new(0),
            notes: (0..TEAM).map(|_| SpinMutex::new(Vec::new())).collect(),
        })
    }

    /// All are home: the pages are the allocator's again.
    fn give_back(self) {
        for block in self.blocks.into_iter().chain([self.lists[0]]) {
            // SAFETY: it came from the allocator, and no VM has a page of it.
            unsafe { pages::give(block, BLOCK_BYTES / PAGE) };
        }
    }

    fn work(&self, seat: usize, seed: u64, (rounds, end): (usize, u64)) -> TestResult {
        let mut random = Random::new(seed, 1 + self.cores[seat] as u64);
        for round in 0..rounds {
            if seat == 0 {
                let is_over = timer::now() > end;
                // Relaxed, here and below: published by `meet`.
                self.is_over.store(is_over, Ordering::Relaxed);
                if !is_over {
                    self.begin(round)?;
                }
            }
            self.meet(3 * round + 1);
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let mut guest = self.guest();
            let is_beside = guest.is_some() && seat != guest::SEAT;
            guest = guest.filter(|_| !is_beside);
            for _ in 0..CALLS {
                if is_beside {
                    guest::pause(&mut random);
                }
                for _ in 0..random.below(TOUCHES + 1) {
                    self.touch(seat, round, &mut random)?;
                }
                match guest.as_mut() {
                    Some(guest) if random.below(4) > 0 => {
                        for _ in 0..guest::RUNS {
                            self.play(round, guest, &mut random)?;
                        }
                    }
                    _ => self.draw(seat, round, &mut random),
                }
            }
            self.meet(3 * round + 2);
            if seat == 0 {
                self.end(round)?;
            }
            self.meet(3 * round + 3);
        }
        Ok(())
    }

    /// Waits until all three have come to the end of this part.
    fn meet(&self, part: usize) {
        let all = (part * TEAM) as u64;
        // AcqRel: pairs with itself and the Acquire below: what the others did before is seen.
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 == all {
            let here = cpu::this().index;
            for core in self.cores.iter().filter(|core| **core != here) {
                gic::send_sgi(WAKE, cpu::all()[*core].mpidr);
            }
        }
        let has_come = || self.came.load(Ordering::Acquire) >= all;
        while !has_come() {
            irq::wait(has_come);
        }
    }

    /// Makes a call and notes it.
    fn make(
        &self,
        seat: usize,
        round: usize,
        call: Call,
        arguments: &[u64],
    ) -> Result<[u64; 17], Status> {
        let mut x = [0; 7];
        x[0] = call.function_id();
        x[1..=arguments.len()].copy_from_slice(arguments);
        let list = (call == Call::VmMapList).then(|| {
            let at = self.lists[seat] as *const u64;
            // SAFETY: the list's page is this core's own.
            core::array::from_fn(|word| unsafe { at.add(word).read_volatile() })
        });
        let (begun, ended, result) = note::time(|| call::invoke(call, arguments));
        let told = match &result {
            Ok(results) => {
                let results = results.iter().take(note::results_of(call));
                [0].into_iter().chain(results.copied()).collect()
            }
            Err(status) => Box::from([status.raw() as u64, 0, 0, 0]),
        };
        let what = What::Call(Box::new(Invocation { x, told, list }));
        self.keep(
            seat,
            Note {
                round,
                begun,
                ended,
                what,
            },
        );
        result
    }

    fn keep(&self, seat: usize, note: Note) {
        self.notes[seat].lock().push(note);
    }

    /// Loads a word of a page of the team's, and notes it.
    fn load(&self, seat: usize, round: usize, at: u64) -> TestResult {
        self.keep(seat, note::load(round, at)?);
        Ok(())
    }

    /// Stores there what nobody stores twice, and notes it.
    fn store(&self, seat: usize, round: usize, at: u64) -> TestResult {
        let value = self.new_value(seat);
        // SAFETY: the team's pages came from the allocator, for this alone.
        let note = unsafe { note::store(round, at, value)? };
        self.keep(seat, note);
        Ok(())
    }

    /// What no core has stored yet.
    fn new_value(&self, seat: usize) -> u64 {
        let number = 1 + self.notes[seat].lock().len() as u64;
        (self.cores[seat] as u64) << 32 | number
    }

    /// The pages that calls are about.
    fn pages(&self) -> impl Iterator<Item = u64> {
        let of = |block: u64| (0..PAGES).map(move |page| block + page * PAGE);
        self.blocks.into_iter().flat_map(of)
    }

    /// Each word of them that is touched.
    fn words(&self) -> impl Iterator<Item = u64> {
        self.pages().flat_map(|page| WORDS.map(|word| page + word))
    }

    /// The first core, alone: two VMs, and something in each page.
    fn begin(&self, round: usize) -> TestResult {
        for vcpu in &self.vcpus {
            vcpu.store(0, Ordering::Relaxed);
        }
        let shape = shape(VCPUS as u16, 0b1)?.raw();
        for vm in &self.vms {
            let arguments = [shape, GICR, RAM, RAM_BYTES, 0, 0];
            // Another team may be at the slots.
            let results = self.make(0, round, Call::VmCreate, &arguments);
            vm.store(results.or_fail("VM_CREATE")?[0], Ordering::Relaxed);
        }
        self.guest.store(0, Ordering::Relaxed);
        if round % 2 == 1 {
            self.begin_guest(round)?;
        }
        self.words().try_for_each(|at| self.store(0, round, at))
    }

    /// The first core, alone: both are brought home, and each page is looked at, and into.
    fn end(&self, round: usize) -> TestResult {
        for vm in &self.vms {
            let vm = vm.load(Ordering::Relaxed);
            // Others may have been there before.
            let _ = self.make(0, round, Call::VmDestroy, &[vm]);
            let mut left = PATIENCE;
            loop {
                match self.make(0, round, Call::VmReclaim, &[vm, 8]) {
                    Ok([_, 1, ..]) | Err(Status::BadHandle) => break,
                    _ => left -= 1,
                }
                check!(left > 0, "VM {vm:#x} never ends");
            }
        }
        if self.has_pool {
            self.empty_pool(round)?;
        }
        for at in self.pages().chain([self.program]) {
            let _ = self.make(0, round, Call::PageInfo, &[at]);
        }
        self.words().try_for_each(|at| self.load(0, round, at))
    }

    /// Prints what was noted, in lines for the tool.
    fn tell(&self, number: usize, ipa_bits: u16) {
        let cpus: Vec<u64> = self
            .cores
            .iter()
            .map(|core| team::engine_cpu(*core))
            .collect();
        let (cpus, lists, blocks) = (Words(&cpus), Words(&self.lists), Words(&self.blocks));
        let (pages, program) = (BLOCK_BYTES / PAGE, self.program);
        println!("@order-team {number} {ipa_bits} {pages}{cpus}{lists} {program:x}{blocks}");
        for (seat, notes) in self.notes.iter().enumerate() {
            for note in &*notes.lock() {
                let Note {
                    round,
                    begun,
                    ended,
                    what,
                } = note;
                println!("@order {number} {round} {seat} {begun} {ended} {what}");
            }
        }
    }
}
