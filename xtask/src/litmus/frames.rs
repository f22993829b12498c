//! What one activation of a function does to the stack: how far down it goes by itself, and how far down it is where
//! it calls others.
//!
//! An activation begins at a function's first instruction with depth 0 and is followed over every branch. A jump to
//! another function at depth 0 is that function's call, as what comes back from there comes back to the caller; at
//! any other depth it is the same activation, as among parts of assembly. The ERET to a lower level is such a jump
//! too: what the lower level does comes back by the vectors, with SP where it was.
//!
//! Invariant: at each instruction SP has one distance from where it was in the beginning, whatever the way; where a
//! function returns it is 0. Code of which that is not so is a fault.

use std::collections::{BTreeMap, BTreeSet};

use crate::litmus::program::Program;
use crate::litmus::sp::{self, Effect};
use crate::litmus::ways::{self, Ways};

/// What stands for certain instructions, by address.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// ERETs to a lower level.
    pub down: BTreeSet<u64>,
    /// Instructions that give the core another stack, whole: what comes behind is an activation of its own.
    pub fresh: BTreeSet<u64>,
}

/// A call: where, how deep the stack is there, and of what; nothing if a pointer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub at: u64,
    pub depth: i64,
    pub to: Option<u64>,
}

/// One activation.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Bytes that it takes by itself, and where.
    pub deepest: (i64, u64),
    pub edges: Vec<Edge>,
    /// By instruction, how deep the stack is in front of it.
    pub depths: BTreeMap<u64, i64>,
    /// What is wrong.
    pub faults: Vec<(u64, String)>,
}

impl Frame {
    /// The activation that begins at `start`, with the stack `depth` bytes deep. What goes down to a lower level
    /// comes back by the vectors `back`.
    pub fn of(
        program: &Program,
        known: &Knowledge,
        (start, depth): (u64, i64),
        back: &[u64],
    ) -> Self {
        let mut frame = Self {
            deepest: (depth, start),
            ..Self::default()
        };
        let mut work = vec![(start, depth)];
        while let Some((address, depth)) = work.pop() {
            if let Some(&before) = frame.depths.get(&address) {
                if before != depth {
                    let what = format!("SP is {before} bytes down or {depth}, by the way there");
                    frame.faults.push((address, what));
                }
                continue;
            }
            frame.depths.insert(address, depth);
            let on = frame.step(program, known, (address, depth), back);
            work.extend(on);
        }
        frame
    }

    /// Where control goes on within the activation, and how deep the stack is then.
    fn step(
        &mut self,
        program: &Program,
        known: &Knowledge,
        (address, before): (u64, i64),
        back_from_below: &[u64],
    ) -> Vec<(u64, i64)> {
        let none = Vec::new();
        let Some(word) = program.code().get(&address).map(|it| it.word) else {
            return self.fault(address, "goes where no code is".into());
        };
        let depth = match sp::effect(word) {
            Effect::Keeps => before,
            Effect::Lowers(bytes) => before + bytes,
            Effect::Sets if known.fresh.contains(&address) => return none,
            Effect::Sets => {
                let what = format!("changes SP in a way that is not understood, by {word:#010x}");
                return self.fault(address, what);
            }
        };
        if depth < 0 {
            return self.fault(address, "takes down more than it put up".into());
        }
        self.deepest = self.deepest.max((depth, address));
        let with_depth = |to: u64| (to, depth);
        match ways::from(program, address) {
            Ways::On(to) => {
                let is_call = |to: &u64| depth == 0 && is_elsewhere(program, address, *to);
                let (calls, on): (Vec<u64>, Vec<u64>) = to.into_iter().partition(is_call);
                calls
                    .iter()
                    .for_each(|&to| self.call(address, depth, Some(to)));
                on.into_iter().map(with_depth).collect()
            }
            Ways::Call { to, back } => {
                self.call(address, depth, Some(to));
                back.map(with_depth).into_iter().collect()
            }
            Ways::Pointer { back: None } if depth != 0 => {
                self.fault(address, "jumps through a pointer with a frame".into())
            }
            Ways::Pointer { back } => {
                self.call(address, depth, None);
                back.map(with_depth).into_iter().collect()
            }
            Ways::Return if known.down.contains(&address) => {
                back_from_below.iter().copied().map(with_depth).collect()
            }
            Ways::Return if depth != 0 => {
                self.fault(address, format!("returns with {depth} bytes on the stack"))
            }
            Ways::Return | Ways::Stop => none,
        }
    }

    fn fault(&mut self, address: u64, what: String) -> Vec<(u64, i64)> {
        self.faults.push((address, what));
        Vec::new()
    }

    fn call(&mut self, at: u64, depth: i64, to: Option<u64>) {
        self.edges.push(Edge { at, depth, to });
    }
}

/// Is `to` where another function begins?
fn is_elsewhere(program: &Program, from: u64, to: u64) -> bool {
    let start = |address| program.function_at(address).map(|it| it.start);
    start(to) == Some(to) && start(from) != Some(to)
}
