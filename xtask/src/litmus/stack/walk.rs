//! The way from an entry through the image: how deep each function gets with all that it calls, and to what its pointers
//! lead.
//!
//! Invariant: a function is visited at most once for each thing that the core may be doing when it comes to it; one that
//! is come to while it is open calls itself, which is no bound.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::{Entry, Stack};
use crate::litmus::frames::{Edge, Frame, Knowledge};
use crate::litmus::panics::VECTOR;
use crate::litmus::pointers;
use crate::litmus::program::Program;
use crate::litmus::sp::{self, Effect};

/// Levels of targets that pass on what others made.
const PASSING: u32 = 100;
/// No level is above this.
const ANY_LEVEL: u32 = u32::MAX;

/// Those of a table that a lower level comes back by: its second half.
fn vectors(table: Option<u64>) -> Vec<u64> {
    let all = |table: u64| (8..16).map(move |n| table + n * VECTOR);
    table.into_iter().flat_map(all).collect()
}

/// What the core is doing when it comes to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    start: u64,
    /// Calls through pointers lead to lower levels than this.
    below: u32,
    /// Whether the end is being reported.
    ending: bool,
    /// The vectors by which a lower level comes back, where the way down is visited.
    table: Option<u64>,
}

/// The deepest way on from somewhere.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    pub bytes: i64,
    /// The functions on the way, each with the depth at which it begins.
    way: Vec<(u64, i64)>,
}

pub type Found = std::result::Result<Worst, String>;

pub struct Walk<'a> {
    program: &'a Program,
    stack: &'a Stack,
    known: Knowledge,
    frames: BTreeMap<(u64, Option<u64>), Frame>,
    found: BTreeMap<Visit, Found>,
    open: Vec<Visit>,
    made: BTreeMap<u64, BTreeSet<u64>>,
    /// By function that calls through a pointer: its targets.
    leads: BTreeMap<u64, BTreeSet<u64>>,
    levels: BTreeMap<u64, u32>,
    /// Why a target has no level.
    no_level: Option<String>,
    /// Where the way down begins; by who takes it, the vectors by which it comes back.
    down: u64,
    tables: BTreeMap<u64, u64>,
}

impl<'a> Walk<'a> {
    pub fn new(program: &'a Program, stack: &'a Stack) -> Result<Self> {
        let mut walk = Self {
            program,
            stack,
            known: Knowledge::default(),
            frames: BTreeMap::new(),
            found: BTreeMap::new(),
            open: Vec::new(),
            made: pointers::made(program),
            leads: BTreeMap::new(),
            levels: BTreeMap::new(),
            no_level: None,
            down: 0,
            tables: BTreeMap::new(),
        };
        for name in &stack.set {
            let sets = walk.sets_of(name)?;
            ensure!(!sets.is_empty(), "{name} sets no SP");
            walk.known.fresh.extend(sets);
        }
        let ways_down = walk.functions(&stack.down)?;
        walk.down = ways_down.first().map_or(0, |it| it.0);
        for (start, end) in ways_down {
            let code = program.code().range(start..end);
            let down = code.filter(|(_, it)| it.name.as_deref() == Some("ERET"));
            walk.known.down.extend(down.map(|(&at, _)| at));
        }
        for enter in &stack.enter {
            let tables = walk.starts(std::slice::from_ref(&enter.table))?;
            let by = walk.starts(&enter.by)?;
            walk.tables.extend(
                by.iter()
                    .flat_map(|&by| tables.iter().map(move |&table| (by, table))),
            );
        }
        for pointer in &stack.pointer {
            let targets = walk.starts(&pointer.to)?;
            for from in walk.starts(&pointer.from)? {
                let leads = walk.leads.entry(from).or_default();
                leads.extend(&targets);
            }
        }
        let targets: BTreeSet<u64> = walk.leads.values().flatten().copied().collect();
        for &target in &targets {
            if let Err(why) = walk.level(target, &targets, &mut Vec::new()) {
                walk.no_level.get_or_insert(why);
            }
        }
        Ok(walk)
    }

    /// Begin and end of all functions of these names.
    fn functions(&self, names: &[String]) -> Result<Vec<(u64, u64)>> {
        let mut all = Vec::new();
        for name in names {
            let named = self.program.functions().filter(|it| it.name == *name);
            let found: Vec<_> = named.map(|it| (it.start, it.end)).collect();
            ensure!(!found.is_empty(), "the image has no {name}");
            all.extend(found);
        }
        Ok(all)
    }

    fn starts(&self, names: &[String]) -> Result<Vec<u64>> {
        let functions = self.functions(names)?;
        Ok(functions.iter().map(|it| it.0).collect())
    }

    /// The instructions of a function that set SP.
    fn sets_of(&self, name: &str) -> Result<Vec<u64>> {
        let mut sets = Vec::new();
        for (start, end) in self.functions(&[name.to_owned()])? {
            let code = self.program.code().range(start..end);
            let code = code.filter(|(_, it)| sp::effect(it.word) == Effect::Sets);
            sets.extend(code.map(|(&at, _)| at));
        }
        Ok(sets)
    }

    fn name(&self, address: u64) -> &str {
        let function = self.program.function_at(address);
        function.map_or("nothing", |it| it.name.as_str())
    }

    pub fn tell(&self, worst: &Worst) -> String {
        let step = |&(start, depth): &(u64, i64)| format!("{} at {depth}", self.name(start));
        let steps: Vec<String> = worst.way.iter().map(step).collect();
        steps.join(", ")
    }

    /// The worst of an entry's beginnings.
    pub fn entry(&mut self, entry: &Entry) -> Result<Found> {
        let mut visits = Vec::new();
        for name in &entry.from {
            let starts = match entry.behind {
                true => self.sets_of(name)?.iter().map(|at| at + 4).collect(),
                false => self.starts(std::slice::from_ref(name))?,
            };
            for start in starts {
                match entry.vectors.as_slice() {
                    [] => visits.push((start, None, 0)),
                    numbers => {
                        for number in numbers {
                            let at = start + number * VECTOR;
                            visits.push((at, Some(start), self.depth_at_vector(start, at)));
                        }
                    }
                }
            }
        }
        let mut worst = Worst::default();
        for (start, table, depth) in visits {
            // As if it were called with what is on the stack.
            let frame = Frame::of(self.program, &self.known, (start, depth), &vectors(table));
            self.frames.insert((start, table), frame);
            let visit = Visit {
                start,
                below: ANY_LEVEL,
                ending: false,
                table,
            };
            let found = match self.worst(visit) {
                Ok(mut found) => {
                    found.bytes -= depth;
                    found
                }
                Err(why) => return Ok(Err(why)),
            };
            if found.bytes >= worst.bytes {
                worst = found;
            }
        }
        Ok(Ok(worst))
    }

    /// What is on the stack when a vector is come to: from a lower level, what the way down left there.
    fn depth_at_vector(&mut self, table: u64, at: u64) -> i64 {
        let down = self.frame(self.down, Some(table));
        down.depths.get(&at).copied().unwrap_or(0)
    }

    fn frame(&mut self, start: u64, table: Option<u64>) -> &Frame {
        let (program, known) = (self.program, &self.known);
        let frame = self.frames.entry((start, table));
        frame.or_insert_with(|| Frame::of(program, known, (start, 0), &vectors(table)))
    }

    /// The most that a visit takes.
    fn worst(&mut self, visit: Visit) -> Found {
        if let Some(found) = self.found.get(&visit) {
            return found.clone();
        }
        if let Some(at) = self.open.iter().position(|it| *it == visit) {
            let round: Vec<&str> = self.open[at..]
                .iter()
                .map(|it| self.name(it.start))
                .collect();
            return Err(format!("comes to itself again: {}", round.join(", ")));
        }
        self.open.push(visit);
        let found = self.follow(visit);
        self.open.pop();
        self.found.insert(visit, found.clone());
        found
    }

    fn follow(&mut self, visit: Visit) -> Found {
        let frame = self.frame(visit.start, visit.table).clone();
        let name = self.name(visit.start).to_owned();
        if let Some((at, what)) = frame.faults.first() {
            let way: Vec<&str> = self.open.iter().map(|it| self.name(it.start)).collect();
            return Err(format!("{name} {what}, at {at:#x}; by {}", way.join(", ")));
        }
        let is_end = name == self.stack.once;
        let again = is_end && visit.ending;
        let mut worst = Worst {
            bytes: frame.deepest.0,
            way: Vec::new(),
        };
        for edge in &frame.edges {
            for (to, below) in self.targets(visit, edge)? {
                if again && !self.stack.again.iter().any(|it| it == self.name(to)) {
                    continue;
                }
                let next = Visit {
                    start: to,
                    // What does not come back leaves all formatting.
                    below: if self.program.returns(to) {
                        below
                    } else {
                        ANY_LEVEL
                    },
                    ending: visit.ending || is_end,
                    table: self.table(edge, to)?,
                };
                let found = self.worst(next)?;
                if edge.depth + found.bytes > worst.bytes {
                    let on = found.way.iter();
                    worst.way = on.map(|(at, depth)| (*at, depth + edge.depth)).collect();
                    worst.bytes = edge.depth + found.bytes;
                }
            }
        }
        worst.way.insert(0, (visit.start, 0));
        Ok(worst)
    }

    /// By which vectors a lower level comes back, if a call leads there.
    fn table(&self, edge: &Edge, to: u64) -> std::result::Result<Option<u64>, String> {
        if to != self.down {
            return Ok(None);
        }
        let by = self.program.function_at(edge.at).map_or(0, |it| it.start);
        let table = self.tables.get(&by).copied();
        let missing = || format!("{} goes down and is not listed", self.name(edge.at));
        table.map(Some).ok_or_else(missing)
    }

    /// Where a call leads, and below which level pointers lead from there.
    fn targets(&self, visit: Visit, edge: &Edge) -> std::result::Result<Vec<(u64, u32)>, String> {
        if let Some(to) = edge.to {
            return Ok(vec![(to, visit.below)]);
        }
        let function = self.program.function_at(edge.at);
        let start = function.map_or(0, |it| it.start);
        let Some(leads) = self.leads.get(&start) else {
            let (name, at) = (self.name(edge.at), edge.at);
            return Err(format!(
                "{name} calls through a pointer, at {at:#x}, and is not listed"
            ));
        };
        let level = |to: &u64| self.levels.get(to).copied().unwrap_or(ANY_LEVEL);
        let all = leads.iter().map(|to| (*to, level(to)));
        let lower: Vec<_> = all.filter(|(_, level)| *level < visit.below).collect();
        if lower.is_empty() {
            let (name, at, below) = (self.name(edge.at), edge.at, visit.below);
            return Err(format!(
                "{name} calls through a pointer, at {at:#x}, of no level below {below}"
            ));
        }
        Ok(lower)
    }

    /// What the lists of pointers leave out, or say for nothing.
    pub fn unlisted(&self) -> Result<Option<String>> {
        if self.no_level.is_some() {
            return Ok(self.no_level.clone());
        }
        let taken = pointers::taken(self.program, &self.made);
        let others: BTreeSet<u64> = self.starts(&self.stack.addresses)?.into_iter().collect();
        let is_listed = |at: &&u64| self.levels.contains_key(at) || others.contains(at);
        let unlisted: BTreeSet<&str> = taken
            .iter()
            .filter(|at| !is_listed(at))
            .map(|&at| self.name(at))
            .collect();
        if !unlisted.is_empty() {
            let names: Vec<&str> = unlisted.into_iter().collect();
            return Ok(Some(format!(
                "an address is taken, and it is not listed, of: {}",
                names.join(", ")
            )));
        }
        for &at in self.levels.keys().chain(&others) {
            // A name may be that of several functions, of which some are called as any other.
            let is_same = |it: &&u64| self.name(**it) == self.name(at);
            if !taken.iter().any(|it| is_same(&it)) {
                return Ok(Some(format!(
                    "the address of {} is not taken, but listed",
                    self.name(at)
                )));
            }
        }
        Ok(None)
    }

    /// The level of a target of pointers: one more than that of any whose address is made on the ways on from it.
    /// Those that pass on what others made are above all that do not.
    fn level(
        &mut self,
        target: u64,
        targets: &BTreeSet<u64>,
        open: &mut Vec<u64>,
    ) -> std::result::Result<u32, String> {
        if let Some(&level) = self.levels.get(&target) {
            return Ok(level);
        }
        let name = self.name(target);
        let passing = self.stack.passing.iter().zip(PASSING..);
        let passing = passing
            .filter(|(it, _)| *it == name)
            .map(|(_, level)| level);
        let mut level = passing.max().unwrap_or(0);
        if open.contains(&target) {
            return Err(format!(
                "{name} names itself as a pointer's target, or others that do"
            ));
        }
        open.push(target);
        for function in self.called_from(target) {
            let calls = self.frame(function, None).edges.iter();
            let by_pointer = calls.filter(|edge| edge.to.is_none()).count();
            level = level.max(u32::from(by_pointer > 0));
            let made = self.made.get(&function).into_iter().flatten();
            let made: Vec<u64> = made.filter(|it| targets.contains(it)).copied().collect();
            for lower in made {
                level = level.max(1 + self.level(lower, targets, open)?);
            }
        }
        open.pop();
        self.levels.insert(target, level);
        Ok(level)
    }

    /// A function and what it calls, not through pointers, and comes back from.
    fn called_from(&mut self, start: u64) -> BTreeSet<u64> {
        let (mut seen, mut work) = (BTreeSet::new(), vec![start]);
        while let Some(at) = work.pop() {
            if seen.insert(at) {
                let edges = self.frame(at, None).edges.clone();
                let to = edges.iter().filter_map(|edge| edge.to);
                work.extend(to.filter(|&to| self.program.returns(to)));
            }
        }
        seen
    }
}
