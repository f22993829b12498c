//! How deep the engine's stacks can get: for each way into the engine, the most bytes that any way through the linked
//! image takes, held to the bound in `litmus.toml`, and that to the memory that is mapped for the stack.
//!
//! Frames are read from the instructions that change SP (`sp`, `frames`), calls are followed as for panics (`ways`).
//! What a bound can not be had for fails: a function that comes to itself again, a change of SP that is not
//! understood, a call through a pointer without a list of where it may lead. What pointers lead to has a level, and
//! only leads on, by pointers, to what is below: a formatter formats what it names itself, and is above that, so
//! that formatters may call formatters a number of times that is known. (Those that format what they were given are
//! listed, and above all others.) A call that does not come back leaves what was going on, levels too; the end of
//! the engine is reported once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::litmus::frames::{Edge, Frame, Knowledge};
use crate::litmus::pointers;
use crate::litmus::program::Program;
use crate::litmus::sp::{self, Effect};

/// Bytes of a vector.
const VECTOR: u64 = 0x80;
/// Levels of targets that pass on what others made.
const PASSING: u32 = 100;
/// No level is above this.
const ANY_LEVEL: u32 = u32::MAX;
/// The test of what is listed about pointers; the others are called as entries are.
const POINTERS: &str = "pointers";

/// What `litmus.toml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stack {
    /// Functions in which a core is given a stack: there SP is set, and what comes behind begins at depth 0.
    pub set: Vec<String>,
    /// Functions with an ERET to a lower level; the first is the one that others call, `enter` says who.
    pub down: Vec<String>,
    pub enter: Vec<Enter>,
    /// The function that a core comes to once, to report the end, and where it goes if it comes again.
    pub once: String,
    pub again: Vec<String>,
    /// The entry that is an exception at any point of the others, whose bytes are added to theirs.
    pub nested: String,
    /// Functions that call through pointers which others made, in an order in which none leads to a later one.
    pub passing: Vec<String>,
    /// Functions and labels whose address is taken, and that are not called by it.
    pub addresses: Vec<String>,
    pub pointer: Vec<Pointer>,
    pub entry: BTreeMap<String, Entry>,
}

/// Who goes down to a lower level, and the table of vectors by which that comes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enter {
    pub by: Vec<String>,
    pub table: String,
}

/// Calls through pointers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The functions that make them.
    pub from: Vec<String>,
    /// Where they may lead.
    pub to: Vec<String>,
}

/// A way into the engine.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Functions that it begins at, or behind their setting of SP.
    pub from: Vec<String>,
    #[serde(default)]
    pub behind: bool,
    /// Vectors of these, in tables.
    #[serde(default)]
    pub vectors: Vec<u64>,
    /// The symbol with the bytes of the stack that it begins on.
    pub on: String,
    /// Its bound.
    pub at_most: i64,
}

impl Stack {
    /// The tests of this kind.
    pub fn tests(&self) -> Vec<String> {
        let entries = self.entry.keys().cloned();
        entries.chain([POINTERS.to_owned()]).collect()
    }
}

/// What came of an entry.
#[derive(Debug)]
pub struct Depth {
    /// At most so many bytes, if a bound could be had.
    pub bytes: i64,
    pub fault: Option<String>,
}

impl Depth {
    /// Says what was found.
    pub fn tell(&self, entry: &str) {
        if entry != POINTERS {
            println!("    {entry}: {} bytes at most", self.bytes);
        }
    }
}

/// Asks one of the tests.
pub fn check(program: &Program, stack: &Stack, test: &str) -> Result<Depth> {
    let mut walk = Walk::new(program, stack)?;
    if test == POINTERS {
        let fault = walk.unlisted()?;
        return Ok(Depth { bytes: 0, fault });
    }
    let entry = stack.entry.get(test).context("no such entry")?;
    let usable = program.value(&entry.on);
    let usable = usable.with_context(|| format!("the image has no {}", entry.on))?;
    let mut worst = match walk.entry(entry)? {
        Ok(worst) => worst,
        Err(why) => return Ok(failed(0, why)),
    };
    if test != stack.nested {
        let nested = stack.entry.get(&stack.nested);
        let nested = nested.with_context(|| format!("no entry {}", stack.nested))?;
        match walk.entry(nested)? {
            Ok(more) => worst.bytes += more.bytes,
            Err(why) => return Ok(failed(0, why)),
        }
    }
    let (bytes, bound) = (worst.bytes, entry.at_most);
    let way = || walk.tell(&worst);
    Ok(if bytes > bound {
        failed(
            bytes,
            format!("{bytes} bytes, more than {bound}: {}", way()),
        )
    } else if u64::try_from(bound).is_ok_and(|bound| bound > usable) {
        failed(
            bytes,
            format!(
                "{bound} bytes are more than the stack has, {usable}: {}",
                way()
            ),
        )
    } else {
        Depth { bytes, fault: None }
    })
}

/// The most bytes that are possible by an entry, and those that its stack has.
pub fn possible(program: &Program, stack: &Stack, entry: &str) -> Result<(u64, u64)> {
    let depth = check(program, stack, entry)?;
    ensure!(depth.fault.is_none(), "stack::{entry}: {:?}", depth.fault);
    let on = stack.entry.get(entry).map(|it| it.on.as_str());
    let usable = on
        .and_then(|on| program.value(on))
        .context("no such stack")?;
    Ok((u64::try_from(depth.bytes)?, usable))
}

/// Those of a table that a lower level comes back by: its second half.
fn vectors(table: Option<u64>) -> Vec<u64> {
    let all = |table: u64| (8..16).map(move |n| table + n * VECTOR);
    table.into_iter().flat_map(all).collect()
}

fn failed(bytes: i64, why: String) -> Depth {
    let fault = Some(why);
    Depth { bytes, fault }
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
struct Worst {
    bytes: i64,
    /// The functions on the way, each with the depth at which it begins.
    way: Vec<(u64, i64)>,
}

type Found = std::result::Result<Worst, String>;

struct Walk<'a> {
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
    fn new(program: &'a Program, stack: &'a Stack) -> Result<Self> {
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

    fn tell(&self, worst: &Worst) -> String {
        let step = |&(start, depth): &(u64, i64)| format!("{} at {depth}", self.name(start));
        let steps: Vec<String> = worst.way.iter().map(step).collect();
        steps.join(", ")
    }

    /// The worst of an entry's beginnings.
    fn entry(&mut self, entry: &Entry) -> Result<Found> {
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
    fn unlisted(&self) -> Result<Option<String>> {
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

#[cfg(test)]
#[path = "stack_tests.rs"]
mod tests;
