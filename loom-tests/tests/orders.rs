//! The search is complete: small programs of accesses and events of the hardware, made at random, are
//! run in every order that there is, and the search must have found each.
//!
//! An order is told by its conflicts: of two steps of different threads at one word, of which one may
//! write, which came first. Orders that agree in all of these are one and the same.
//!
//! Each program runs twice: with threads that the first one only starts, so that any of them may begin,
//! and with the first one as one of them, so that letting another begin costs a preemption. In the end
//! it takes its steps once more, alone.

#![cfg(loom)]

use loom_tests::bus::Bus;
use loom_tests::{Arc, cpu, explore, preemptions, spawn};
use std::collections::BTreeSet;
use std::sync::Mutex;
use sync::{AtomicU64, Ordering, Ordering::Relaxed, fence};

/// What stands for a word of all fences: any two of them conflict.
const FENCES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Load(usize),
    Store(usize),
    Exchange(usize),
    Add(usize),
    Fence,
}

impl Step {
    fn word(self) -> usize {
        match self {
            Step::Load(word) | Step::Store(word) | Step::Exchange(word) | Step::Add(word) => word,
            Step::Fence => FENCES,
        }
    }

    fn conflicts(self, other: Self) -> bool {
        let loads = matches!((self, other), (Step::Load(_), Step::Load(_)));
        self.word() == other.word() && !loads
    }

    fn take(self, machine: &Machine, thread: usize) {
        if self == Step::Fence {
            // Pairs with the other fences, which have an order.
            return fence(Ordering::SeqCst);
        }
        let Some(word) = machine.words.get(self.word()) else {
            return match self {
                Step::Load(_) => machine.bus.look(cpu(thread as u16)),
                _ => machine.bus.change(),
            };
        };
        // Relaxed, all: which step came first is written down, not read.
        match self {
            Step::Load(_) => drop(word.load(Relaxed)),
            Step::Store(_) => word.store(1, Relaxed),
            Step::Exchange(_) => drop(word.compare_exchange(0, 1, Relaxed, Relaxed)),
            Step::Add(_) => drop(word.fetch_add(1, Relaxed)),
            Step::Fence => unreachable!("taken above"),
        }
    }
}

/// Two words, and behind them what stands for the hardware.
struct Machine {
    words: [AtomicU64; 2],
    bus: Bus,
}

type Program = Vec<Vec<Step>>;
/// A step: its thread, and which of that thread's.
type At = (usize, usize);
/// Pairs of steps that conflict, the first first.
type Order = BTreeSet<(At, At)>;

fn order_of(program: &Program, steps: &[At]) -> Order {
    let step = |at: At| program[at.0][at.1];
    let mut order = Order::new();
    for (index, first) in steps.iter().enumerate() {
        for second in &steps[index + 1..] {
            if first.0 != second.0 && step(*first).conflicts(step(*second)) {
                order.insert((*first, *second));
            }
        }
    }
    order
}

/// Every order that some run with as many preemptions as are tried has, if `first` runs already.
fn all_orders(program: &Program, first: Option<usize>) -> BTreeSet<Order> {
    let bound = preemptions(program.len()).unwrap_or(usize::MAX);
    let mut orders = BTreeSet::new();
    let mut open: Vec<(Vec<At>, usize)> = vec![(Vec::new(), 0)];
    while let Some((steps, preemptions)) = open.pop() {
        let next = |thread: usize| steps.iter().filter(|at| at.0 == thread).count();
        let has_more = |thread: usize| next(thread) < program[thread].len();
        let last = steps.last().map(|at| at.0).or(first);
        let running = last.filter(|last| has_more(*last));
        let mut is_over = true;
        for thread in (0..program.len()).filter(|thread| has_more(*thread)) {
            is_over = false;
            let preempts = running.is_some_and(|running| running != thread);
            let preemptions = preemptions + usize::from(preempts);
            if preemptions <= bound {
                let mut more = steps.clone();
                more.push((thread, next(thread)));
                open.push((more, preemptions));
            }
        }
        if is_over {
            orders.insert(order_of(program, &steps));
        }
    }
    orders
}

/// Every order that the search tries; the model's first thread is one of the program's, if it `acts`.
fn tried_orders(program: &Program, acts: bool) -> BTreeSet<Order> {
    let tried = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let (program, found) = (program.clone(), tried.clone());
    explore(program.len(), move || {
        let machine = Arc::new(Machine {
            words: [AtomicU64::new(0), AtomicU64::new(0)],
            bus: Bus::new(program.len()),
        });
        let log = std::sync::Arc::new(Mutex::new(Vec::new()));
        let run = |thread: usize| {
            let (machine, log) = (machine.clone(), log.clone());
            let steps = program[thread].clone();
            move || {
                for (index, step) in steps.iter().enumerate() {
                    step.take(&machine, thread);
                    log.lock().unwrap().push((thread, index));
                }
            }
        };
        let others = usize::from(acts)..program.len();
        let others: Vec<_> = others.map(|thread| spawn(run(thread))).collect();
        if acts {
            run(0)();
        }
        for thread in others {
            thread.join().unwrap();
        }
        let order = order_of(&program, &log.lock().unwrap());
        found.lock().unwrap().insert(order);
        run(0)();
    });
    std::mem::take(&mut *tried.lock().unwrap())
}

/// `count` programs of so many threads with so many steps each.
fn programs(count: usize, threads: usize, steps: usize) -> impl Iterator<Item = Program> {
    let mut seed = 1_u64;
    let mut below = move |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % bound
    };
    (0..count).map(move |_| {
        let mut step = |_| {
            let word = below(3) as usize;
            match below(6) {
                0 => Step::Store(word),
                1 => Step::Exchange(word),
                2 => Step::Add(word),
                3 => Step::Fence,
                _ => Step::Load(word),
            }
        };
        let mut thread = |_| (0..steps).map(&mut step).collect();
        (0..threads).map(&mut thread).collect()
    })
}

fn every_order_is_tried(count: usize, threads: usize, steps: usize) {
    for program in programs(count, threads, steps) {
        for acts in [false, true] {
            let tried = tried_orders(&program, acts);
            for order in all_orders(&program, acts.then_some(0)) {
                assert!(
                    tried.contains(&order),
                    "{program:?}, acts {acts}: not {order:?}"
                );
            }
        }
    }
}

#[test]
fn of_two_threads() {
    every_order_is_tried(100, 2, 4);
}

#[test]
fn of_three_threads() {
    every_order_is_tried(12, 3, 2);
}
